"""What the data of an image is known by: its files, and what the running server counts in it.

Owns both comparisons. Must not touch the data.
"""

import os
from pathlib import Path
from typing import Dict, List, Optional

from benchctl.agent import service
from benchctl.agent.context import Context
from benchctl.agent.descriptor import Descriptor
from benchctl.agent.refusal import RefusalError
from benchctl.agent.wire import Json

SHOWN = 5  # differences that a message carries


def listing(folder: Path) -> Dict[str, List[int]]:
    """Return size and time of change (ns) of every file below a folder; nothing is read."""
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)  # noqa: PTH118 - thousands of files
            state = os.lstat(path)
            found[os.path.relpath(path, folder)] = [state.st_size, state.st_mtime_ns]
    return found


def altered(folder: Path, wanted: Dict[str, List[int]]) -> str:
    """Say how the files differ from an earlier listing; empty when they do not."""
    found = listing(folder)
    if found == wanted:
        return ""
    path = min(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    expected, there = (_bytes(one.get(path)) for one in (wanted, found))
    what = f"expected {expected}, found {there}" if expected != there else "changed since, of the same size"
    return f"{len(wanted)} files expected, {len(found)} found; {path}: {what}"


def count(context: Context, found: Descriptor) -> Optional[Json]:
    """Ask the running server what its data is: name -> number; None without such a question."""
    if not found.parts.get("contents"):
        return None
    return service.ask(context, found, "contents", found.part("contents"))


def require_same(found: Descriptor, wanted: Optional[Json], there: Optional[Json]) -> None:
    """Raise RefusalError, with what was expected and what was found, when data differs from its image's."""
    if wanted is None or there is None or wanted == there:
        return
    names = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
    told = [
        f"{name}: expected {wanted.get(name, 'none')}, found {there.get(name, 'none')}"
        for name in names[:SHOWN]
    ]
    more = f"; and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    raise RefusalError(
        f"{found.instance}: its data is not that of the image: {'; '.join(told)}{more}", "service"
    )


def _bytes(state: Optional[List[int]]) -> str:
    return "no such file" if state is None else f"{state[0]} bytes"
