"""The query AST as SQL: what every database has in common.

What belongs here: conditions on entities and their index rows, the terms of a query and the choice of the one that
drives it. How a statement is put together and what only one database can say stands in that database's folder.
"""
