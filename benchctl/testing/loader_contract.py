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
Its options, its metrics with their units, and the command line for it are compared with what the role says in
meta/bench.yml and in `programs` of its vars/main.yml. A command line for a system wants its `target`, and one
that reads more of the descriptor than programs wants `descriptor`: give them by methods of your class.
For changes that only your format has, `edited` makes a copy of a case with one place changed. A run that
really failed is a folder ROLE-broken/CASE with `error.txt` in place of `expected.json`: what the error says.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from benchctl import loaders
from benchctl.errors import ParseError
from benchctl.model.experiment import Value, Workload
from benchctl.model.measurement import LoaderResult, Window
from benchctl.spec import read_role
from benchctl.spec.share import find_role, role_folders, with_plugins
from benchctl.testing.role_contract import wanted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchctl.model.role import RoleMeta

_BESIDE = shutil.ignore_patterns("expected.json", "workload.json", "window.json", "error.txt")
_BROKEN = "-broken"
_CUTS = 40  # places of a file that are tried


def recorded(cases: Path, role: str) -> list[Path]:
    """The cases of a role that are understood: those with expected numbers."""
    return sorted(path.parent for path in (cases / role).glob("*/expected.json"))


def broken(cases: Path) -> list[Path]:
    """The cases of all roles that are runs which really failed."""
    return sorted(path.parent for path in cases.glob(f"*{_BROKEN}/*/error.txt"))


def asked(case: Path) -> tuple[Workload, Window]:
    """Return what a recorded run was asked for, and its window."""
    given = msgspec.convert(_json(case / "workload.json", {}), dict[str, Value])
    times = {name: float(str(given.pop(name))) for name in ("warmup", "duration") if name in given}
    window = msgspec.convert(_json(case / "window.json", {"start": 0.0, "end": 1.0}), Window)
    return Workload(role=case.parent.name.removesuffix(_BROKEN), **times, options=given), window


def edited(case: Path, scratch: Path, old: str, new: str, file: str = "stdout") -> Path:
    """A copy of a case, with `new` where `old` first stood in the one file of that name or pattern."""
    (path,) = case.glob(file)
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path}: there is no {old!r}"
    return _changed(case, scratch, path.name, text.replace(old, new, 1))


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

    def descriptor(self, case: Path) -> dict[str, Any]:
        """What the role would leave on a host, with its programs below /programs."""
        role = find_role(case.parent.name, _folders())
        programs = wanted(role).get("programs", ()) if role is not None else ()
        if isinstance(programs, str):
            pytest.fail(f"{role}: programs is a template: override descriptor() with what it becomes")
        binaries = {name: f"/programs/{name}" for name in programs}
        return {"binaries": binaries, "env": {"LC_ALL": "C.UTF-8"}, "version": "1.0"}

    def target(self, case: Path) -> dict[str, Any] | None:
        """How the system of a case is reached; None for a role that drives none by name."""
        return {"host": "127.0.0.1", "port": 1} if _meta(case).drives else None

    def parse(self, case: Path, raw: Path) -> LoaderResult:
        """Read a raw folder with the options and the window of a case."""
        workload, window = asked(case)
        return loaders.get(case.parent.name).parse(raw, window, workload)

    def test_it_is_found_by_its_role_s_name(self, case: Path) -> None:
        assert case.parent.name in loaders.known()
        assert isinstance(loaders.get(case.parent.name).ENDS_ITSELF, bool)

    def test_a_recorded_output_gives_the_expected_numbers(self, case: Path) -> None:
        file = case / "expected.json"
        expected = _json(file, {})
        fields = LoaderResult.__struct_fields__
        unknown = sorted(set(expected) - set(fields))
        assert not unknown, (
            f"{file}: {', '.join(unknown)}: no field of LoaderResult; it has {', '.join(fields)}"
        )
        result = self.parse(case, case)
        found = json.loads(msgspec.json.encode(result))
        found["metrics"] = {name: quantity.value for name, quantity in result.metrics.items()}
        differing = list(_differing(expected, found))
        assert not differing, f"{file}: " + "; ".join(differing)

    def test_the_result_has_its_role_s_name(self, case: Path) -> None:
        assert self.parse(case, case).loader == case.parent.name

    def test_metrics_and_units_are_those_of_the_role(self, case: Path) -> None:
        """A role without any, such as one for programs of one's own, only needs units."""
        units = {metric.name: metric.unit for metric in _meta(case).metrics}
        for name, quantity in self.parse(case, case).metrics.items():
            assert quantity.unit, f"{name}: the parser gives it no unit"
            if units:
                assert name in units, f"{name}: the parser reports it, and metrics of meta/bench.yml lacks it"
                assert quantity.unit == units[name], (
                    f"{name}: the parser's unit is {quantity.unit}, that of meta/bench.yml is {units[name]}"
                )

    def test_its_options_are_those_of_the_role(self, case: Path) -> None:
        options, given = _meta(case).options, asked(case)[0].options
        unknown = ", ".join(sorted(set(given) - set(options)))
        known = ", ".join(options)
        assert not unknown, f"{case / 'workload.json'}: {unknown}: no option of meta/bench.yml: {known}"
        missing = ", ".join(name for name, one in options.items() if one.required and name not in given)
        assert not missing, f"{case / 'workload.json'}: {missing}: required by meta/bench.yml"

    def test_defaults_are_those_of_the_role(self, case: Path) -> None:
        options = _meta(case).options
        for name, default in getattr(loaders.get(case.parent.name), "DEFAULTS", {}).items():
            assert name in options, f"{name}: in DEFAULTS, and options of meta/bench.yml lacks it"
            said = options[name].default
            assert said is None or said == default, (
                f"{name}: its default is {default!r} in DEFAULTS, {said!r} in meta/bench.yml"
            )

    def test_its_command_runs_a_program_of_the_role(self, case: Path) -> None:
        workload, _ = asked(case)
        descriptor, loader = self.descriptor(case), loaders.get(case.parent.name)
        loader.names(workload)
        target = self.target(case)
        try:
            command = loader.command(_with_defaults(workload, _meta(case)), descriptor, target, 1)
        except KeyError as error:
            pytest.fail(f"command: {error} is neither in the descriptor {descriptor} nor in {target}")
        words = [word for word in (*command.argv, *command.env.values()) if not isinstance(word, str)]
        assert not words, f"command: {words} are no strings"
        programs = sorted(descriptor["binaries"].values())
        known = not programs or command.argv[0] in programs  # none: the experiment names the program
        assert known, f"command: {command.argv[0]} is none of {', '.join(programs)}"

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


def _folders() -> tuple[Path, ...]:
    return with_plugins(role_folders(Path()))


def _meta(case: Path) -> RoleMeta:
    """What the role of a case says of itself."""
    return read_role(case.parent.name, _folders())


def _with_defaults(workload: Workload, meta: RoleMeta) -> Workload:
    """The workload as a run gives it to the module: complete."""
    defaults = {name: one.default for name, one in meta.options.items() if one.default is not None}
    return msgspec.structs.replace(workload, options={**defaults, **workload.options})


def _differing(expected: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    """What is not as expected, each by its name, metrics one by one."""
    for name, value in expected.items():
        if name == "metrics":
            missing = sorted(set(value) ^ set(found[name]))
            yield from (f"metrics.{one}: in one of expected and found only" for one in missing)
            both = {one: number for one, number in value.items() if one in found[name]}
            yield from (f"metrics.{text}" for text in _differing(both, found[name]))
        elif _near(found[name]) != value:
            yield f"{name}: expected {value}, found {found[name]}"


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
