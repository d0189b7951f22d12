"""Whatever stands in a file: an experiment or a SpecError, never anything else, and never slowly."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchctl.errors import SpecError
from benchctl.model.experiment import Experiment
from benchctl.model.record import to_json
from benchctl.spec.load import Spec, parse
from benchctl.spec.nodes import decode

CASES = Path(__file__).parents[1] / "cases" / "spec"
HERE = CASES / "case.yml"
TEXTS = [
    decode((CASES / f"{name}.yml").read_bytes(), name)
    for name in ("valid-full", "valid-alias", "valid-stages", "many-at-once")
]
FRAGMENTS = [
    *(
        "\n",
        " ",
        "  ",
        "\t",
        ":",
        ": ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "&a ",
        "*a",
        "*s",
        "<<: ",
        "? ",
        "| ",
        ">\n",
    ),
    *(
        '"',
        "'",
        "#",
        "!!str ",
        "!x ",
        "%",
        "---\n",
        "...\n",
        "~",
        "null",
        "true",
        ".inf",
        ".nan",
        "1e999",
        "0x1F",
    ),
    *(
        "0o7",
        "-0",
        "9" * 80,
        "60",
        "60s",
        "2%",
        "18",
        '"18"',
        "{env: X}",
        "dbms",
        "workload",
        "factors",
        "role: x",
    ),
    *(
        "\\u0000",
        '"\\xff"',
        '"\\UFFFFFFFF"',
        '"\\ud800"',
        "é",
        "\u2028",
        "\x85",
        "\ufeff",
        "=",
        "é: {",
        "..",
        ".",
    ),
]
HEAVY = settings(max_examples=80, deadline=None, derandomize=True)
FEW = settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


def outcome(text: str, sets: tuple[str, ...] = ()) -> Spec | SpecError:
    try:
        return parse(text, HERE, sets=sets)
    except SpecError as error:
        return error


@st.composite
def mutated(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from([0, 0, 1, 2, 8, 40])))
        text = text[:start] + draw(st.sampled_from(FRAGMENTS)) + text[end:]
    return text


@FEW
@given(mutated())
def test_a_mutated_file_gives_an_experiment_or_a_spec_error(text: str) -> None:
    found = outcome(text)
    if isinstance(found, SpecError):
        assert found.detail
    else:
        assert msgspec.json.decode(to_json(found.experiment), type=Experiment) == found.experiment


@FEW
@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    outcome(text)


@FEW
@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    try:
        text = decode(data, "case.yml")
    except SpecError:
        return
    outcome(text)


@HEAVY
@given(
    st.text(max_size=30) | st.builds("{}={}".format, st.sampled_from(["dbms", "factors.x", "a.b"]), st.text())
)
def test_any_set(option: str) -> None:
    outcome(TEXTS[0], (option,))


WORDS = st.text(string.ascii_lowercase, min_size=1, max_size=8).filter(
    lambda word: word not in {"null", "true", "false"}
)
SCALARS = st.integers(-(2**40), 2**40) | st.booleans() | WORDS | st.sampled_from(["4MB", "on", "off", "1.5s"])


@st.composite
def experiments(draw: st.DrawFn) -> dict[str, Any]:
    """A valid file as data; JSON is YAML, so it is written as that."""
    names = draw(st.lists(WORDS, max_size=3, unique=True))
    values = {name: draw(SCALARS) for name in names}
    levels = draw(st.lists(st.integers(1, 99), min_size=1, max_size=4, unique=True))
    blocks = draw(st.integers(1, 50))
    return {
        "name": draw(WORDS),
        "dbms": {"role": "postgresql", "version": draw(st.sampled_from(["18", "18.6"])), "settings": values},
        "workload": {"role": "pgbench", "duration": f"{draw(st.integers(1, 300))}s"},
        "factors": {"workload.clients": levels, "side": {"a": {}, "b": None}},
        "design": {
            "blocks": blocks,
            "min_blocks": draw(st.integers(1, blocks)),
            "seed": draw(st.integers(0, 9)),
        },
    }


def write(file: dict[str, Any]) -> str:
    return msgspec.json.encode(file).decode()


@HEAVY
@given(experiments())
def test_a_valid_file_keeps_what_it_says(file: dict[str, Any]) -> None:
    found = parse(write(file), HERE).experiment
    assert found.name == file["name"]
    assert found.dbms is not None
    assert found.dbms.settings == file["dbms"]["settings"]
    assert [level.sets for level in found.factors[0].levels] == [
        {"workload.clients": level} for level in file["factors"]["workload.clients"]
    ]
    assert (found.design.blocks, found.design.seed) == (file["design"]["blocks"], file["design"]["seed"])
    assert msgspec.json.decode(to_json(found), type=Experiment) == found


@HEAVY
@given(
    experiments(),
    st.sampled_from(["design.blocks", "design.seed", "dbms.version", "name", "workload.duration"]),
    experiments(),
)
def test_a_set_equals_the_edit(file: dict[str, Any], path: str, other: dict[str, Any]) -> None:
    section, _, key = path.partition(".")
    value = other[section][key] if key else other[section]
    option = f"{path}={msgspec.json.encode(value).decode()}"
    edited = {**file, section: {**file[section], key: value} if key else value}
    by_option, by_edit = outcome(write(file), (option,)), outcome(write(edited))
    if isinstance(by_option, Spec):
        assert isinstance(by_edit, Spec)
        assert by_option.experiment == by_edit.experiment
        assert by_option.origins[path] == "--set"
    else:
        assert isinstance(by_edit, SpecError)
