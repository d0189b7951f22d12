"""Host groups: what they have in common whoever gives their hosts."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from benchctl.model.record import Record


class Group(Record, frozen=True, kw_only=True):
    """A host group: how many hosts it has."""

    count: Annotated[int, Meta(ge=1, description="how many hosts this group has")] = 1
