"""Data images on real file systems: shared blocks, full disks, changed images, agents that were killed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.agent import image, reset
from benchctl.agent.context import Context
from benchctl.agent.refusal import RefusalError
from benchctl.testing.server import write_descriptor
from tests.needs import need

if TYPE_CHECKING:
    from collections.abc import Iterator

MEBIBYTE = 1 << 20
NAME = "i1"
KILLED = """
import sys
from benchctl.agent import image, reset
from benchctl.agent.context import Context
path, megabytes, verb = sys.argv[1:]
fill = ["dd", "if=/dev/zero", "of={data}/x", "bs=1M", "count=" + megabytes]
context = Context("killed", supervised=False)
context.make_folders()
if verb == "image":
    image.image(context, path, "i1", prepare={"argv": fill})
else:
    reset.reset(context, path, "i1")
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    short = Path(tempfile.mkdtemp(prefix="b", dir="/tmp"))
    yield short
    shutil.rmtree(short)


@pytest.fixture
def mounted(folder: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of the test's own: xfs in a file, which shares blocks, or a tmpfs of a size."""
    need("root", "run the tests as root", available=os.getuid() == 0)
    place, kind = folder / "disk", str(request.param)
    place.mkdir()
    if kind == "xfs":
        need("mkfs.xfs", "apt-get install xfsprogs", available=shutil.which("mkfs.xfs") is not None)
        with (folder / "disk.img").open("wb") as file:
            file.truncate(400 * MEBIBYTE)
        subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", folder / "disk.img"], check=True)
        words = ["-o", "loop", str(folder / "disk.img")]
    else:
        words = ["-t", "tmpfs", "-o", f"size={kind}", "none"]
    done = subprocess.run(["mount", *words, place], capture_output=True, text=True, check=False)
    need("mount", f"a machine that may mount {kind}: {done.stderr}", available=done.returncode == 0)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def context_in(place: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv("BENCHCTL_CACHE", str(place / "cache"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place))
    found = Context(f"run-{os.getpid()}", supervised=False)
    found.make_folders()
    return found


def fill(megabytes: int) -> dict[str, Any]:
    return {"argv": ["dd", "if=/dev/urandom", "of={data}/x", "bs=1M", f"count={megabytes}"]}


def free(place: Path) -> int:
    return shutil.disk_usage(place).free


@pytest.mark.parametrize("mounted", ["xfs"], indirect=True)
@pytest.mark.parametrize("way", ["reflink", "copy"])
def test_blocks_are_shared_where_the_file_system_can(
    mounted: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    context = context_in(mounted, monkeypatch)
    path = write_descriptor(folder, reset={"way": way})
    image.image(context, path, NAME, prepare=fill(64))
    before = free(mounted)
    done = reset.reset(context, path, NAME)
    assert (done["method"], done["why"]) == (way, "")
    assert (before - free(mounted) < 60 * MEBIBYTE) == (way == "reflink")
    data = context.work / "server-1" / "data" / "x"
    kept = (image.folder(context, NAME) / "data" / "x").read_bytes()
    assert data.read_bytes() == kept
    with data.open("r+b") as file:
        file.write(b"changed by a trial")
    assert (image.folder(context, NAME) / "data" / "x").read_bytes() == kept


@pytest.mark.parametrize("mounted", ["64m"], indirect=True)
def test_a_file_system_that_cannot_share_is_named(
    mounted: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_in(mounted, monkeypatch)
    path = write_descriptor(folder)
    image.image(context, path, NAME, prepare=fill(2))
    done = reset.reset(context, path, NAME)
    assert done["method"] == "copy"
    assert done["why"].startswith("its file system shares no blocks: ")
    assert (context.work / "server-1" / "data" / "x").stat().st_size == 2 * MEBIBYTE


@pytest.mark.parametrize("mounted", ["32m"], indirect=True)
def test_a_disk_that_a_preparation_fills_is_named_and_given_back(
    mounted: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_in(mounted, monkeypatch)
    path = write_descriptor(folder)
    before = free(mounted)
    with pytest.raises(RefusalError) as found:
        image.image(context, path, NAME, prepare=fill(64))
    said = str(found.value)
    assert said.startswith(
        f"{context.work}/server-1/data: no space left: the data image needs more than the 3"
    )
    assert re.search(r"and 0\.0 MiB \([0-9]+ bytes\) are free; free some, or set BENCHCTL_CACHE", said)
    assert found.value.kind == "unfit"
    assert before - free(mounted) < MEBIBYTE
    assert list((context.cache / "images").glob("*")) == []
    image.image(context, path, NAME, prepare=fill(2))


@pytest.mark.parametrize("mounted", ["32m"], indirect=True)
@pytest.mark.parametrize("way", ["reflink", "copy"])
def test_a_disk_without_room_for_the_copy_is_named_before_it_is_full(
    mounted: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    context = context_in(mounted, monkeypatch)
    path = write_descriptor(folder, reset={"way": way})
    image.image(context, path, NAME, prepare=fill(20))
    before = free(mounted)
    with pytest.raises(RefusalError) as found:
        reset.reset(context, path, NAME)
    assert f"no space left: the copy of the data image needs 20.0 MiB ({20 * MEBIBYTE} bytes), and " in str(
        found.value
    )
    assert f"({before} bytes) are free" in str(found.value) or way == "reflink"  # its first file was made
    assert before - free(mounted) < MEBIBYTE
    assert not (context.work / "server-1" / "data").exists()


def test_an_image_that_was_changed_is_refused_and_made_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_in(folder, monkeypatch)
    path = write_descriptor(folder)
    image.image(context, path, NAME, prepare=fill(1))
    file = image.folder(context, NAME) / "data" / "x"
    with file.open("r+b") as opened:
        opened.truncate(1000)
    with pytest.raises(RefusalError, match=r"changed since.* x: expected 1048576 bytes, found 1000"):
        reset.reset(context, path, NAME)
    again = image.image(context, path, NAME, prepare=fill(1))
    assert (again["built"], again["altered"]) == (
        True,
        "1 files expected, 1 found; x: expected 1048576 bytes, found 1000 bytes",
    )
    reset.reset(context, path, NAME)


def test_data_that_differs_from_its_image_is_told_with_both_figures(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_in(folder, monkeypatch)
    path = write_descriptor(folder, contents={"argv": ["cat", "{data}/rows"]})
    rows = {"argv": ["sh", "-c", 'printf \'{"a rows": 3, "b rows": 4}\' > "$0"', "{data}/rows"]}
    image.image(context, path, NAME, prepare=rows)
    reset.reset(context, path, NAME)
    (context.work / "server-1" / "data" / "rows").write_text('{"a rows": 2, "c rows": 1}')
    with pytest.raises(RefusalError) as found:
        reset.compare(context, path, NAME)
    assert str(found.value) == (
        "server-1: its data is not that of the image: a rows: expected 3, found 2;"
        " b rows: expected 4, found none; c rows: expected none, found 1"
    )


def test_an_image_of_another_form_is_not_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = context_in(folder, monkeypatch)
    image.image(context, write_descriptor(folder), NAME)
    other = write_descriptor(
        folder, reset={"way": "dump", "keep": [["touch", "{image}/x"]], "restore": [["ls", "{image}/x"]]}
    )
    with pytest.raises(RefusalError, match="no image i1 on this host, one of files and not of dump,"):
        reset.reset(context, other, NAME)
    assert image.image(context, other, NAME)["built"]
    assert reset.reset(context, other, NAME)["method"] == "dump"


def test_a_way_of_reset_that_nobody_knows_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = context_in(folder, monkeypatch)
    with pytest.raises(RefusalError, match=r"reset\.way is none of \('copy', 'reflink'\), and there is no"):
        image.image(context, write_descriptor(folder, reset={"way": "snapshot"}), NAME)


@pytest.mark.parametrize(
    ("verb", "seen"),
    [
        ("image", "runs/killed/server-1/data/x"),
        ("image", "images/.*"),
        ("reset", "runs/killed/server-1/data/x"),
    ],
)
def test_a_kill_leaves_no_half_image_and_the_next_run_its_disk(
    folder: Path, monkeypatch: pytest.MonkeyPatch, verb: str, seen: str
) -> None:
    context = context_in(folder, monkeypatch)
    path = write_descriptor(folder, reset={"way": "copy"})
    if verb == "reset":
        image.image(context, path, NAME, prepare=fill(128))
    command = [sys.executable, "-c", KILLED, path, "128", verb]
    victim = subprocess.Popen(command, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(context.cache.glob(seen)) and victim.poll() is None:
        assert time.monotonic() < deadline
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    there = image.folder(context, NAME)
    assert not there.exists() or (json.loads((there / "image.json").read_bytes()), image.known(there))
    image.image(context, path, NAME, prepare=fill(128))
    assert [found.name for found in there.parent.iterdir()] == [NAME]
    reset.reset(context, path, NAME)
    assert (context.work / "server-1" / "data" / "x").stat().st_size == 128 * MEBIBYTE
