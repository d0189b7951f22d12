"""What benchctl and its peers set, notice, give back and leave behind on the same VM, as it was recorded.

Owns the words of that page. `python -m tests.perf.tuning_peers` records it anew.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docs.table import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Row = Mapping[str, Any]

RECORDED = Path(__file__).parents[1] / "tests" / "cases" / "outcomes" / "peers.json"
MADE_BY = "python -m tests.perf.tuning_peers"
OURS = "benchctl, repeatable"
CONTROL = "nothing"
_TITLES = ("tool", "version", "host", "set", "exit", "verify", "after a change", "restore", "left behind")


def parts() -> Iterator[str]:
    """The page, part by part."""
    found = json.loads(RECORDED.read_text("utf-8"))
    yield "# benchctl and its peers on one host"
    yield (
        "Each tool was told to set the same virtual machine, to look, and to give it back, by its own"
        f" commands as root. The machine has Debian 12, kernel {found['kernel']} and two CPUs. Snapshots of"
        " every readable file of `/proc/sys`, `/proc/irq` and `/sys`, of all units and the files of systemd"
        " and the boot loader say what became of it. There were two hosts: one with Debian's defaults, and"
        " one whose owner has stopped `irqbalance.service` and set these:"
    )
    yield table(("what", "to"), ((f"`{path}`", f"`{text}`") for path, text in found["owner"].items()))
    yield (
        "*Set* and *left behind* count places: a file, the CPUs of an interrupt, a unit. The others are exit"
        " statuses: *exit* of the command that sets; *verify* of the one that looks, right after; *after a"
        " change* of the same once a setting was changed behind the tool's back, so a tool that notices gives"
        " another one than before; *restore* of the command that gives back. A dash: there is no such"
        f" command. `{CONTROL}` is the control, a tool that does nothing."
    )
    yield table(_TITLES, _rows(found))
    yield (
        "A virtual machine has no frequencies and no turbo, which are most of what pyperf and ReBench set:"
        " of them it shows nothing but that the commands end with an error. What a process holds, the request"
        " for short wake-ups of tuned's and benchctl's profiles, shows in no file either."
    )
    yield f"`{MADE_BY}` does it again, in up to an hour, and records what this page is made of."
    yield "## What was left behind"
    yield table(("tool", "host", "what", "was", "is"), _left(found))
    yield "## What was set on Debian's defaults"
    yield table(("what", "tools", "to"), _changes(found))


def is_wrong(row: Row) -> bool:
    """Say whether the control moved something, or benchctl left something or was wrong about a drift."""
    if row["tool"] == CONTROL:
        return bool(row["set"] or row["left"])
    return row["tool"] == OURS and (
        not row["set"] or bool(row["left"]) or (row["clean"], row["drifted"]) != (0, 1)
    )


def _rows(found: Row) -> Iterator[tuple[str, ...]]:
    """One for each tool on each host, then those that could not be installed."""
    for row in found["tools"]:
        statuses = (str(row.get(key, "–")) for key in ("set_exit", "clean", "drifted", "restore_exit"))
        version = found["versions"].get(row["package"], "")
        yield (row["tool"], version, row["host"], str(len(row["set"])), *statuses, str(len(row["left"])))
    for row in found["absent"]:
        yield (row["tool"], row["version"], "–", f"not installed. {row['why']}", *[""] * 5)


def _left(found: Row) -> Iterator[tuple[str, ...]]:
    for row in found["tools"]:
        for path, (was, now) in _by_name(row["left"]).items():
            yield (row["tool"], row["host"], f"`{path}`", _text(was), _text(now))


def _changes(found: Row) -> Iterator[tuple[str, ...]]:
    """What each tool set, in the order of the paths."""
    by_path: dict[str, list[str]] = {}
    for row in found["tools"]:
        if row["host"] == "defaults":
            for path, (_, now) in _by_name(row["set"]).items():
                by_path.setdefault(path, []).append(f"{row['tool']}: {_text(now)}")
    for path in sorted(by_path):
        yield (f"`{path}`", str(len(by_path[path])), "<br>".join(by_path[path]))


def _by_name(texts: Mapping[str, list[str | None]]) -> dict[str, list[str | None]]:
    """Take the numbers of interrupts for one: their number stands behind the name."""
    found: dict[str, list[list[str | None]]] = {}
    for path, pair in texts.items():
        found.setdefault(re.sub(r"/irq/\d+/", "/irq/N/", path), []).append(pair)
    return {path if len(pairs) == 1 else f"{path} ({len(pairs)})": pairs[0] for path, pairs in found.items()}


def _text(text: str | None) -> str:
    return "not there" if text is None else f"`{text}`" if text else "empty"
