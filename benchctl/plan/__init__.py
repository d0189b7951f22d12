"""From a checked experiment to every trial of a run in its order, with what must exist before the first.

Pure and seeded: the same spec gives the same plan on every machine and every Python. Must not touch hosts
or files.
"""

from benchctl.plan.make import make, with_costs
from benchctl.plan.order import make_up_block

__all__ = ["make", "make_up_block", "with_costs"]
