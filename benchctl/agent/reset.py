"""Fresh data for an instance, of its image: files copied or shared, or a database made anew by the server.

Owns the ways of reset. The descriptor says which one, and for those of a server with which commands.
"""

import json
import os
import time
from pathlib import Path
from typing import Optional, Union

from benchctl.agent import contents, room, service
from benchctl.agent import image as images
from benchctl.agent.cloning import Clone, clone
from benchctl.agent.context import Context
from benchctl.agent.descriptor import Descriptor
from benchctl.agent.refusal import RefusalError
from benchctl.agent.wire import Json

_ORIGIN = "origin.json"  # beside the data: the image that the running or stopped server's folder was made of


def reset(context: Context, descriptor: Union[str, Json], image: str) -> Json:
    """Give the instance the data of the image, written back before this returns.

    By copy or reflink the server must stand still. By template or dump the server does it: the running one,
    which goes on, or one that is started for it with the descriptor's own settings, and stopped again.
    Somebody else's server is reset by the command that its descriptor has. `why` says why it is a copy where
    blocks were to be shared; `counted` is whether the data was compared.
    """
    found = Descriptor(descriptor, context)
    began = time.monotonic()
    if found.external:
        _reset_external(context, found)
        return {"method": "command", "why": "", "counted": False, "seconds": time.monotonic() - began}
    source = images.folder(context, image)
    images.forget_unfinished(source.parent)
    about = images.known(source)
    if about is None or about["form"] != found.image_form:
        form = "" if about is None else f", one of {about['form']} and not of {found.image_form},"
        raise RefusalError(f"there is no image {image} on this host{form}; build it first")
    broken = contents.altered(source / "data", about["files"])
    if broken:
        raise RefusalError(
            f"{source}: the data image was changed since it was made: {broken}; the next run makes it again",
            "service",
        )
    by_server = found.image_form != "files"
    done = (_by_server if by_server else _by_files)(context, found, source, about)
    images.sync(found.work)
    os.utime(source)
    return {**done._asdict(), "counted": by_server, "seconds": time.monotonic() - began}


def compare(context: Context, descriptor: Union[str, Json], image: str) -> Json:
    """Compare what the running server counts in its data with what it counted when the image was made.

    Raises RefusalError with what was expected and what was found.
    """
    found = Descriptor(descriptor, context)
    about = images.known(images.folder(context, image))
    counted = contents.count(context, found)
    contents.require_same(found, (about or {}).get("contents"), counted)
    return {"counted": counted or {}}


def _reset_external(context: Context, found: Descriptor) -> None:
    if not found.parts.get("reset"):
        raise RefusalError(
            f"{found.instance} is a server that is not benchctl's: its data is not reset. Give the role's"
            " option reset the command that does it, as a list of words",
            "service",
        )
    service.make_work_folder(context, found)
    service.command(context, found, "reset", found.part("reset"))


def _by_files(context: Context, found: Descriptor, source: Path, about: Json) -> Clone:
    images.require_stopped(context, found)
    images.remove(found.data)
    service.make_work_folder(context, found)
    try:
        done = clone(source / "data", found.data, about["bytes"], share=found.reset["way"] != "copy")
    except BaseException:
        images.remove(found.data)
        raise
    if found.run_as == "nobody":
        images.give_to_nobody(found.data)
    return done


def _by_server(context: Context, found: Descriptor, source: Path, about: Json) -> Clone:
    """Let the server make the database anew, in a folder that is made of the image once in a run."""
    way = found.reset["way"]
    if service.running(context, found) is not None:
        if _origin(found) != source.name:
            raise RefusalError(
                f"{found.instance} runs on the data of another image; stop it first", "service"
            )
        _restore(context, found, source, about)
        return Clone(way, "")
    try:
        _make_folder(context, found, source, about)
        service.start(context, found.given, {})
        try:
            _restore(context, found, source, about)
        finally:
            service.stop(context, found.given)
    except RefusalError as error:
        there = room.free(found.work)
        images.remove(found.data)  # the next reset begins with the image's
        if room.is_lack(error) and error.kind != "unfit":
            wanted = f"{way} of the data image needs about {room.size(about['bytes'])}"
            raise room.full(found.data, wanted, there, error.log) from error
        raise
    return Clone(way, "")


def _restore(context: Context, found: Descriptor, source: Path, about: Json) -> None:
    images.run_commands(context, found, "restore", source / "data")
    service.checkpoint(context, found.given)
    contents.require_same(found, about["contents"], contents.count(context, found))


def _make_folder(context: Context, found: Descriptor, source: Path, about: Json) -> None:
    if found.data.exists() and _origin(found) == source.name:
        return
    origin = found.work / _ORIGIN
    origin.unlink(missing_ok=True)  # a folder that is half made belongs to no image
    if found.image_form == "dump":
        images.remove(found.data)
        images.make_data(context, found)
    else:
        _by_files(context, found, source, about)
    origin.write_text(json.dumps({"image": source.name}))


def _origin(found: Descriptor) -> Optional[str]:
    try:
        name: str = json.loads((found.work / _ORIGIN).read_bytes())["image"]
    except (OSError, ValueError, KeyError):
        return None
    return name
