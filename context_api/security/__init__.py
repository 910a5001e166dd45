"""Who may do and reach what.

What belongs here: the egress guard; later token verification, policies and audit.
"""
