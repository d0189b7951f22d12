"""xb's own tests and Go's, on the source in the role."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from benchctl.software import golang
from benchctl.spec.share import shared

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("words", [("vet", "./..."), ("test", "./...")], ids=lambda words: words[0])
def test_go(words: tuple[str, ...], tmp_path: Path) -> None:
    source = tmp_path / "xb"
    shutil.copytree(shared("roles") / "xephon_b" / "files" / "xb", source)
    argv = [golang.compiler(), *words]
    done = subprocess.run(argv, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
