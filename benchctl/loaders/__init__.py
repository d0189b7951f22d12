"""One module per load generator: its command line, and the parser of what it prints.

Owns everything that is particular to one load generator. Must not start processes, talk to hosts or judge
what it reads: it builds an argv before a trial and reads the raw files after it.
"""

from benchctl.loaders.loader import Command, Loader, NullRun, exists, get, known
from benchctl.loaders.merge import Part, merge

__all__ = ["Command", "Loader", "NullRun", "Part", "exists", "get", "known", "merge"]
