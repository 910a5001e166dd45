"""Where entities, their history, their index rows and the change log are kept.

What belongs here: tables, statements, the translation of the query AST to SQL and what differs per database, each in
one file. The rest of the broker knows only `port`: plain records and the protocol that every store implements.
"""
