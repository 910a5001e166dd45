"""The quarantine: records of sources that became no entities, kept with the reason until they are mended or purged.

Adapters bring them and replay them, for the mapping is theirs; the broker keeps them for whoever mends them.
"""
