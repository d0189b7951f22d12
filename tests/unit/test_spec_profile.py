"""Profiles of one's own: what they extend, and every mistake with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchctl.agent.profiles import PROFILES, problems
from benchctl.errors import SpecError
from benchctl.spec.profile import parse_profile, read_profile

if TYPE_CHECKING:
    from pathlib import Path


def parse(text: str) -> dict[str, str]:
    return parse_profile(text, "mine.yml", PROFILES, problems).values


def test_a_shipped_profile_is_known_by_its_name() -> None:
    assert read_profile("peak", PROFILES, problems) == ("peak", PROFILES["peak"])


def test_a_file_changes_adds_and_takes_away(tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    path.write_text("extends: repeatable\nknobs: {thp: never, ksm: null, huge_pages: 4096, boost: off}\n")
    made = read_profile(str(path), PROFILES, problems)
    assert made.name == str(path)
    assert (made.values["thp"], made.values["huge_pages"], made.values["boost"]) == ("never", "4096", "off")
    assert "ksm" not in made.values
    assert made.values["governor"] == "performance"


def test_a_file_may_stand_alone() -> None:
    assert parse("knobs: {swappiness: 10}") == {"swappiness": "10"}
    assert parse("extends: none") == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("extends: fast", "mine.yml:1:1: extends: found 'fast'; allowed: none, repeatable, peak"),
        ("knob: {thp: never}", "mine.yml:1:1: knob: found an unknown key (did you mean 'knobs'?)"),
        ("knobs: [thp]", "mine.yml:1:1: knobs: found no mapping; allowed: knob: value"),
        ("knobs:\n  thp: [never]", "mine.yml:2:3: knobs.thp: found no single value"),
        ("knobs:\n  tph: never", "mine.yml:2:3: knobs.tph: there is no such knob (did you mean 'thp'?)"),
        ("knobs:\n  swappiness: 900", "mine.yml:2:3: knobs.swappiness: '900': allowed: 0 to 200"),
        (
            "extends: repeatable\nknobs:\n  boost: on",
            "knobs.min_freq: 'base' conflicts with boost 'on': a fixed frequency and boost exclude",
        ),
        ("- thp", "mine.yml:1:1: found a list; allowed: a mapping of keys to values"),
    ],
)
def test_mistakes_have_their_place_and_a_reason(text: str, told: str) -> None:
    with pytest.raises(SpecError) as found:
        parse(text)
    assert told in found.value.detail


def test_an_unknown_name_is_told_with_what_there_is() -> None:
    with pytest.raises(SpecError, match="found no such profile") as found:
        read_profile("repeatible", PROFILES, problems)
    assert "did you mean 'repeatable'?" in found.value.detail
    assert "none, repeatable, peak" in found.value.remedy
