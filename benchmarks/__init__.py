"""Every figure that the documentation quotes, each printed by one command.

What belongs here: one module a subject, with a function `measure()` that yields `Row`s, and the stand-ins that figures
are held beside (floor, naive). `python -m benchmarks [NAME ...]` finds and runs them. No test depends on a figure.
"""
