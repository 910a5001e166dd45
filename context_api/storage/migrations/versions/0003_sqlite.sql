-- The change log says what validation found.

ALTER TABLE change ADD COLUMN report TEXT;
