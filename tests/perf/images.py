"""Reset of a data image of 1 GB by each way, against `cp -a` of the same bytes; until the disk has it."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchctl.agent import image, reset
from benchctl.agent.context import Context
from tests.integration.test_agent_postgres import prepare, write
from tests.perf.rows import Row, compared, rounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCALE = 66  # of pgbench: 1 GiB with its indexes and a short log
SHORT = {"max_wal_size": "96MB"}
ROUNDS = 3
NAME = "reset of 1 GB"
GIBIBYTE = 1 << 30


def run() -> list[Row]:
    with folder() as place, environment(place / "ext"):
        context = Context("perf", supervised=False)
        context.make_folders()
        paths = {way: described(place, way) for way in ("copy", "template", "dump")}
        for way, path in paths.items():
            sys.stderr.write(f"images: {SCALE} x 15 MB for {way} …\n")
            command = {**prepare("-i", "-q", "-s", str(SCALE)), "timeout": 3600}
            built = image.image(context, path, way, prepare=command, settings=SHORT)
            sys.stderr.write(f"images: {built['bytes'] / 2**20:.0f} MiB in {built['seconds']:.0f} s\n")
        acts = {way: resetting(context, path, way) for way, path in paths.items()}
        data = image.folder(context, "copy") / "data"
        times = measured({"cp": copying(data, place / "ext" / "by-cp"), **acts})
        cp = statistics.median(times.pop("cp"))
        rows = [compared(f"{NAME} / {way}", statistics.median(took), cp) for way, took in times.items()]
        return [*rows, *shared_blocks(place, image.folder(context, "copy"))]


def shared_blocks(place: Path, made: Path) -> list[Row]:
    """The same image on an xfs in a file; cp is told to copy there, or it would share the blocks too."""
    if os.getuid() or shutil.which("mkfs.xfs") is None:
        return [Row(f"{NAME} / reflink", "", "needs root and mkfs.xfs: apt-get install xfsprogs", "", "")]
    with xfs(place / "xfs", 4 * GIBIBYTE) as disk, environment(disk):
        context = Context("perf", supervised=False)
        context.make_folders()
        there = image.folder(context, "copy")
        there.parent.mkdir()
        subprocess.run(["cp", "-a", made, there], check=True)
        act = resetting(context, described(place, "reflink"), "copy")
        words = ("--reflink=never",)
        times = measured({"cp": copying(there / "data", disk / "by-cp", *words), "reflink": act})
    return [
        compared(f"{NAME} / reflink (xfs)", *(statistics.median(times[name]) for name in ("reflink", "cp")))
    ]


def measured(acts: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(rounds(ROUNDS)):
        for name, act in acts.items():
            begin = time.perf_counter()
            act()
            times[name].append(time.perf_counter() - begin)
            sys.stderr.write(f"images: {name} {times[name][-1]:.2f} s\n")
    return times


def resetting(context: Context, path: str, name: str) -> Callable[[], object]:
    return lambda: reset.reset(context, path, name)


def copying(source: Path, target: Path, *words: str) -> Callable[[], object]:
    def copy() -> None:
        if target.exists():
            shutil.rmtree(target)  # a reset removes what was there too
        subprocess.run(["cp", "-a", *words, source, target], check=True)
        subprocess.run(["sync", "-f", target], check=True)

    return copy


def described(place: Path, way: str) -> str:
    (place / way).mkdir()
    return write(place / way, "userns" if os.getuid() == 0 else "self", way)


@contextmanager
def folder() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="b", dir="/var/tmp"))
    place.chmod(0o711)
    try:
        yield place
    finally:
        shutil.rmtree(place)


@contextmanager
def environment(place: Path) -> Iterator[None]:
    wanted = {"BENCHCTL_CACHE": str(place / "cache"), "XDG_RUNTIME_DIR": str(place)}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextmanager
def xfs(place: Path, size: int) -> Iterator[Path]:
    place.mkdir()
    disk = place.with_suffix(".img")
    with disk.open("wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", disk], check=True)
    subprocess.run(["mount", "-o", "loop", disk, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)
