"""The plan of a run as a table that a person can follow, and as JSON.

Must not compute: what a change costs, how long it takes and what can be found stand in the plan.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Literal

from benchctl.errors import UsageError
from benchctl.model.plan import DataCost
from benchctl.model.record import to_json
from benchctl.model.units import format_duration
from benchctl.report.document import Table, columns
from benchctl.report.surroundings import options
from benchctl.report.text import NOTHING, about, clean
from benchctl.report.words import FactorNames

if TYPE_CHECKING:
    from rich.console import RenderableType

    from benchctl.model.plan import FactorPlan, Plan, Stage

COSTS = {
    "install": "an installation of its own, made before the first trial",
    "prepare": "a data image of its own, made before the first trial",
    "start": "a restart, which every trial has anyway",
    "run": "nothing: another command line",
}
NOT_KNOWN = "not known"
_TITLES = ("stage", "on", "what it is", "when")
SCOPES = {"once": "once in the run", "level": "when a level changes", "trial": "in each trial"}


def render(
    plan: Plan, form: Literal["terminal", "json"], *, width: int | None = None, color: bool = False
) -> str:
    """Return the plan as text or as the JSON of plan.json. Raises UsageError for another form."""
    if form == "json":
        return to_json(plan).decode()
    if form == "terminal":
        return _terminal(plan, width, color=color)
    raise UsageError(f"there is no plan in the form {form!r}", remedy="use terminal or json")


def _terminal(plan: Plan, width: int | None, *, color: bool) -> str:
    from rich.padding import Padding
    from rich.text import Text

    from benchctl.report.to_terminal import console, grid, tidy

    out = io.StringIO()
    target = console(out, width=width, color=color)
    names = FactorNames(factor.name for factor in plan.factors)
    target.print(Text(clean(plan.experiment.name), style="bold"))
    target.print(Text(_gist(plan), style="dim"))
    tables = (
        _factors(plan),
        _levels(plan),
        _treatments(plan, names),
        _stages(plan, names),
        _made(plan),
        _data(plan),
    )
    for table in (*tables, _tuning(plan)):
        if table.rows:
            target.print(Padding(grid(table, target.width), (1, 0, 0, 0)))
    target.print(_order(plan))
    target.print(_detectable(plan))
    return tidy(out.getvalue())


def _gist(plan: Plan) -> str:
    counts = {
        "treatment": len(plan.treatments),
        "block": plan.experiment.design.blocks,
        "trial": len(plan.trials),
    }
    treatments, blocks, trials = (f"{n} {noun}" + "s" * (n != 1) for noun, n in counts.items())
    return (
        f"{treatments} in {blocks}: {trials},"
        f" about {format_duration(plan.expected_seconds)} on a host that has nothing yet"
    )


def _factors(plan: Plan) -> Table:
    rows = tuple(
        (
            clean(factor.name),
            ", ".join(map(clean, factor.labels)),
            _cost(plan, factor),
        )
        for factor in plan.factors
    )
    return Table(
        "Factors (the first level is the baseline)",
        columns("factor", "levels", "a change costs"),
        rows,
    )


def _levels(plan: Plan) -> Table:
    """What the labels of named factors set."""
    rows = tuple(
        (
            clean(factor.name),
            clean(level.label),
            ", ".join(f"{clean(path)}={clean(str(value))}" for path, value in level.sets.items()) or NOTHING,
        )
        for factor in plan.experiment.factors
        for level in factor.levels
        if any(set(other.sets) != {factor.name} for other in factor.levels)
    )
    return Table("Levels of named factors", columns("factor", "level", "sets"), rows)


def _cost(plan: Plan, factor: FactorPlan) -> str:
    """Say what a change of level costs; with stages, which of them it runs again."""
    if factor.scope is not None:
        return COSTS[factor.scope]
    using = [stage for stage in plan.stages if stage.spec is not None and factor.name in stage.depends]
    again = [clean(stage.name) for stage in using if stage.scope == "level"]
    if again:
        return f"runs {', '.join(again)} again"
    return COSTS["run"] if using else "nothing: its levels set nothing (A/A)"


def _treatments(plan: Plan, names: FactorNames) -> Table:
    several = len(plan.instances) > 1
    rows = tuple(
        (clean(t.id), names.levels(t.levels), clean(t.instance or NOTHING), clean(t.image or NOTHING))
        for t in plan.treatments
    )
    titles = columns("id", "levels", "instance", "data image")
    if several or len(plan.images) > 1:
        return Table("Treatments", titles, rows)
    return Table("Treatments", titles[:2], tuple(row[:2] for row in rows))


def _stages(plan: Plan, names: FactorNames) -> Table:
    rows = tuple((clean(s.name), clean(s.group), _kind(s), _scope(s, names)) for s in plan.stages)
    if any(stage.spec is not None for stage in plan.stages):
        numbered = tuple((str(s.row + 1), *row) for s, row in zip(plan.stages, rows, strict=True))
        return Table(
            "Stages, by row of the pipeline (one row side by side)", columns("row", *_TITLES), numbered
        )
    return Table("Stages", columns(*_TITLES), rows)


def _kind(stage: Stage) -> str:
    if stage.spec is not None and stage.spec.install is not None:
        return f"configure installs {clean(stage.spec.install.role)}"
    services = [] if stage.spec is None else [t for t in stage.spec.tasks if t.kind == "service"]
    words = ["service, up until stopped" if stage.kind == "service" else "task that finishes"]
    if stage.spec is not None and len(stage.spec.tasks) > 1:
        commands = len(stage.spec.tasks) - len(services)
        counts = ((commands, "task that finishes"), (len(services), "service, up until stopped"))
        words = [f"{number} x {what}" for number, what in counts if number]
    words += ["all hosts at one instant"] if stage.together else []
    words += ["measured"] if stage.measured else []
    return ", ".join(words)


def _scope(stage: Stage, names: FactorNames) -> str:
    on = f": {', '.join(map(names.factor, stage.depends))}" if stage.depends else ""
    return SCOPES[stage.scope] + ("" if stage.spec is not None and stage.scope == "trial" else on)


def _made(plan: Plan) -> Table:
    """What configure and the first trial make; each is found again in a later run."""
    rows = [("instance", clean(i.id), options(i.options)) for i in plan.instances]
    rows += [("load generator", clean(role), options(told)) for role, told in plan.loaders.items() if told]
    rows += [
        ("data image", clean(i.id), f"{clean(i.loader)} on {clean(i.instance)}: {options(i.prepare)}")
        for i in plan.images
    ]
    return Table(
        "Made before the first trial, found again by later runs", columns("what", "id", "from"), tuple(rows)
    )


def _data(plan: Plan) -> Table:
    """What the data of each image costs, and which run told."""
    rows = []
    for image in plan.images:
        cost = plan.data_costs.get(image.id, DataCost())
        made, given = (
            NOT_KNOWN if took is None else format_duration(took) for took in (cost.prepare, cost.reset)
        )
        rows.append((clean(image.id), made, given, clean(cost.run) or NOTHING))
    titles = columns("data image", "prepare, once", "reset, each trial", "as in the run")
    return Table("Time that the data takes", titles, tuple(rows))


def _tuning(plan: Plan) -> Table:
    """What is set on the hosts of each group; groups that are alike share a row."""
    alike: dict[tuple[str, str], list[str]] = {}
    for group, tuning in plan.tuning.items():
        values = ", ".join(f"{name}={value}" for name, value in tuning.values.items()) or NOTHING
        allowed = [
            text
            for given, text in (
                (tuning.shared, "in a container also what it shares with its machine"),
                (tuning.reboot, "with a reboot where one is needed"),
            )
            if given
        ]
        alike.setdefault((clean("; ".join([tuning.profile, *allowed])), clean(values)), []).append(group)
    rows = tuple((", ".join(map(clean, groups)), *about) for about, groups in alike.items())
    return Table(
        "Tuning, while the run lasts (needs root on the hosts)", columns("on", "profile", "sets"), rows
    )


def _order(plan: Plan) -> RenderableType:
    """One line for each block with its treatments; side by side where they are short."""
    from rich.columns import Columns
    from rich.console import Group
    from rich.text import Text

    blocks: dict[int, list[str]] = {}
    for trial in plan.trials:
        blocks.setdefault(trial.block, []).append(trial.treatment)
    digits = len(str(max(blocks, default=0)))
    cells = [Text.assemble((f"{b:>{digits}} ", "dim"), clean(" ".join(ids))) for b, ids in blocks.items()]
    design = plan.experiment.design
    title = f"\nOrder of treatments in each block ({design.order}, seed {design.seed})"
    return Group(Text(title, style="italic"), Columns(cells, padding=(0, 3), column_first=True))


def _detectable(plan: Plan) -> RenderableType:
    from rich.text import Text

    if not plan.detectable:
        return Text("\nNothing is compared: there is no second level, or only one block.", style="dim")
    found = ", ".join(f"{about(d.effect)} when trials vary by {about(d.cv)}" for d in plan.detectable)
    return Text(
        f"\nDetectable effect (CV between trials, 80 % power): {found}."
        " Smaller differences will mostly be inconclusive; more blocks find smaller ones.",
    )
