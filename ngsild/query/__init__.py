"""The query language: one AST, its parsers and its plain evaluator (CIM 009 clauses 4.9, 4.10, 4.17, 4.19 and 4.23).

What belongs here: a parser per language (q, geoquery, type selection, scope query, ordering, patterns), the AST that
they yield, what a whole query and a restriction are, and what all of it means. No SQL: the databases translate the AST.
"""

from __future__ import annotations

from ngsild.query.ast import ANY_TYPE, GeoQuery, HasType, InScope, Node, link_depth, names_attribute
from ngsild.query.evaluate import matches
from ngsild.query.geo import parse_geo
from ngsild.query.order import Ordering, parse_order_by
from ngsild.query.pattern import Pattern, parse_pattern
from ngsild.query.q import parse_q
from ngsild.query.restriction import EVERYTHING, Restriction
from ngsild.query.scope import parse_scope_q
from ngsild.query.selection import EntityQuery, Selector
from ngsild.query.types import parse_type_selection

__all__ = [
    "ANY_TYPE",
    "EVERYTHING",
    "EntityQuery",
    "GeoQuery",
    "HasType",
    "InScope",
    "Node",
    "Ordering",
    "Pattern",
    "Restriction",
    "Selector",
    "link_depth",
    "matches",
    "names_attribute",
    "parse_geo",
    "parse_order_by",
    "parse_pattern",
    "parse_q",
    "parse_scope_q",
    "parse_type_selection",
]
