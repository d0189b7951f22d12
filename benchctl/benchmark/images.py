"""Data images: built once per distinct content, cloned by every trial, never changed.

Owns the name of an image: a hash of everything that shapes its data. Files and templates are those of one
server and its settings; a dump is of none, so that it can outlive the version that wrote it.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from benchctl import loaders
from benchctl.model.event import Message

if TYPE_CHECKING:
    from benchctl.benchmark.bench import Bench
    from benchctl.loaders import Command
    from benchctl.model.plan import Image

BUILD_LIMIT = 4 * 3600.0  # seconds; a large scale takes its time, a hanging one must end


def build_images(bench: Bench) -> dict[str, str]:
    """Build what the host does not have yet; return the plan's image ids with the images' names there."""
    return {image.id: _build(image, bench) for image in bench.plan.images}


def image_name(
    image: Image, instance: dict[str, Any], loader: dict[str, Any], prepare: Command | None
) -> str:
    """Hash the server's binaries, init, setup and install options, what is kept, who prepares by what, seed.

    By copy and by reflink the image is the same one.
    """
    reset = instance.get("reset") or {}
    server = {
        "binaries": [check.get("sha256") or check.get("stdout") for check in instance["verify"]],
        "init": instance["init"]["argv"][1:],
        "setup": (instance.get("setup") or {}).get("argv", [])[1:],
        "base": (instance.get("settings") or {}).get("base", {}),
    }
    shape = {
        "role": instance["role"],
        **({} if reset.get("way") == "dump" else server),
        "keep": [[reset["way"], *argv[1:]] for argv in reset.get("keep", ())],
        "loader": image.loader,
        "prepare": None if prepare is None else [loader.get("version"), *prepare.argv[1:]],
        "options": image.prepare,
        "seed": image.seed,
    }
    return hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()[:32]


def _build(image: Image, bench: Bench) -> str:
    host = bench.server.name
    instance, loader = (bench.descriptors[host][name] for name in (image.instance, image.loader))
    prepare = loaders.get(image.loader).prepare(
        image.prepare, loader.content, instance.content["target"], image.seed
    )
    name = image_name(image, instance.content, loader.content, prepare)
    bench.cancel.check()
    bench.listener(Message(level="detail", text=f"data image {image.id} for {image.instance} on {host}"))
    with bench.journal.act("image", image=name, planned=image.id, instance=image.instance, host=host) as act:
        reply = bench.fleet[host].call(
            "image",
            timeout=BUILD_LIMIT,
            descriptor=instance.path,
            image=name,
            prepare=None if prepare is None else {"argv": list(prepare.argv), "env": prepare.env},
        )
        act.learned(built=reply["built"], seconds=reply["seconds"])
    if reply.get("altered"):
        why = f"data image {image.id} was changed since it was made ({reply['altered']}): it was made again"
        bench.listener(Message(level="warning", text=why))
    if reply["built"]:
        text = f"data image {image.id} built in {reply['seconds']:.1f} s ({reply['bytes'] / 2**20:.0f} MiB)"
        bench.listener(Message(level="info", text=text))
    return name
