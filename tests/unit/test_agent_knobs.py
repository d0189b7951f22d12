"""The rows of knobs and the shipped profiles hold together."""

from __future__ import annotations

import re

import pytest

from benchctl.agent.kinds import KINDS
from benchctl.agent.knob import allowed, refusal
from benchctl.agent.knobs import AREAS, CONFLICTS, ELSEWHERE, KNOBS
from benchctl.agent.profiles import PROFILES, compose, problems

ACTING = [name for name, knob in KNOBS.items() if knob.acts]


def test_the_53_are_there_and_most_are_acted_on() -> None:
    assert {knob.number for knob in KNOBS.values()} == set(range(1, 54))
    acted = {knob.number for knob in KNOBS.values() if knob.acts} | set(ELSEWHERE)
    assert len(acted) >= 46
    assert all(KNOBS[name].acts for names in ELSEWHERE.values() for name in names)
    assert {knob.number for knob in KNOBS.values() if knob.why} >= set(range(1, 54)) - acted


@pytest.mark.parametrize("name", KNOBS)
def test_a_row_is_complete(name: str) -> None:
    knob = KNOBS[name]
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
    assert name == knob.name
    assert knob.area in AREAS
    assert re.fullmatch(r"[LMSTV]{1,2}", knob.effect)
    assert knob.doc.endswith(".")
    assert knob.source
    assert knob.kind in KINDS
    assert knob.form in {"number", "word", "bracket", "cpus", "mask", "words", "unit", "text"}
    assert knob.places or not knob.acts
    assert bool(knob.why) is not knob.acts
    for place in knob.places:
        assert place.path.startswith("/") or KINDS[knob.kind].find is not None
        assert all(word in knob.choices for word, _ in place.words)


def test_no_path_belongs_to_two_knobs() -> None:
    paths = [place.path for name in ACTING for place in KNOBS[name].places]
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize("name", PROFILES)
def test_a_shipped_profile_is_right(name: str) -> None:
    assert problems(PROFILES[name]) == []


def test_conflicts_are_between_knobs_that_are_there() -> None:
    for one in CONFLICTS:
        assert {one.one, one.other} <= set(ACTING)
        assert one.reason


def test_null_leaves_a_knob_of_the_base_alone() -> None:
    made = compose({"thp": "never", "ksm": "0"}, {"ksm": None, "swappiness": "1"})
    assert made == {"thp": "never", "swappiness": "1"}


@pytest.mark.parametrize(
    ("name", "value", "fits"),
    [
        ("swappiness", "0", True),
        ("swappiness", "-1", False),
        ("rt_runtime", "-1", True),
        ("max_freq", "base", True),
        ("max_freq", "2400000", True),
        ("irq_affinity", "0-3,8", True),
        ("irq_affinity", "", False),
        ("port_range", "1024 65535", True),
        ("port_range", "1024-65535", False),
        ("congestion_control", "bbr", True),
        ("congestion_control", "bbr; reboot", False),
        ("uptime", "0", False),
    ],
)
def test_values_fit_or_do_not(name: str, value: str, fits: bool) -> None:  # noqa: FBT001 - a case's column
    assert (refusal(KNOBS[name], value) == "") is fits


def test_what_is_allowed_is_told_in_words() -> None:
    assert allowed(KNOBS["thp"]) == "always, madvise, never"
    assert allowed(KNOBS["aslr"]) == "2"
    assert allowed(KNOBS["dirty_bytes"]) == "a number from 8192 on"
    assert allowed(KNOBS["uptime"]) == "only recorded"
