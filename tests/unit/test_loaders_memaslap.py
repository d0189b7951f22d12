"""memaslap's command line, and its parser on recorded outputs of libmemcached 1.1.4."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchctl import loaders
from benchctl.errors import ParseError, SpecError
from benchctl.loaders import memaslap
from benchctl.model.experiment import Workload
from benchctl.model.measurement import LoaderResult, Window
from benchctl.spec import read_role
from benchctl.spec.share import shared
from benchctl.testing.loader_contract import edited

CASES = Path(__file__).parents[1] / "cases" / "loaders" / "memaslap"
WINDOW = Window(start=0.0, end=3.0)
DESCRIPTOR: dict[str, Any] = {"binaries": {"memaslap": "/usr/bin/memcaslap"}, "env": {"TZ": "UTC"}}
TARGET: dict[str, Any] = {"host": "127.0.0.1", "port": 52211}


def workload(duration: float = 3, **options: Any) -> Workload:
    return Workload(role="memaslap", duration=duration, options=options)


def parse(raw: Path, duration: float = 3, clients: int = 8) -> LoaderResult:
    return loaders.get("memaslap").parse(raw, WINDOW, workload(duration, clients=clients))


def test_misses_are_a_share_of_the_gets() -> None:
    assert parse(CASES / "misses", clients=32).metrics["miss_ratio"].value == 0.0
    assert list(parse(CASES / "few", duration=1).series["throughput"]) == [1911]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Run time:", "Laufzeit:", "unknown line"),
        ("Run time: 3.0s", "Run time: 3,0s", "unknown line"),
        ("threads count: 2", "fibers: 2", "stdout:2: unknown line"),
        ("Avg:", "Mean:", "unknown line"),
        ("cmd_get: ", "cmd_get: 1", "operations, but"),
        ("get_misses: 0\n", "", "cut off"),
        ("Min(us)", "Min(ms)", "unknown line"),
        ("21732", "-21732", "unknown line"),
    ],
)
def test_a_changed_output_is_an_error_and_never_a_number(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ParseError, match=message):
        parse(edited(CASES / "get-heavy", tmp_path, old, new))


def test_a_missing_output_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParseError, match="stderr: not there"):
        parse(tmp_path)


def test_the_command_line_has_every_option() -> None:
    given = workload(10, clients=8, threads=2, value_size=64, window=5, binary=True)
    command = loaders.get("memaslap").command(given, DESCRIPTOR, TARGET, 7)
    assert " ".join(command.argv) == (
        "/usr/bin/memcaslap --servers=127.0.0.1:52211 --threads=2 --concurrency=8 --win_size=5k"
        " --fixed_size=64 --time=10s --stat_freq=1s --binary"
    )
    assert command.env == {"TZ": "UTC", "LC_ALL": "C.UTF-8"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Workload(role="memaslap", warmup=1.0), "cannot leave out its beginning"),
        (workload(1.5), "whole seconds"),
        (workload(clients=5, threads=2), "cannot be shared"),
    ],
)
def test_what_it_cannot_have_is_refused(given: Workload, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        loaders.get("memaslap").names(given)


@pytest.mark.parametrize(
    ("target", "message"), [(None, "drives a memcached"), ({"socket": "/x"}, "no Unix sockets")]
)
def test_a_system_that_it_reaches_is_needed(target: dict[str, Any] | None, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        loaders.get("memaslap").command(workload(), DESCRIPTOR, target, 7)


def test_the_role_says_the_same_defaults() -> None:
    options = read_role("memaslap", (shared("roles"),)).options
    assert {name: one.default for name, one in options.items() if one.scope != "install"} == memaslap.DEFAULTS
