from __future__ import annotations

import pytest

from benchctl.benchmark.settings import differing, same


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("64MB", "64MB"),
        ("65536kB", "64MB"),
        ("1024MB", "1GB"),
        ("on", "on"),
        ("true", "on"),
        ("0", "off"),
        ("500ms", "0.5s"),
        ("1min", "60s"),
        ("1.50", "1.5"),
        ("REPLICA", "replica"),
        ("64M", "67108864"),
        ("100mb", "104857600"),
        ("1g", "1024M"),
    ],
)
def test_spellings_of_one_value_are_the_same(wanted: str, found: str) -> None:
    assert same(wanted, found)
    assert same(found, wanted)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("64MB", "63MB"),
        ("on", "off"),
        ("1s", "1ms"),
        ("replica", "logical"),
        ("2", "on"),
        ("", "on"),
        ("4MB", "4"),
        ("64M", "64000000"),
        ("1G", "1"),
    ],
)
def test_other_values_differ(wanted: str, found: str) -> None:
    assert not same(wanted, found)


def test_a_setting_that_the_server_does_not_show_differs() -> None:
    found = differing({"work_mem": "4MB", "absent": "1"}, {"work_mem": "4096kB"})
    assert found == {"absent": ("1", "")}
