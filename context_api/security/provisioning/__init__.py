"""Keycloak brought to the state that the folder `keycloak/` describes, and partner applications.

What belongs here: the realm file, the difference between it and a server, what reads and writes a server. Only the
command line uses it; no request of the broker does.
"""
