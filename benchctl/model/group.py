"""Host groups: what they have in common whoever gives their hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from msgspec import Meta, field, structs

from benchctl.model.record import Record
from benchctl.model.tuning import GroupTuning

if TYPE_CHECKING:
    from collections.abc import Mapping


class Group(Record, frozen=True, kw_only=True):
    """A host group: how many hosts it has, and how they are tuned."""

    count: Annotated[int, Meta(ge=1, description="how many hosts this group has")] = 1
    tuning: GroupTuning = field(default_factory=GroupTuning)


SomeGroup = TypeVar("SomeGroup", bound=Group)


def with_options(group: SomeGroup, hosts: Record, defaults: Mapping[str, Any]) -> SomeGroup:
    """Return a group with every option that holds for it: its own, else that of all hosts, else the default.

    An option is what the group has beside what all groups have; None means that it was not given.
    """
    chosen = {}
    for key in set(group.__struct_fields__) - set(Group.__struct_fields__):
        layers = (getattr(group, key), getattr(hosts, key), defaults.get(key))
        chosen[key] = next((value for value in layers if value is not None), None)
    return structs.replace(group, **chosen)
