"""An end to all that a run of provider lab made, by its labels."""

from __future__ import annotations

from benchctl.provision.janitor import leftovers, remove


def take_away(run: str) -> None:
    for leftover in leftovers("lab", run=run):
        remove(leftover)
