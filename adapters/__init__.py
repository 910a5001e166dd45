"""Adapters: everything between a source of data and the context API.

A source (one file a protocol, in `sources/`) yields records; a mapping (data, one folder a provider, in `mapping/` and
`providers/`) turns each into entities; a sink delivers them. The runner gives every adapter checkpoints, raw copies, a
spool while the API is away, batching, back-pressure, per-item errors, idempotent replay and counters.
"""
