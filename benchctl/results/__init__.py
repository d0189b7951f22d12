"""The run directory as records: written atomically, read back whole, derived again on wish.

Owns where each file of a run lies, when a trial counts as done, and the way from raw files to a summary.
Must not talk to hosts and must not print.
"""
