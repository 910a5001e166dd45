"""The mapping language: how the records of a source become entities of the common information model.

A mapping is data (YAML, described by mapping.schema.json). It is checked against the schema and the CIM, then compiled
once to a Python function through an abstract syntax tree; no text of a mapping is ever evaluated. What belongs here:
the language (references, expressions, entities), its closed library of steps, and the table of providers.
"""

from __future__ import annotations

from adapters.mapping.compiler import CompiledMapping, compile_mapping, mapping_schema, parse_mapping

__all__ = ["CompiledMapping", "compile_mapping", "mapping_schema", "parse_mapping"]
