"""Sources: one file a protocol, each with the options that a manifest may set and the code that reads.

A source yields chunks of records (`chunk.py`) in the source's order and can go on from any checkpoint that a chunk
carries. It knows nothing of mappings, entities or the API. How the bytes of a file become records is in `formats.py`.
"""
