"""Every write judged by the shapes (decisions 13 and 14).

Belongs here: how writes of a tenant are judged, what becomes of one that breaks a shape, and the shapes that a tenant
adds to those of the model.

    modes       off, warn and enforce, by tenant and type
    documents   shapes of tenants: Turtle taken in or refused
    tables      both in the database
    judging     a change judged before it is written
    gathering   what surrounds an entity, read for the rules that ask for it
    relatives   those entities that refer to the same, or to it
    telling     what the change log says of it

Does not belong here: what shapes mean (`shapes`), and the issues that are made of what was found.
"""
