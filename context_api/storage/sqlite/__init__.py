"""The store on SQLite: one file, one thread that writes, readers beside it.

What belongs here: statements, transactions and the translation of queries in SQLite's own terms.
"""
