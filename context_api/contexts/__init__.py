"""User @contexts: where they come from, how they are kept and who used them (CIM 009 clause 5.13).

What belongs here: the registry that turns the @context of a request into a term map, fetching under the egress guard,
and the table of stored contexts. The compiling itself is `ngsild.context`.
"""
