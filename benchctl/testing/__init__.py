"""Fakes for the boundaries, shipped, and held to the same contract tests as the real ones.

Imported by tests only; must not be imported by any other room.
"""
