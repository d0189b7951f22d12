"""From finished trials to comparisons with verdicts, and to the summary of a run.

Owns what is compared with what, which pairs count, and how validity travels from trials to a run. The
numbers come from `statistics`. Must not read files or the clock: the same trials give the same bytes.
"""

from benchctl.analysis.comparisons import too_few
from benchctl.analysis.events import trial_events
from benchctl.analysis.hosts import typical
from benchctl.analysis.summary import summarise, tuned_host

__all__ = ["summarise", "too_few", "trial_events", "tuned_host", "typical"]
