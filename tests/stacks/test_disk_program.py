"""The program that mounts a host's disk for data, with programs in place of those that need a disk."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from typing import TYPE_CHECKING

import pytest

from benchctl.provision.cloud_init import Disk, user_data
from benchctl.provision.keys import derived_key

if TYPE_CHECKING:
    from pathlib import Path

EBS, LOCAL = "Amazon Elastic Block Store", "Amazon EC2 NVMe Instance Storage"
LSBLK = f"""#!/bin/sh
case "$*" in
    "-dpno NAME") printf '/dev/nvme0n1\\n/dev/nvme1n1\\n/dev/nvme2n1\\n' ;;
    "-dno MODEL /dev/nvme1n1") echo "{LOCAL}   " ;;
    "-dno MODEL "*) echo "{EBS}" ;;
    "-no NAME,MOUNTPOINT /dev/nvme0n1") printf 'nvme0n1\\nnvme0n1p1 /\\n' ;;
    "-no NAME,MOUNTPOINT "*) echo "$3" ;;
esac
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    fakes = {
        "lsblk": LSBLK,
        "blkid": "#!/bin/sh\necho the-uuid\n",
        "getent": f"#!/bin/sh\necho u:x:1:1::{tmp_path}/home:/\n",
    }
    for name in ("mkfs.ext4", "mount", "chown"):
        fakes[name] = f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/done\n'
    for name, text in fakes.items():
        (folder / name).write_text(text, encoding="ascii")
        (folder / name).chmod(0o755)
    return folder


def mount(programs: Path, disk: Disk) -> subprocess.CompletedProcess[str]:
    """Run the program as the host would, with a table of file systems of its own."""
    config = user_data(derived_key("seed", "dbms-1"), expires=2e9, user=me(), disks=[disk])
    plain = json.loads(config.removeprefix("#cloud-config\n"))
    (text,) = [file["content"] for file in plain["write_files"] if file["path"].endswith("benchctl-disk")]
    argv = plain["runcmd"][-1][1:]
    table = programs.parent / "fstab"
    return subprocess.run(
        ["sh", "-c", text.replace("/etc/fstab", str(table)), "benchctl-disk", *argv],
        env={"PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


def me() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


@pytest.mark.parametrize(("model", "expected"), [(LOCAL, "/dev/nvme1n1"), (EBS, "/dev/nvme2n1")])
def test_the_first_free_disk_of_a_model_becomes_the_cache(programs: Path, model: str, expected: str) -> None:
    done = mount(programs, Disk(("model", model)))
    assert done.returncode == 0, done.stderr
    folder = programs.parent / "home" / ".cache" / "benchctl"
    assert folder.is_dir()
    assert (programs.parent / "fstab").read_text(
        "ascii"
    ) == f"UUID=the-uuid {folder} ext4 noatime,nofail 0 2\n"
    acts = (programs.parent / "done").read_text("ascii").splitlines()
    assert [act.split()[0] for act in acts] == ["mkfs.ext4", "mount", "chown"]
    assert acts[0].endswith(expected)
    assert acts[1] == f"mount {folder}"


def test_a_disk_is_named_by_the_first_path_that_is_there(programs: Path) -> None:
    there = programs.parent / "lun0"
    there.touch()
    folder = str(programs.parent / "data")
    done = mount(programs, Disk(("/dev/nothing-of-this-kind", str(there)), folder))
    assert done.returncode == 0, done.stderr
    assert (programs.parent / "done").read_text("ascii").splitlines()[0].endswith(str(there))


def test_no_free_disk_is_said_and_nothing_is_made(programs: Path) -> None:
    done = mount(programs, Disk(("model", "Microsoft NVMe Direct Disk")))
    assert done.returncode == 1
    assert "found no free disk" in done.stderr
    assert not (programs.parent / "done").exists()
