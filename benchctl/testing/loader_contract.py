"""What every load generator's module must do with recorded outputs: a suite for pytest, for all alike.

A class of yours inherits `LoaderContract` and has a fixture `case`: a folder ROLE/CASE with what one real run
left in its working folder (`stdout`, `stderr` and its own files) and beside it:

- `expected.json`: `metrics` (name to number, or null where the sample does not carry it), and any other field
  of LoaderResult that is worth stating (`requests`, `errors`, `version`, `open_loop`, ...);
- `workload.json`: what stood under `workload` in the experiment beside the role, `warmup` and `duration` in
  seconds; not there when nothing did;
- `window.json`: `start` and `end` of the window, seconds since the epoch; for outputs that have times.

    class TestMyload(LoaderContract):
        @pytest.fixture(params=recorded(Path(__file__).parent / "cases", "myload"))
        def case(self, request: pytest.FixtureRequest) -> Path:
            return Path(request.param)

Each case is also read cut, with an unknown line and with decimal commas: those must be errors, never numbers.
"""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from benchctl import loaders
from benchctl.errors import ParseError
from benchctl.model.experiment import Value, Workload
from benchctl.model.measurement import Window

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchctl.model.measurement import LoaderResult

_BESIDE = shutil.ignore_patterns("expected.json", "workload.json", "window.json")
_CUTS = 40  # places of a file that are tried


def recorded(cases: Path, role: str) -> list[Path]:
    """The cases of a role that are understood: those with expected numbers."""
    return sorted(path.parent for path in (cases / role).glob("*/expected.json"))


def asked(case: Path) -> tuple[Workload, Window]:
    """Return what a recorded run was asked for, and its window."""
    given = msgspec.convert(_json(case / "workload.json", {}), dict[str, Value])
    times = {name: float(str(given.pop(name))) for name in ("warmup", "duration") if name in given}
    window = msgspec.convert(_json(case / "window.json", {"start": 0.0, "end": 1.0}), Window)
    return Workload(role=case.parent.name, **times, options=given), window


class LoaderContract:
    """The suite; see the module."""

    @pytest.fixture
    def case(self) -> Path:
        """A recorded run's folder, given by the class that inherits."""
        raise NotImplementedError

    def output(self, case: Path) -> str:  # noqa: ARG002 - for classes that inherit
        """The file of a case that says what was measured."""
        return "stdout"

    def free_form(self, case: Path) -> bool:  # noqa: ARG002
        """Whether lines that the module does not know are no error, because an option says what counts."""
        return False

    def parse(self, case: Path, raw: Path) -> LoaderResult:
        """Read a raw folder with the options and the window of a case."""
        workload, window = asked(case)
        return loaders.get(case.parent.name).parse(raw, window, workload)

    def test_it_is_found_by_its_role_s_name(self, case: Path) -> None:
        assert case.parent.name in loaders.known()
        assert isinstance(loaders.get(case.parent.name).ENDS_ITSELF, bool)

    def test_a_recorded_output_gives_the_expected_numbers(self, case: Path) -> None:
        expected = _json(case / "expected.json", {})
        result = self.parse(case, case)
        found = json.loads(msgspec.json.encode(result))
        found["metrics"] = {name: quantity.value for name, quantity in result.metrics.items()}
        assert {name: _near(found[name]) for name in expected} == expected

    def test_every_metric_has_a_unit_and_the_result_its_role(self, case: Path) -> None:
        result = self.parse(case, case)
        assert result.loader == case.parent.name
        assert [name for name, quantity in result.metrics.items() if not quantity.unit] == []

    def test_cut_output_gives_the_same_numbers_or_an_error(self, case: Path, tmp_path: Path) -> None:
        text = (case / self.output(case)).read_text(encoding="utf-8")
        places = {len(text) * step // _CUTS for step in range(_CUTS)} | set(range(len(text) - 12, len(text)))
        for end in sorted(place for place in places if place >= 0):
            self._require_sound(case, tmp_path, text[:end], f"cut after {end} characters")

    def test_an_unknown_line_is_an_error(self, case: Path, tmp_path: Path) -> None:
        text = (case / self.output(case)).read_text(encoding="utf-8")
        for changed, what in () if self.free_form(case) else _with_a_line(text):
            raw = _changed(case, tmp_path, self.output(case), changed)
            assert self._objection(case, raw), what

    def test_decimal_commas_are_an_error(self, case: Path, tmp_path: Path) -> None:
        text = (case / self.output(case)).read_text(encoding="utf-8")
        changed = re.sub(r"(?<=[0-9])\.(?=[0-9])", ",", text)
        if changed != text:
            self._require_sound(case, tmp_path, changed, "with decimal commas")

    def test_no_output_is_an_error_that_names_the_file(self, case: Path, tmp_path: Path) -> None:
        raw = _changed(case, tmp_path, self.output(case), "")
        with pytest.raises(ParseError, match=re.escape(self.output(case))):
            self.parse(case, raw)
        (raw / self.output(case)).unlink()
        with pytest.raises(ParseError, match=re.escape(self.output(case))):
            self.parse(case, raw)

    def test_it_reads_the_same_again(self, case: Path) -> None:
        assert self.parse(case, case) == self.parse(case, case)

    def _require_sound(self, case: Path, scratch: Path, text: str, what: str) -> None:
        raw = _changed(case, scratch, self.output(case), text)
        objection = self._objection(case, raw)
        assert not objection or str(raw) in objection, (
            f"{what}: the error does not name the file: {objection}"
        )
        assert objection or self.parse(case, raw).metrics == self.parse(case, case).metrics, what

    def _objection(self, case: Path, raw: Path) -> str:
        """What the module says against an output; empty when it takes it."""
        try:
            self.parse(case, raw)
        except ParseError as error:
            return str(error)
        return ""


def _json(path: Path, default: Any) -> Any:  # noqa: ANN401 - any JSON
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else default


def _near(value: Any) -> Any:  # noqa: ANN401
    """The value, with numbers that equal any that differ by rounding only."""
    if isinstance(value, dict):
        return {name: _near(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_near(one) for one in value]
    return pytest.approx(value, rel=1e-12) if isinstance(value, float) else value


def _with_a_line(text: str) -> Iterator[tuple[str, str]]:
    """The text with a line that no load generator prints, at its beginning, middle and end."""
    lines = text.splitlines(keepends=True)
    for at in sorted({0, len(lines) // 2, len(lines)}):
        yield "".join([*lines[:at], "a line of tomorrow: 42\n", *lines[at:]]), f"a new line {at + 1}"


def _changed(case: Path, scratch: Path, name: str, text: str) -> Path:
    """A copy of the raw folder with another text in one file."""
    raw = scratch / "raw"
    shutil.rmtree(raw, ignore_errors=True)
    shutil.copytree(case, raw, ignore=_BESIDE)
    (raw / name).write_text(text, encoding="utf-8")
    return raw
