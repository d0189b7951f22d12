"""Intervals, tests, power and verdicts: pure functions on numbers.

Must not know what a trial or a metric is, and must not import anything that loads scipy.stats (0.8 s). scipy
and numpy are loaded by the functions that need them, so that commands without statistics start without them.
"""
