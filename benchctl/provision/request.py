"""What a stack is asked for: its whole configuration, one JSON object made by benchctl, read once at its top.

Shared by benchctl, which writes it, and the stacks, which read it. Must not import Pulumi.
"""

from __future__ import annotations

import msgspec
from msgspec import field

from benchctl.errors import SpecError
from benchctl.model.experiment import Hosts
from benchctl.model.record import Record

PINNED = "pinned"  # the output with what later ups of the same run must not choose again: {name: text}
KEY = "experiment"  # the stack's one configuration key, in the namespace of its project
RUN, OWNER, EXPIRES = "benchctl-run", "benchctl-owner", "benchctl-expires"


class Request(Record, frozen=True, kw_only=True):
    """The hosts that a run wants, as the experiment has them, with every group that is used.

    `owner` is user@host of who runs benchctl, `expires` s since the epoch, `public_key` who may log in, and
    `caller` the addresses (CIDR) that may connect by SSH, where a provider's network can tell. The host keys
    of a cloud's hosts come from `seed`, which is as secret as a private key; `pinned` is what an earlier up
    of the same run exported under that name; `prices` are USD per hour of one host, by group; with
    `on_demand`, what prefers spot capacity was refused it and takes other.
    """

    run: str
    owner: str
    expires: float
    public_key: str
    hosts: Hosts
    caller: tuple[str, ...] = ()
    seed: str = ""
    pinned: dict[str, str] = field(default_factory=dict)
    prices: dict[str, float] = field(default_factory=dict)
    on_demand: bool = False

    @property
    def tags(self) -> dict[str, str]:
        """Return what everything that is made for this run carries, so that it is found without a state."""
        return {RUN: self.run, OWNER: self.owner, EXPIRES: str(int(self.expires))}


def read_request(text: str) -> Request:
    """Return the request in a stack's configuration. Raises SpecError that says what is wrong with it."""
    try:
        return msgspec.json.decode(text, type=Request)
    except msgspec.MsgspecError as error:
        raise SpecError(f"the stack's configuration `{KEY}` is not valid: {error}") from error
