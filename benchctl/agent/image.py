"""Data images: prepared data under one name, built once per host, never changed; trials get their data of it.

Owns <cache>/images. An image appears under its name only when complete: image.json, files.json and data.
"""

import contextlib
import ctypes
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any, Optional, Union

from benchctl.agent import contents, room, service
from benchctl.agent.context import Context
from benchctl.agent.descriptor import Descriptor, fill
from benchctl.agent.layout import NOBODY, check_name
from benchctl.agent.process import Setting
from benchctl.agent.refusal import RefusalError
from benchctl.agent.wire import Json

IMAGES_KEPT = 16  # beyond these the least recently used go
PREPARE_TIMEOUT = 3600.0
DUMP = "dump"  # beside the instance's data: what the role's commands keep of it
_ABOUT = "image.json"
_FILES = "files.json"


def image(
    context: Context,
    descriptor: Union[str, Json],
    image: str,
    binaries_key: str = "",
    prepare: Optional[Json] = None,
    settings: Optional[Json] = None,
) -> Json:
    """Build the image unless it is there: init, start, setup, prepare, checkpoint, stop.

    It is there when it was built of binaries with the same key. `prepare` is the loader's command {argv, env,
    timeout}; placeholders of the descriptor are filled in. When a part fails nothing of the attempt is left.
    `altered` says what was wrong with the image that was there.
    """
    found = Descriptor(descriptor, context)
    began = time.monotonic()
    target = folder(context, image)
    forget_unfinished(target.parent)
    about = known(target)
    broken = "" if about is None else contents.altered(target / "data", about["files"])
    same = about is not None and (about["binaries_key"], about["form"]) == (binaries_key, found.image_form)
    if about is not None and same and not broken and not found.external:
        os.utime(target)
        return {"built": False, "seconds": time.monotonic() - began, "bytes": about["bytes"]}
    require_stopped(context, found)
    remove(found.data)
    try:
        counted = _build(context, found, prepare, settings or {})
        size = _publish(found, target, {"binaries_key": binaries_key, "contents": counted})
    except BaseException as error:
        service.stop(context, descriptor)
        lack = _lack(found) if room.is_lack(error) else None
        remove(found.data)
        remove(found.work / DUMP)
        forget_unfinished(target.parent)
        if lack is not None:
            raise lack from error
        raise
    forget_oldest(target.parent, target)
    return {"built": True, "seconds": time.monotonic() - began, "bytes": size, "altered": broken}


def folder(context: Context, name: str) -> Path:
    """Return where an image of this name lies. Raises RefusalError for what cannot be one."""
    return context.cache / "images" / check_name(name, "an image")


def known(target: Path) -> Optional[Json]:
    """Return what was written down of a complete image, its `files` too; None when there is none."""
    try:
        about: Json = json.loads((target / _ABOUT).read_bytes())
        about["files"] = json.loads((target / _FILES).read_bytes())
    except (OSError, ValueError):
        return None
    return about


def make_data(context: Context, found: Descriptor) -> None:
    """Let the server's program make an empty data folder. Raises RefusalError with what it said."""
    service.make_work_folder(context, found)
    if found.run_as == "nobody":
        found.data.mkdir(mode=0o700)
        give_to_nobody(found.data)
    part = found.part("init")
    server = found.setting(server=True)
    timeout = float(part.get("timeout") or service.COMMAND_TIMEOUT)
    answer = service.execute(context, found.argv("init", part), found.instance, server, timeout)
    if answer.exit:
        words = answer.stderr or answer.stdout
        raise RefusalError(f"{found.instance}: init ended with {answer.exit}", "service", _last(words))


def _build(context: Context, found: Descriptor, prepare: Optional[Json], settings: Json) -> Optional[Json]:
    make_data(context, found)
    service.start(context, found.given, settings)
    if found.parts.get("setup"):
        service.command(context, found, "setup", found.part("setup"))
    if prepare:
        _prepare(context, found, prepare)
    counted = None if found.serverless else contents.count(context, found)
    service.checkpoint(context, found.given)
    if found.reset.get("keep"):
        remove(found.work / DUMP)
        (found.work / DUMP).mkdir()
        run_commands(context, found, "keep", found.work / DUMP)
    how = service.stop(context, found.given)["how"]
    if how == "SIGKILL":
        raise RefusalError(f"{found.instance} did not stop, so its data is no image", "service")
    return counted


def run_commands(context: Context, found: Descriptor, name: str, dump: Path) -> None:
    """Run the commands of one part of the descriptor's reset; `{image}` in them is the folder of the dump."""
    part: Any = fill(found.reset, {"{image}": str(dump)})
    for argv in part[name]:
        timeout = float(part.get("timeout") or PREPARE_TIMEOUT)
        service.command(context, found, f"reset.{name}", {"argv": argv, "timeout": timeout})


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


def _lack(found: Descriptor) -> RefusalError:
    """Return the error for a disk that the build filled; asked before its files are given back."""
    there, used = room.free(found.work), room.taken(found.work)
    return room.full(
        found.data,
        f"the data image needs more than the {room.size(used)} that it had got, which are given back",
        there,
        service.tail(found.log),
    )


def _publish(found: Descriptor, target: Path, about: Json) -> int:
    """Give the instance's data, or the dump of it, the image's name; return its size in bytes."""
    building = target.with_name(f".{target.name}.{os.getpid()}")
    building.mkdir(parents=True)
    source = found.work / DUMP if found.image_form == "dump" else found.data
    size = room.taken(source)
    source.rename(building / "data")
    files = contents.listing(building / "data")
    (building / _FILES).write_text(json.dumps(files))
    about = {**about, "bytes": size, "instance": found.instance, "form": found.image_form}
    (building / _ABOUT).write_text(json.dumps(about))
    sync(building)
    remove(target)
    building.rename(target)
    sync(target)
    remove(found.data)
    remove(found.work / DUMP)
    return size


def forget_unfinished(images: Path) -> None:
    """Remove what a crash left half built; nobody else builds while this run holds the host."""
    with contextlib.suppress(FileNotFoundError):
        for path in [path for path in images.iterdir() if path.name.startswith(".")]:
            remove(path)


def forget_oldest(images: Path, keep: Path) -> None:
    """Remove the least recently used images beyond the limit, never `keep`."""
    others = sorted(
        (path for path in images.iterdir() if path != keep), key=lambda path: path.stat().st_mtime
    )
    for path in others[: max(0, len(others) + 1 - IMAGES_KEPT)]:
        remove(path)


def require_stopped(context: Context, found: Descriptor) -> None:
    """Raise RefusalError while the instance runs: its files must not be replaced below it."""
    if service.running(context, found) is not None:
        raise RefusalError(f"{found.instance} is running; stop it before its data is replaced", "service")


def remove(path: Path) -> None:
    """Remove a folder, if it is there."""
    if path.exists():
        shutil.rmtree(path)


def give_to_nobody(path: Path) -> None:
    """Give a folder and all below it to user nobody."""
    os.chown(path, NOBODY, NOBODY)
    for each in path.rglob("*"):
        os.chown(each, NOBODY, NOBODY, follow_symlinks=False)


def sync(path: Path) -> None:
    """Write back what the file system of a folder holds; returns when it is on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        ctypes.CDLL(None).syncfs(handle)
    finally:
        os.close(handle)


def _last(text: str) -> str:
    return "\n".join(text.splitlines()[-service.LOG_LINES :])
