"""The whole run as data and one function: steps in order, and the way back on every exit path.

Owns the order of the steps, the unwinding and the run's state. Gets everything as arguments, prints nothing.
"""

from benchctl.pipeline.execute import execute
from benchctl.pipeline.run import create_run
from benchctl.pipeline.state import RunState, read_state
from benchctl.pipeline.steps import STEP_NAMES
from benchctl.pipeline.summary import load_view, summarise

__all__ = ["STEP_NAMES", "RunState", "create_run", "execute", "load_view", "read_state", "summarise"]
