"""The write-ahead journal of a run: what was meant, what was done.

Owns journal.jsonl: each entry is on disk before the act it announces begins, and again after it ended.
Must not know what an act means; whoever acts writes, whoever resumes or undoes reads.
"""

from benchctl.journal.journal import Act, Entry, Journal, is_open, read

__all__ = ["Act", "Entry", "Journal", "is_open", "read"]
