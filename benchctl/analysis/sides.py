"""The sides of a comparison: what `RUN+RUN:factor=level,…` means, and which trials stand on each side."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from benchctl.analysis.pairs import Contrast
from benchctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchctl.model.measurement import Trial
    from benchctl.model.plan import Treatment
    from benchctl.results.view import RunView

_FORM = re.compile(r"(?P<runs>.+?)(?::(?P<levels>[^:=/]+=.*))?", re.DOTALL)
_NEXT = re.compile(r",(?=[^,=]+=)")


class SideText(NamedTuple):
    """A side as it was typed: references to runs, and the levels that were chosen."""

    runs: tuple[str, ...]
    levels: tuple[tuple[str, str], ...]


class Side(NamedTuple):
    """One side: its runs, and the factors that are fixed, by their full names."""

    runs: tuple[RunView, ...]
    fixed: dict[str, str]

    @property
    def label(self) -> str:
        runs = "+".join(view.summary.run for view in self.runs)
        levels = ",".join(f"{name}={label}" for name, label in self.fixed.items())
        return f"{runs}:{levels}" if levels else runs


class Cell(NamedTuple):
    """The trials that stand against each other at one combination of the factors left open, run by run."""

    at: dict[str, str]
    baseline: tuple[tuple[Trial, ...], ...]
    contender: tuple[tuple[Trial, ...], ...]


def parse_side(text: str, *, one_run: bool = False) -> SideText:
    """Split a side into its parts; `one_run` says that the whole text is a run, whatever it contains.

    A colon begins the levels where `name=` follows it; a comma separates them where another `name=` follows.
    """
    match = _FORM.fullmatch(text)
    if one_run or match is None:
        return SideText((text,), ())
    pairs = (part.partition("=") for part in _NEXT.split(match["levels"] or "") if part)
    return SideText(tuple(match["runs"].split("+")), tuple((name, label) for name, _, label in pairs))


def make_side(runs: Sequence[RunView], levels: Sequence[tuple[str, str]]) -> Side:
    """Find the factors and levels in every run of the side.

    A factor may be named by its last part where that is unambiguous. Raises UsageError with what there is.
    """
    fixed: dict[str, str] = {}
    for view in runs:
        for name, label in levels:
            found = _factor(view, name)
            _check_level(view, found, label)
            fixed[found] = label
    return Side(tuple(runs), fixed)


def one_run(baseline: Side, contender: Side) -> bool:
    """Whether both sides lie in the same single run. Raises UsageError when they share some of several.

    Runs are told apart by their ids: a copy of a run is that run.
    """
    here, there = ({view.summary.run for view in side.runs} for side in (baseline, contender))
    for side in (baseline, contender):
        names = [view.summary.run for view in side.runs]
        if len(set(names)) < len(names):
            raise UsageError(f"{side.label}: a run stands twice on this side", remedy="name each run once")
    if here == there and len(here) == 1:
        return True
    if here & there:
        raise UsageError(
            "a run stands on both sides of a comparison of several runs",
            remedy="compare levels inside one run, or runs against other runs",
        )
    return False


def contrasts_inside(baseline: Side, contender: Side) -> tuple[Contrast, ...]:
    """The contrasts of two sides of one run: at each combination of the factors that both leave open.

    Raises UsageError when the sides are the same, or when only one of them fixes a factor.
    """
    (view,) = baseline.runs
    _check_open(baseline, contender)
    differing = [name for name, label in baseline.fixed.items() if contender.fixed[name] != label]
    if not differing:
        factors = ", ".join(factor.name for factor in view.plan.factors) or "none"
        raise UsageError(
            f"{view.summary.run}: both sides are the same trials",
            remedy=f"choose a level on each side, as in RUN:factor=level; its factors: {factors}",
        )
    same = {name: label for name, label in baseline.fixed.items() if name not in differing}
    here, there = (_treatments(view, side.fixed) for side in (baseline, contender))
    low, high = (", ".join(side.fixed[name] for name in differing) for side in (baseline, contender))
    return tuple(
        Contrast(", ".join(differing), {**same, **dict(at)}, low, high, here[at].id, there[at].id)
        for at in here
        if at in there
    )


def cells_across(baseline: Side, contender: Side) -> tuple[Cell, ...]:
    """The valid trials of both sides at each combination of open factors that every run has.

    Raises UsageError when the sides leave different factors open, or have no combination in common.
    """
    _check_open(baseline, contender)
    views = [(view, _treatments(view, side.fixed)) for side in (baseline, contender) for view in side.runs]
    shared = [at for at in views[0][1] if all(at in treatments for _, treatments in views)]
    if not shared:
        raise UsageError(
            "the sides have no levels in common", remedy="choose one on each side, as in RUN:factor=level"
        )
    split = len(baseline.runs)
    return tuple(
        Cell(dict(at), members[:split], members[split:])
        for at in shared
        for members in (tuple(_valid(view, treatments[at]) for view, treatments in views),)
    )


def _valid(view: RunView, treatment: Treatment) -> tuple[Trial, ...]:
    return tuple(t for t in view.trials if t.treatment == treatment.id and t.validity != "invalid")


def _treatments(view: RunView, fixed: dict[str, str]) -> dict[tuple[tuple[str, str], ...], Treatment]:
    """The treatments that have the fixed levels, by their other levels in order of names."""
    return {
        tuple(
            sorted((name, label) for name, label in treatment.levels.items() if name not in fixed)
        ): treatment
        for treatment in view.plan.treatments
        if fixed.items() <= treatment.levels.items()
    }


def _check_open(baseline: Side, contender: Side) -> None:
    """Each run must leave the same factors open: else a level would be chosen for the reader in silence."""
    views = [(view, side.fixed) for side in (baseline, contender) for view in side.runs]
    opened = [{f.name for f in view.plan.factors} - fixed.keys() for view, fixed in views]
    for (view, _), names in zip(views, opened, strict=True):
        extra = sorted(names - opened[0].intersection(*opened))
        if extra:
            found = next(factor for factor in view.plan.factors if factor.name == extra[0])
            raise UsageError(
                f"{view.summary.run}: factor {found.name} is open, and fixed or missing on the other side",
                remedy=f"choose one of its levels: {view.summary.run}:{found.name}={'|'.join(found.labels)}",
            )


def _factor(view: RunView, name: str) -> str:
    names = [factor.name for factor in view.plan.factors]
    found = [known for known in names if known == name] or [
        known for known in names if known.rpartition(".")[2] == name
    ]
    if len(found) != 1:
        why = "names several factors" if found else "is no factor"
        raise UsageError(f"{view.summary.run}: {name!r} {why}", remedy=f"its factors: {_list(names)}")
    return found[0]


def _check_level(view: RunView, name: str, label: str) -> None:
    labels = next(factor.labels for factor in view.plan.factors if factor.name == name)
    if label not in labels:
        raise UsageError(
            f"{view.summary.run}: {label!r} is no level of {name}", remedy=f"its levels: {_list(labels)}"
        )


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
