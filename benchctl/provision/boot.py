"""The kernel's command line that hosts are made with: in force after a reboot, and read back.

Owns one drop-in of the boot loader, beside the one of tuning, which goes with restore; their form is the
agent's. Must not know any provider.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from benchctl.agent.boot_loader import FOLDER, drop_in
from benchctl.errors import StackError
from benchctl.provision.remote import ask
from benchctl.provision.settle import told

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchctl.model.host import Host

LIMIT = 900.0  # seconds until a host is back: metal takes ten minutes to boot
FILE = f"{FOLDER}/benchctl-host.cfg"
_SEEN = "/proc/sys/kernel/random/boot_id /proc/cmdline"
_LOOK = 30.0  # seconds for one look: a connection to a host that just went is never answered
_ANSWER = 300.0  # seconds for what a host does that is there: software emulation needs a part of them
_PAUSE = 1.0  # seconds between two looks
_PARALLEL = 32
_REBOOTS = "benchctl: reboots"  # a host says so before the connection goes


class Boot(NamedTuple):
    """One boot of a host: its id, and the words of the kernel's command line."""

    id: str
    words: tuple[str, ...]


def ensure_parameters(
    wanted: Sequence[tuple[Host, tuple[str, ...]]],
    *,
    console: Callable[[str], str],
    cancelled: Callable[[], bool] = lambda: False,
    limit: float = LIMIT,
) -> None:
    """Have each host's kernel run with the words that it is given; hosts that lack one reboot, all at once.

    Hosts that run with their words already, or are given none, stay as they are. Raises StackError with the
    end of the `console` of the first host that does not come back with its words within `limit` seconds.
    """
    wanted = [(host, words) for host, words in wanted if words]
    one = partial(_ensured, cancelled=cancelled, limit=limit)
    with ThreadPoolExecutor(min(_PARALLEL, len(wanted)) or 1) as pool:
        for (host, words), wrong in zip(wanted, list(pool.map(one, wanted)), strict=True):
            if wrong:
                raise StackError(
                    f"{host.name} ({host.options['address']}): {' '.join(words)}: {wrong}\n"
                    f"its console:\n{told(console, host.name)}",
                    remedy="see that its kernel boots with these parameters, by GRUB as Debian has it",
                )


def _ensured(wanted: tuple[Host, tuple[str, ...]], *, cancelled: Callable[[], bool], limit: float) -> str:
    """Return what was wrong, or nothing."""
    host, words = wanted
    before = _look(host, _ANSWER)
    if isinstance(before, str):
        return f"its command line cannot be read: {before}"
    if set(words) <= set(before.words):
        return ""
    script = f"mkdir -p {FOLDER} && cat >{FILE} && update-grub && echo {_REBOOTS!r} && systemctl reboot"
    changed = ask(host, f'sudo -n sh -c "{script}"', limit=_ANSWER, text=drop_in(words))
    if _REBOOTS not in changed.said:
        return f"its boot loader cannot be changed: {changed.wrong}"
    return _back(host, words, before, cancelled=cancelled, limit=limit)


def _back(
    host: Host, words: tuple[str, ...], before: Boot, *, cancelled: Callable[[], bool], limit: float
) -> str:
    """Wait until the host runs again, and look what its kernel was told."""
    end = time.monotonic() + limit
    wrong = "interrupted before the first look"
    while not cancelled():
        now = _look(host, _LOOK)
        if isinstance(now, str):
            wrong = now
        elif now.id == before.id:
            wrong = "it did not shut down"
        else:
            missing = [word for word in words if word not in now.words]
            return f"it came back without {' '.join(missing)}" if missing else ""
        if time.monotonic() > end:
            break
        time.sleep(_PAUSE)
    return f"it did not come back: {wrong}"


def _look(host: Host, limit: float) -> Boot | str:
    """Return the host's boot, or what was wrong."""
    answer = ask(host, f"cat {_SEEN}", limit=limit)
    first, *rest = answer.said.split() or [""]
    return answer.wrong or Boot(first, tuple(rest))
