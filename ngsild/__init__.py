"""The NGSI-LD language as pure functions over plain data (ETSI GS CIM 009 V1.9.1).

What belongs here: one module per concept of the standard: names, @context term maps, expansion, rendering, the query
language and its plain evaluator, projection, merge, linked retrieval, problem types. No I/O, no framework, no SQL.
"""
