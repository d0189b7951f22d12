"""The knobs of tuned hosts around a trial: looked at before it and right after its window, and set again.

Owns what a drift before a trial means: somebody was there between two trials, which spoils neither. One after
the window's begin is the trial's own, for the gate `knobs` to judge. Must not know what the knobs are.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from benchctl.gates.evidence import KNOBS
from benchctl.gates.knobs import places
from benchctl.model.event import Message

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchctl.benchmark.bench import Bench
    from benchctl.benchmark.protocol import Pending

DRIFT = "knobs.drift"  # in the journal: what had changed between two trials


class KnobWatch:
    """The looks of one trial, on all tuned hosts; nobody waits for the first before the load must."""

    def __init__(self, bench: Bench, ordinal: int) -> None:
        """Nothing is asked yet."""
        self._bench = bench
        self._ordinal = ordinal
        self._waiting: dict[str, Pending] = {}

    def look(self) -> None:
        """Ask the tuned hosts before the trial; what has drifted is set again."""
        fleet = self._bench.fleet
        self._waiting = {host: fleet[host].submit("drift", mend=True) for host in self._bench.tuned}

    def settle(self, limit: float) -> None:
        """Wait until the knobs are as they shall be, and tell what was not; at once the second time."""
        waiting, self._waiting = self._waiting, {}
        for host, pending in waiting.items():
            found = pending.result(limit)
            if found["drifts"]:
                self._tell(host, found)

    def after(self, host: str) -> list[dict[str, Any]]:
        """Return what to ask a host right after the window; nothing where it is not tuned."""
        return [{"op": "drift", "mend": True}] if host in self._bench.tuned else []

    def keep(self, found: Mapping[str, Mapping[str, Any]], raw: Path) -> dict[str, str]:
        """Write what was found after the window to raw/<host>/knobs.json; return the files' hashes."""
        hashes = {}
        for host, reply in found.items():
            told = {"expected": self._bench.tuned[host], **reply}
            data = json.dumps(told, indent=2).encode() + b"\n"
            (raw / host / KNOBS).write_bytes(data)
            hashes[f"raw/{host}/{KNOBS}"] = hashlib.sha256(data).hexdigest()
        return hashes

    def _tell(self, host: str, found: Mapping[str, Any]) -> None:
        told = {key: found[key] for key in ("drifts", "drifted", "around")}
        self._bench.journal.note(DRIFT, host=host, ordinal=self._ordinal, **told)
        text = f"{host}: changed before trial {self._ordinal}, and set again: {places(found['drifted'])}"
        self._bench.listener(Message(level="warning", text=text))
