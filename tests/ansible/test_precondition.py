"""Overwriting a disk by the playbook: a real block device, and nothing without the words for what is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.ansible.site import words
from tests.needs import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.ansible.conftest import Outcome, Player

pytestmark = [pytest.mark.ansible, pytest.mark.slow]

MIB = 1 << 20
SIZE = 5 * MIB // 2  # no whole number of the chunks that are written
HOLDS = "2.5 MiB, ext4 labelled old"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A loop device with a file system of that label, on the file beside it."""
    need("root", "run the tests as root", available=os.getuid() == 0)
    image = tmp_path / "image"
    image.write_bytes(bytes(SIZE))
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-L", "old", image], check=True, timeout=60)
    done = subprocess.run(
        ["losetup", "--find", "--show", image], capture_output=True, text=True, check=False, timeout=60
    )
    need("mount", f"a machine that may have loop devices: {done.stderr}", available=done.returncode == 0)
    device = Path(done.stdout.strip())
    yield device
    subprocess.run(["losetup", "--detach", device], check=True, timeout=60)


def test_a_disk_is_overwritten_when_what_it_holds_is_said(play: Player, tmp_path: Path, disk: Path) -> None:
    inventory = tmp_path / "inventory.yml"  # JSON is YAML
    here = {
        "ansible_connection": "local",
        "ansible_become": False,
        "ansible_python_interpreter": sys.executable,
    }
    inventory.write_text(json.dumps({"all": {"children": {"dbms": {"hosts": {"here": here}}}}}))
    before = (tmp_path / "image").read_bytes()

    def overwrite(told: dict[str, str], *options: str) -> Outcome:
        return play(
            "precondition", "-e", json.dumps({"bench_precondition": told}), *options, inventory=inventory
        )

    refused = overwrite({str(disk): "", str(tmp_path / "image"): HOLDS})
    assert refused.code != 0
    told = words(refused).replace('\\"', '"')
    assert f'{disk} would lose all that is on it; it holds "{HOLDS}"; {tmp_path}/image is no block' in told

    place = tmp_path / "mounted"
    place.mkdir()
    subprocess.run(["mount", "-o", "ro", disk, place], check=True, timeout=60)
    try:
        used = overwrite({str(disk): HOLDS})
    finally:
        subprocess.run(["umount", place], check=True, timeout=60)
    assert f"{disk}: Device or resource busy" in words(used)

    assert overwrite({str(disk): HOLDS}, "--check").changed == 0
    assert overwrite({}).changed == 0
    assert (tmp_path / "image").read_bytes() == before

    assert overwrite({str(disk): HOLDS}).changed == 1
    after = (tmp_path / "image").read_bytes()
    parts = {after[at : at + MIB // 2] for at in range(0, SIZE, MIB // 2)}
    assert len(parts) == SIZE // (MIB // 2), "every part is random, and none is there twice"
    again = overwrite({str(disk): HOLDS})
    assert 'it holds "2.5 MiB, nothing known"' in words(again).replace('\\"', '"')
    assert (tmp_path / "image").read_bytes() == after
