"""The run's files on this host: listing, sending, taking, removing, and the stamps of what was installed.

Owns which paths may be written and removed: only those of the own run.
"""

import binascii
import contextlib
import hashlib
import json
import os
import shutil
import stat
import threading
import zlib
from pathlib import Path
from typing import BinaryIO, Dict, Iterator, Optional, Tuple

from benchctl.agent.context import Context
from benchctl.agent.layout import LINE_LIMIT, below, check_name
from benchctl.agent.refusal import RefusalError
from benchctl.agent.wire import Json

SIZE_LIMIT = 64 << 30  # bytes of a file that is sent here
READ_SIZE = 1 << 16  # bytes of a file that a reply may carry
READ_LIMIT = 20_000  # bytes of a reply that such files may take, beside a list of files
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
    return {"files": [{"path": name, "size": size} for name, size in sorted(_regular(str(folder), ""))]}


def read(context: Context, dir: str) -> Json:  # noqa: A002 - same
    """Return the content of small files below a folder, as many as a reply has room for; none is no error.

    Each with its SHA-256; `data` is their content by zlib in base64. So what a short task leaves needs no
    round trip of its own.
    """
    folder = Path(dir)
    if not below(folder, context.work):
        raise RefusalError(f"{folder} is not below {context.work}")
    found, left = [], READ_LIMIT
    for name, size in sorted(_regular(str(folder), "")) if folder.is_dir() else ():
        if size > READ_SIZE:
            continue
        with contextlib.suppress(OSError):
            content = (folder / name).read_bytes()
            data = binascii.b2a_base64(zlib.compress(content, 1), newline=False).decode("ascii")
            entry = {"path": name, "sha256": hashlib.sha256(content).hexdigest(), "data": data}
            left -= len(json.dumps(entry)) + 2
            if left < 0:
                break
            found.append(entry)
    return {"read": found}


def _regular(folder: str, above: str) -> Iterator[Tuple[str, int]]:
    """Walk a tree: names below its root and sizes of regular files; no link is followed."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _regular(entry.path, f"{above}{entry.name}/")
            elif entry.is_file(follow_symlinks=False):
                yield above + entry.name, entry.stat(follow_symlinks=False).st_size


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


def serve(context: Context, reading: int, writing: int) -> None:
    """Send and take files over the raw channel until it closes; each line asks for one or announces one."""
    with os.fdopen(reading, "rb", closefd=False) as requests:
        while line := requests.readline(LINE_LIMIT + 1):
            if len(line) > LINE_LIMIT:
                _line(writing, {"error": f"a request of over {LINE_LIMIT} bytes"})
                return
            try:
                request = json.loads(line)
                if "put" not in request:
                    if not _offer(request, writing):
                        return
                    continue
                done = _take(context, request, requests)
            except (ValueError, KeyError, TypeError) as error:
                _line(writing, {"error": f"malformed request: {error!r}"})
                return
            if done is None:
                return
            _line(writing, done)


def _offer(request: Json, writing: int) -> bool:
    """Send one file; say whether the channel is of any use after it."""
    try:
        handle = os.open(request["path"], os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        _line(writing, {"error": str(error.strerror)})
        return True
    try:
        return _send(handle, writing)
    finally:
        os.close(handle)


def _take(context: Context, request: Json, requests: BinaryIO) -> Optional[Json]:
    """Take one file into the run's work folder, whole or not at all; what is refused is read past."""
    target, left = Path(request["put"]), int(request["size"])
    if not 0 <= left <= SIZE_LIMIT:
        return None
    with contextlib.closing(_Arriving(context, target)) as arriving:
        while left:
            data = requests.read(min(left, _CHUNK))
            if not data:
                return None
            left -= len(data)
            arriving.add(data)
        return arriving.complete(str(request["sha256"]), 0o755 if request.get("executable") else 0o644)


class _Arriving:
    """A file under a temporary name until it is complete."""

    def __init__(self, context: Context, target: Path) -> None:
        self._target = target
        self._part = target.with_name(f".{target.name}.{threading.get_ident()}")
        self._digest = hashlib.sha256()
        self._file: Optional[BinaryIO] = None
        self._error = ""
        inside = below(target, context.work) and target != context.work
        if not target.is_absolute() or ".." in target.parts or not inside:
            self._error = f"{target} is not below {context.work}: it is not this run's to write"
            return
        with self._noting():
            target.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._part.open("wb")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._part.unlink(missing_ok=True)

    def add(self, data: bytes) -> None:
        self._digest.update(data)
        with self._noting():
            if self._file is not None and not self._error:
                self._file.write(data)

    def complete(self, wanted: str, mode: int) -> Json:
        if self._digest.hexdigest() != wanted:
            self._error = self._error or "it arrived damaged"
        with self._noting():
            if self._file is not None and not self._error:
                self._file.close()
                self._part.chmod(mode)
                self._part.replace(self._target)
        return {"error": self._error} if self._error else {"sha256": wanted}

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        """Keep the first error; the rest of the file still has to be read."""
        try:
            yield
        except OSError as failure:  # a full disk
            self._error = self._error or str(failure.strerror)


def _send(handle: int, writing: int) -> bool:
    """Send size, content and hash, those of a small file in one piece: each piece is a packet for SSH."""
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        _line(writing, {"error": "it is no regular file"})
        return True
    waiting = _encoded({"size": status.st_size})
    digest = hashlib.sha256()
    left = status.st_size
    while left:
        data = os.read(handle, min(left, _CHUNK))
        if not data:  # it shrank: the size is promised, so only the end of the channel tells
            return False
        digest.update(data)
        left -= len(data)
        if len(waiting) + len(data) > _CHUNK:
            write_all(writing, waiting)
            waiting = b""
        waiting += data
    write_all(writing, waiting + _encoded({"sha256": digest.hexdigest()}))
    return True


def write_all(handle: int, data: bytes) -> None:
    """Write all bytes to a blocking file descriptor."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def _line(handle: int, answer: Json) -> None:
    write_all(handle, _encoded(answer))


def _encoded(answer: Json) -> bytes:
    return json.dumps(answer).encode() + b"\n"


def _content(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
