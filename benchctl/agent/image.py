"""Data images: a prepared data folder per image, built once per host, cloned for each trial, never changed.

Owns <cache>/images and the instance's data folder. An image appears under its name only when complete.
"""

import ctypes
import errno
import fcntl
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any, Dict, Optional, Union

from benchctl.agent import service
from benchctl.agent.context import Context
from benchctl.agent.descriptor import Descriptor, fill
from benchctl.agent.layout import NOBODY, check_name
from benchctl.agent.process import Setting
from benchctl.agent.refusal import RefusalError
from benchctl.agent.wire import Json

IMAGES_KEPT = 16  # beyond these the least recently used go
PREPARE_TIMEOUT = 3600.0
_FICLONE = 0x40049409
_ABOUT = "image.json"
_NO_REFLINK = (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM)


def image(
    context: Context,
    descriptor: Union[str, Json],
    image: str,
    binaries_key: str = "",
    prepare: Optional[Json] = None,
    settings: Optional[Json] = None,
) -> Json:
    """Build the image unless it is there for the same binaries: init, start, prepare, checkpoint, stop.

    `prepare` is the loader's command {argv, env, timeout}; placeholders of the descriptor are filled in. When
    a part fails nothing of the attempt is left.
    """
    found = Descriptor(descriptor, context)
    began = time.monotonic()
    target = context.cache / "images" / check_name(image, "an image")
    about = _about(target)
    if about is not None and about["binaries_key"] == binaries_key:
        os.utime(target)
        return {"built": False, "seconds": time.monotonic() - began, "bytes": about["bytes"]}
    _require_stopped(context, found)
    _clear(found.data)
    try:
        _build(context, found, prepare, settings or {})
    except BaseException:
        service.stop(context, descriptor)
        _clear(found.data)
        raise
    size = sum(path.lstat().st_size for path in found.data.rglob("*"))
    _publish(found, target, {"binaries_key": binaries_key, "bytes": size, "instance": found.instance})
    forget_oldest(target.parent, target)
    return {"built": True, "seconds": time.monotonic() - began, "bytes": size}


def reset(context: Context, descriptor: Union[str, Json], image: str) -> Json:
    """Replace the instance's data by a clone of the image, written back before this returns."""
    found = Descriptor(descriptor, context)
    began = time.monotonic()
    source = context.cache / "images" / check_name(image, "an image")
    if _about(source) is None:
        raise RefusalError(f"there is no image {image} on this host; build it first")
    _require_stopped(context, found)
    _clear(found.data)
    service.make_work_folder(context, found)
    method = clone(source / "data", found.data)
    if found.run_as == "nobody":
        _give_to_nobody(found.data)
    _sync(found.work)
    os.utime(source)
    return {"seconds": time.monotonic() - began, "method": method}


def clone(source: Path, target: Path) -> str:
    """Copy a tree; return `reflink` when the file system shares the blocks, else `copy`."""
    state = {"reflink": True}
    shutil.copytree(source, target, symlinks=True, copy_function=lambda a, b: _clone_file(a, b, state))
    return "reflink" if state["reflink"] else "copy"


def _clone_file(source: str, target: str, state: Dict[str, bool]) -> str:
    try:
        return _copy_or_share(source, target, state)
    except OSError as error:  # copytree would gather one for each file that is left
        raise RefusalError(
            f"{target}: the data image cannot be copied: {error.strerror}; is its file system full?",
            "internal",
        ) from error


def _copy_or_share(source: str, target: str, state: Dict[str, bool]) -> str:
    with open(source, "rb") as origin, open(target, "xb") as copy:  # noqa: PTH123 - copytree's own strings
        os.fchmod(copy.fileno(), os.fstat(origin.fileno()).st_mode)
        if state["reflink"]:
            try:
                fcntl.ioctl(copy.fileno(), _FICLONE, origin.fileno())
            except OSError as error:
                if error.errno not in _NO_REFLINK:
                    raise
                state["reflink"] = False
            else:
                return target
        left = os.fstat(origin.fileno()).st_size
        while left > 0 and (sent := os.sendfile(copy.fileno(), origin.fileno(), None, left)):
            left -= sent
    return target


def _build(context: Context, found: Descriptor, prepare: Optional[Json], settings: Json) -> None:
    service.make_work_folder(context, found)
    if found.run_as == "nobody":
        found.data.mkdir(mode=0o700)
        _give_to_nobody(found.data)
    part = found.part("init")
    server = found.setting(server=True)
    timeout = float(part.get("timeout") or service.COMMAND_TIMEOUT)
    answer = service.execute(context, found.argv("init", part), found.instance, server, timeout)
    if answer.exit:
        words = answer.stderr or answer.stdout
        raise RefusalError(f"{found.instance}: init ended with {answer.exit}", "service", _last(words))
    service.start(context, found.given, settings)
    if prepare:
        _prepare(context, found, prepare)
    service.checkpoint(context, found.given)
    how = service.stop(context, found.given)["how"]
    if how == "SIGKILL":
        raise RefusalError(f"{found.instance} did not stop, so its data is no image", "service")


def _prepare(context: Context, found: Descriptor, prepare: Json) -> None:
    part: Any = fill(prepare, found.places)
    setting = Setting({str(k): str(v) for k, v in (part.get("env") or {}).items()}, str(found.work))
    argv = found.argv("prepare", part)
    timeout = float(part.get("timeout") or PREPARE_TIMEOUT)
    answer = service.execute(context, argv, found.instance, setting, timeout)
    if answer.exit:
        words = answer.stderr or answer.stdout
        raise RefusalError(
            f"preparing {found.instance}: {argv[0]} ended with {answer.exit}", "task", _last(words)
        )


def _publish(found: Descriptor, target: Path, about: Json) -> None:
    building = target.with_name(f".{target.name}.{os.getpid()}")
    _clear(building)
    building.mkdir(parents=True)
    (building / _ABOUT).write_text(json.dumps(about))
    found.data.rename(building / "data")
    _sync(building)
    _clear(target)
    building.rename(target)
    _sync(target)


def forget_oldest(folder: Path, keep: Path) -> None:
    """Remove the least recently used images beyond the limit, never `keep`."""
    others = [path for path in folder.iterdir() if path != keep]
    images = sorted(
        (path for path in others if not path.name.startswith(".")), key=lambda path: path.stat().st_mtime
    )
    for path in set(others) - set(images):
        _clear(path)  # what a crash left half built; nobody else builds while this run holds the host
    for path in images[: max(0, len(images) + 1 - IMAGES_KEPT)]:
        _clear(path)


def _about(target: Path) -> Optional[Json]:
    try:
        about: Json = json.loads((target / _ABOUT).read_bytes())
    except (OSError, ValueError):
        return None
    return about


def _require_stopped(context: Context, found: Descriptor) -> None:
    if service.running(context, found) is not None:
        raise RefusalError(f"{found.instance} is running; stop it before its data is replaced", "service")


def _clear(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _give_to_nobody(folder: Path) -> None:
    os.chown(folder, NOBODY, NOBODY)
    for path in folder.rglob("*"):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        ctypes.CDLL(None).syncfs(handle)
    finally:
        os.close(handle)


def _last(text: str) -> str:
    return "\n".join(text.splitlines()[-service.LOG_LINES :])
