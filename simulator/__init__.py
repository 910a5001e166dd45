"""A simulated town: the outside world for trying and testing, with sources that behave like real ones.

What belongs here: the town (`town`), how its actors behave (`charging`, `parking`, `fleet`, `energy`), the clock and
the agenda that move them, the dirt that real sources send (`dirt`), and one module a source in `feeds`. `server` serves
them. Nothing of the platform is imported: the simulator knows only what its operators would send.
"""
