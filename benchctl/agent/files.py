"""The run's files on this host: listing, sending, removing, and the stamps of what was installed.

Owns which paths may be removed: only those of the own run.
"""

import hashlib
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Dict

from benchctl.agent.context import Context, Json
from benchctl.agent.layout import LINE_LIMIT, below, check_name
from benchctl.agent.refusal import RefusalError

_CHUNK = 1 << 20


def stamps(context: Context, want: Dict[str, str]) -> Json:
    """Compare stamps with what is wanted; name those that are missing or differ."""
    folder = context.cache / "stamps"
    differ = [
        name for name, wanted in want.items() if _content(folder / check_name(name, "a stamp")) != str(wanted)
    ]
    return {"differ": differ}


def files(_: Context, dir: str) -> Json:  # noqa: A002 - the protocol's name
    """List the regular files below a folder with their sizes."""
    folder = Path(dir)
    if not folder.is_dir():
        raise RefusalError(f"{folder} is no folder")
    found = []
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        if stat.S_ISREG(status.st_mode):
            found.append({"path": str(path.relative_to(folder)), "size": status.st_size})
    return {"files": found}


def remove(context: Context, path: str) -> Json:
    """Remove a file or a tree of this run. Raises RefusalError for anything that is not below its folder."""
    target = Path(path)
    if not target.is_absolute() or ".." in target.parts or not below(target, context.work):
        raise RefusalError(f"{target} is not below {context.work}: it is not this run's to remove")
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    elif target.exists() or target.is_symlink():
        target.unlink()
    return {}


def serve(reading: int, writing: int) -> None:
    """Send files over the raw channel until it closes: a line asks for one, size, bytes and hash answer."""
    with os.fdopen(reading, "rb", closefd=False) as requests:
        while line := requests.readline(LINE_LIMIT + 1):
            if len(line) > LINE_LIMIT:
                _line(writing, {"error": f"a request of over {LINE_LIMIT} bytes"})
                return
            try:
                path = json.loads(line)["path"]
                handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            except (ValueError, KeyError, TypeError) as error:
                _line(writing, {"error": f"malformed request: {error}"})
                return
            except OSError as error:
                _line(writing, {"error": str(error.strerror)})
                continue
            try:
                if not _send(handle, writing):
                    return
            finally:
                os.close(handle)


def _send(handle: int, writing: int) -> bool:
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        _line(writing, {"error": "it is no regular file"})
        return True
    _line(writing, {"size": status.st_size})
    digest = hashlib.sha256()
    left = status.st_size
    while left:
        data = os.read(handle, min(left, _CHUNK))
        if not data:  # it shrank: the size is promised, so only the end of the channel tells
            return False
        digest.update(data)
        write_all(writing, data)
        left -= len(data)
    _line(writing, {"sha256": digest.hexdigest()})
    return True


def write_all(handle: int, data: bytes) -> None:
    """Write all bytes to a blocking file descriptor."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def _line(handle: int, answer: Json) -> None:
    write_all(handle, json.dumps(answer).encode() + b"\n")


def _content(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
