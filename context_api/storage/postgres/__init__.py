"""The store on PostgreSQL with PostGIS: many processes write and read one database.

What belongs here: the schema's own parts, connections, statements and the translation of queries in PostgreSQL's terms.
"""
