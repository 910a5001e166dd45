"""The sources of the town, one module each: what an operator's own system would send, in its own shape and names.

A feed listens to the world, keeps what it has published, and renders it. What it says at an instant follows from the
seed and that instant alone, never from when it was asked.
"""
