"""Who may do and reach what.

What belongs here: the egress guard, token verification, policies, the provisioning of Keycloak; later audit.
"""
