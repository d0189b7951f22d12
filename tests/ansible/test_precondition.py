"""Overwriting a disk by the playbook: a real block device, and nothing without the words for what is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.ansible.site import words
from tests.needs import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.ansible.conftest import Outcome, Player

    Overwrite = Callable[..., Outcome]

pytestmark = [pytest.mark.ansible, pytest.mark.slow]

MIB = 1 << 20
SIZE = 5 * MIB // 2  # no whole number of the chunks that are written
HOLDS = "2.5 MiB, ext4 labelled old"


@contextmanager
def loop_device(image: Path) -> Iterator[Path]:
    """A loop device with a file system of that label, on this file."""
    with image.open("wb") as file:
        file.truncate(SIZE)
    run("mke2fs", "-q", "-t", "ext4", "-L", "old", image)
    device = Path(allowed("losetup", "--find", "--show", image))
    try:
        yield device
    finally:
        run("losetup", "--detach", device)


@contextmanager
def mounted(*words: str | Path) -> Iterator[None]:
    allowed("mount", *words)
    try:
        yield
    finally:
        run("umount", words[-1])


def allowed(*argv: str | Path) -> str:
    """What it printed; skips where this machine, being a container perhaps, does not let it."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    need("mount", f"a machine that may do {argv[0]}: {done.stderr}", available=done.returncode == 0)
    return done.stdout.strip()


def run(*argv: str | Path) -> None:
    subprocess.run(argv, check=True, timeout=60)


@pytest.fixture
def overwrite(play: Player, tmp_path: Path) -> Overwrite:
    need("root", "run the tests as root", available=os.getuid() == 0)
    inventory = tmp_path / "inventory.yml"  # JSON is YAML
    here = {
        "ansible_connection": "local",
        "ansible_become": False,
        "ansible_python_interpreter": sys.executable,
    }
    inventory.write_text(json.dumps({"all": {"children": {"dbms": {"hosts": {"here": here}}}}}))
    return lambda told, *options: play(
        "precondition", "-e", json.dumps({"bench_precondition": told}), *options, inventory=inventory
    )


def test_a_disk_is_overwritten_when_what_it_holds_is_said(tmp_path: Path, overwrite: Overwrite) -> None:
    image, place = tmp_path / "image", tmp_path / "mounted"
    place.mkdir()
    with loop_device(image) as disk:
        before = image.read_bytes()
        refused = overwrite({str(disk): "", str(image): HOLDS})
        assert refused.code != 0
        told = words(refused).replace('\\"', '"')
        assert f'{disk} would lose all that is on it; it holds "{HOLDS}"; {image} is no block' in told
        with mounted("-o", "ro", disk, place):
            used = overwrite({str(disk): HOLDS})
        assert f"{disk}: Device or resource busy" in words(used)
        assert overwrite({str(disk): HOLDS}, "--check").changed == 0
        assert overwrite({}).changed == 0
        assert image.read_bytes() == before

        done = overwrite({str(disk): HOLDS})
        assert done.changed == 1
        told = words(done)
        assert told.index(f"{disk}, pass 1 of 2, 10 %") < told.index(f"{disk}, pass 2 of 2, 100 %")
        after = image.read_bytes()
        parts = {after[at : at + MIB // 2] for at in range(0, SIZE, MIB // 2)}
        assert len(parts) == SIZE // (MIB // 2), "every part is random, and none is there twice"
        again = overwrite({str(disk): HOLDS})
        assert 'it holds "2.5 MiB, nothing known"' in words(again).replace('\\"', '"')
        assert image.read_bytes() == after


def test_a_disk_that_fails_is_written_no_further(tmp_path: Path, overwrite: Overwrite) -> None:
    room = tmp_path / "room"
    room.mkdir()
    with (  # tmpfs lets half a MiB more in now and then
        mounted("-t", "tmpfs", "-o", "size=512k", "none", room),
        loop_device(room / "image") as disk,
    ):
        failed = overwrite({str(disk): HOLDS})
    assert failed.code != 0
    told = words(failed).replace('\\"', '"')
    assert f'"{HOLDS}" is gone. Nothing more was written.' in told, told
    assert "pass 1 of 2, 10 %" in told
    assert "pass 1 of 2, 90 %" not in told, told
    assert "import" not in told, "the script is none of the user's business"
