"""Hosts of molecule scenarios: what one downloads the next has, and nothing of them stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchctl.provision.cache import cache_folder
from benchctl.provision.janitor import leftovers
from benchctl.provision.lab.podman import REMEDY, podman, possible
from benchctl.testing.scenario_hosts import create, destroy
from tests.needs import need

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

PACKAGE = "hello"  # small, and nothing needs it


def installed(folder: Path, *options: str) -> str:
    """What a new host says of itself once it has the package."""
    folder.mkdir()
    try:
        create(folder, ["a"])
        host = f"{(folder / 'run').read_text()}-a"
        podman("exec", host, "apt-get", "-qq", *options, "install", PACKAGE)
        return podman("exec", host, PACKAGE)
    finally:
        run = (folder / "run").read_text()
        destroy(folder)
        assert leftovers("lab", run=run) == []


def test_what_one_host_downloads_the_next_has(tmp_path: Path) -> None:
    need("podman", REMEDY, available=possible())
    shared = cache_folder() / "lab" / "packages" / "cache" / "archives"
    for old in shared.glob(f"{PACKAGE}_*.deb"):
        old.unlink()
    assert installed(tmp_path / "first") == "Hello, world!\n"
    assert len(list(shared.glob(f"{PACKAGE}_*.deb"))) == 1
    assert installed(tmp_path / "second", "--no-download") == "Hello, world!\n"
