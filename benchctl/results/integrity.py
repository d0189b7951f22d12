"""Whether the files of a run are what its trials left: by MANIFEST.sha256, and by the hashes in trial.json.

Must not change anything, and must not judge numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchctl.errors import RunStateError
from benchctl.results.files import sha256

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.results.store import RunStore

MANIFEST = "MANIFEST.sha256"
_SHOWN = 10  # names in one message


def require_intact(store: RunStore) -> None:
    """Raise RunStateError with the names of files that are gone, cut short or changed."""
    wrong = changed_files(store)
    if wrong:
        shown = "\n".join(f"  {store.path / name}" for name in wrong[:_SHOWN])
        more = f"\n  and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise RunStateError(
            f"not what the trials left (gone, cut short or changed):\n{shown}{more}",
            remedy="restore them from a copy; what they say now proves nothing",
        )


def changed_files(store: RunStore) -> tuple[str, ...]:
    """Return the names of such files, relative to the run.

    Raises RunStateError when a trial.json cannot be read.
    """
    wrong = {*damaged(store.path)}
    listed = _listed(store.path)
    for trial in store.trials():
        folder = store.trial_folder(trial.ordinal)
        for name, wanted in trial.files.items():
            path = folder / name
            known = path.relative_to(store.path).as_posix()
            if known not in listed and _differs(path, wanted):
                wrong.add(known)
    return tuple(sorted(wrong))


def damaged(run: Path) -> tuple[str, ...]:
    """Return the names of files that are gone or not what MANIFEST.sha256 says; without one, nothing."""
    return tuple(name for name, wanted in _listed(run).items() if _differs(run / name, wanted))


def _listed(run: Path) -> dict[str, str]:
    listing = run / MANIFEST
    if not listing.is_file():
        return {}
    lines = (line.partition("  ") for line in listing.read_text("utf-8", "backslashreplace").splitlines())
    return {name: wanted for wanted, _, name in lines}


def _differs(path: Path, wanted: str) -> bool:
    return not path.is_file() or sha256(path) != wanted
