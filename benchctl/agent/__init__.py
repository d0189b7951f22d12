"""What runs on a measured host: one supervisor per run, and the same acts as direct verbs.

Standard library only, Python 3.9 and later, shipped as one zipapp named by its content hash. Must not import
any other room, must not interpret what it samples, and must leave nothing behind when a run ends.
"""
