"""The NGSI-LD broker: storage, HTTP routes, @context registry, security.

What belongs here: everything that serves the NGSI-LD API over HTTP and keeps its state. The language itself is
`ngsild`.
"""
