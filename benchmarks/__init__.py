"""Every figure that the documentation quotes, each printed by one command.

What belongs here: one module a subject, with a function `measure(options)` that yields `Row`s; what is sent and to whom
(scenarios, client, targets); the stand-ins that figures are held beside (floor, bare, naive). `python -m benchmarks
[NAME ...]` finds the modules and runs them. No test depends on a figure.
"""
