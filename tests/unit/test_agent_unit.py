"""Starting the supervisor by systemd, where systemd does not do it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchctl.agent import unit

if TYPE_CHECKING:
    from pathlib import Path


def test_a_systemd_too_busy_to_answer_is_what_the_attacher_knows_to_do_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = tmp_path / "systemd-run"
    busy.write_text("#!/bin/sh\nexec sleep 60\n")
    busy.chmod(0o755)
    monkeypatch.setattr(unit, "_PROGRAM", str(busy))
    monkeypatch.setattr(unit, "_START_LIMIT", 0.05)
    with pytest.raises(OSError, match=r"systemd-run did not end in 0\.05 s"):
        unit.start(tmp_path, ["true"], {})
    assert list(tmp_path.iterdir()) == [busy]
