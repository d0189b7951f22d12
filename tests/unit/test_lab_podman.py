"""Commands of the lab that hang end as errors that a user can read."""

from __future__ import annotations

import pytest

from benchctl.provision.lab.podman import LabError, command


def test_a_command_that_hangs_is_told_with_what_it_had_said() -> None:
    with pytest.raises(LabError) as told:
        command("sh", "-c", "echo reading lists; echo mirror is slow >&2; exec sleep 600", limit=1)
    assert "not done within 1 s\nreading lists\nmirror is slow" in str(told.value)


def test_a_command_that_fails_is_told_with_its_exit_code() -> None:
    with pytest.raises(LabError, match=r"exit 3\nno space$"):
        command("sh", "-c", "echo no space >&2; exit 3")
