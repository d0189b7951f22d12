"""A playbook runner that runs nothing: it keeps what it was told and answers as it was set up to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchctl.configure import Played
from benchctl.errors import ConvergeError
from benchctl.spec.share import shared

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from benchctl.configure import Call


class FakePlaybookRunner:
    """Every playbook succeeds, except those in `failures`; `effect` does to the host what a role would."""

    def __init__(
        self,
        *,
        failures: Mapping[str, str] | None = None,
        changed: int = 1,
        effect: Callable[[Call], object] = lambda _call: None,
    ) -> None:
        """Take "host: role : task: message" for playbooks that fail, by the playbook's name."""
        self.calls: list[Call] = []
        self._failures = dict(failures or {})
        self._changed = changed
        self._effect = effect

    @property
    def roles_path(self) -> tuple[Path, ...]:
        return (shared("roles"),)

    def run(self, call: Call) -> Played:
        self.calls.append(call)
        log = call.folder / str(len(self.calls)) / "stdout"
        log.parent.mkdir(parents=True)
        message = self._failures.get(call.playbook)
        log.write_text(message or "ok\n", encoding="utf-8")
        if message is not None:
            call.on_event(message)
            raise ConvergeError(message, remedy=f"read the full log: {log}")
        for number in range(self._changed):
            call.on_event(f"localhost: fake : task {number + 1}")
        self._effect(call)
        return Played(changed=self._changed, log=log)
