"""Host groups: what they have in common whoever gives their hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from msgspec import Meta, structs

from benchctl.model.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping


class Group(Record, frozen=True, kw_only=True):
    """A host group: how many hosts it has."""

    count: Annotated[int, Meta(ge=1, description="how many hosts this group has")] = 1


SomeGroup = TypeVar("SomeGroup", bound=Group)


def with_options(group: SomeGroup, hosts: Record, defaults: Mapping[str, Any]) -> SomeGroup:
    """Return a group with every option that holds for it: its own, else that of all hosts, else the default.

    An option is what the group has beside `count`; None means that it was not given.
    """
    chosen = {}
    for key in set(group.__struct_fields__) - set(Group.__struct_fields__):
        layers = (getattr(group, key), getattr(hosts, key), defaults.get(key))
        chosen[key] = next((value for value in layers if value is not None), None)
    return structs.replace(group, **chosen)
