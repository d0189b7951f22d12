"""What well-formed stages must also be: names that exist, one measured stage, templates without gaps.

Each check notes its problems at the places that the walker remembered. Must not change the experiment.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from benchctl.errors import SpecError
from benchctl.spec import installs, ports
from benchctl.spec.levels import as_workload, reader_of, units_missing
from benchctl.spec.problems import Place, Problems, did_you_mean
from benchctl.spec.scopes import SCOPES, placed, rows
from benchctl.spec.templates import analyse, known_names, texts, used_by
from benchctl.spec.words import is_lost, is_template

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from benchctl.model.experiment import Experiment, Ready, StageSpec, TaskSpec
    from benchctl.model.role import RoleMeta

_GROUP = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_FOR_SERVICES = ("ready", "stop", "stop_signal")
_FOR_COMMANDS = ("timeout",)


class StageChecks:
    """All checks over the stages and the pipeline of one experiment."""

    def __init__(
        self,
        experiment: Experiment,
        roles: Mapping[str, RoleMeta],
        places: dict[str, Place],
        problems: Problems,
    ) -> None:
        """Take the experiment with its defaults, the roles that it installs, and where its values stand."""
        self._experiment = experiment
        self._roles = roles
        self._places = places
        self._problems = problems
        self._known = known_names(experiment)
        self._touched = problems.touched()

    def run(self) -> None:
        """Note everything that does not hold, as far as what was found before leaves something to look at."""
        stages = self._experiment.stages
        if not stages:
            self._add("stages", "found no stages", "one or more")
            return
        self._check_names("stages", [stage.name for stage in stages])
        for index, stage in enumerate(stages):
            self._check_stage(f"stages.{index}", stage)
        if not self._touched("hosts") and not self._touched("stages"):
            self._check_groups()
            self._complain(ports.of_services(self._experiment))
        if not self._touched("pipeline"):
            self._check_pipeline()
        if not self._touched("pipeline") and not self._touched("stages"):
            self._complain(installs.of_rows(self._experiment))
            self._complain(installs.of_twice(self._experiment))
            self._complain(installs.of_loaders(self._experiment, self._roles))
        if not any(self._touched(f"stages.{index}.measure") for index in range(len(stages))):
            self._check_measured()
        if not self._problems.any():
            self._check_scopes()

    def _add(self, path: str, found: str, allowed: str = "", remedy: str = "") -> None:
        at = path
        while at not in self._places and at:
            at = at.rpartition(".")[0]
        self._problems.add(self._places[at], path, found, allowed, remedy)

    def _complain(self, complaints: Iterable[installs.Complaint]) -> None:
        for complaint in complaints:
            self._add(*complaint)

    def _check_names(self, path: str, names: Iterable[str]) -> None:
        seen: set[str] = set()
        for index, name in enumerate(names):
            if name in seen:
                self._add(f"{path}.{index}.name", f"found {name} twice", "", "give one another name")
            seen.add(name)

    def _check_stage(self, path: str, stage: StageSpec) -> None:
        groups = self._experiment.hosts.groups
        if stage.group not in groups and not self._touched("hosts"):
            hint = did_you_mean(stage.group, groups)
            self._add(
                f"{path}.group", f"found the unknown group {stage.group!r}", f"{', '.join(groups)}{hint}"
            )
        self._complain(installs.of_stage(path, stage, self._roles))
        self._check_names(f"{path}.tasks", task_names(stage))
        self._check_files(path, stage)
        for index, task in enumerate(stage.tasks):
            if not self._touched(f"{path}.tasks.{index}"):
                self._check_task(f"{path}.tasks.{index}", stage, task)
        if self._touched("hosts") or self._touched("factors"):
            return  # whose names templates take
        known = self._known._replace(roles=installs.installed_on(self._experiment, stage.group))
        for at, text in texts(stage):
            for flaw in analyse(text, known).flaws:
                self._add(f"{path}.{at}", flaw.found, flaw.allowed)

    def _check_files(self, path: str, stage: StageSpec) -> None:
        seen: set[str] = set()
        for index, file in enumerate(stage.files):
            name = Path(file).name
            if name in seen:
                self._add(f"{path}.files.{index}", f"found a second file {name}", "", "give it another name")
            seen.add(name)

    def _check_task(self, path: str, stage: StageSpec, task: TaskSpec) -> None:
        service = task.kind == "service"
        if task.shell and is_template(task.run[0]):
            remedy = "give it by env, and use the variable in the command"
            self._add(
                f"{path}.run", "found a template in what a shell reads", "a text without templates", remedy
            )
        if not task.shell and is_lost(task.run):
            self._add(
                f"{path}.run",
                f"found {task.run[0]}, from the empty folder that a task starts in",
                "a program on the PATH, or an absolute path",
                f"name it in the stage's files, and run {{{{ files }}}}/{Path(task.run[0]).name}",
            )
        if service and stage.start == "together":
            self._add(f"{path}.kind", "found a service in a stage that starts together", "finish")
        if task.retries and stage.start == "together" and stage.measure is None:
            self._add(f"{path}.retries", "found retries in a stage that starts together", "0")
        for key in _FOR_COMMANDS if service else _FOR_SERVICES:
            if f"{path}.{key}" in self._places:
                remedy = "a service has its limit in ready.timeout" if service else "add kind: service"
                self._add(
                    f"{path}.{key}", f"found {key} for a {'service' if service else 'command'}", "", remedy
                )
        for name in task.env:
            if not name or "=" in name:
                self._add(f"{path}.env.{name}", "found a name that no variable can have", "a name without =")
        self._check_output(path, stage, task)
        if task.ready is not None:
            self._check_ready(f"{path}.ready", task.ready)

    def _check_output(self, path: str, stage: StageSpec, task: TaskSpec) -> None:
        unmeasured = stage.measure is None and not self._touched(f"{path.partition('.tasks.')[0]}.measure")
        for key in ("parse", "values", "units"):
            given = getattr(task, key)
            if given and unmeasured:
                self._add(
                    f"{path}.{key}",
                    f"found {key} in a stage that is not measured",
                    "",
                    "move it to the one that is",
                )

    def _check_ready(self, path: str, ready: Ready) -> None:
        given = [kind for kind in ("port", "http", "command", "log") if getattr(ready, kind) is not None]
        if len(given) != 1:
            found = f"found {' and '.join(given)}" if given else "found none of them"
            self._add(path, found, "exactly one of port, http, command, log")
        if ready.timeout <= 0 or ready.interval <= 0:
            self._add(path, "found a timeout or an interval of 0s", "longer than 0s")
        if ready.http is not None and not ready.http.startswith(("http://", "{{")):
            self._add(f"{path}.http", f"found {ready.http!r}", "a URL that begins with http://")
        if ready.log is not None:
            try:
                re.compile(ready.log)
            except re.error as error:
                self._add(f"{path}.log", f"not a regular expression: {error}")

    def _check_groups(self) -> None:
        stages = self._experiment.stages
        used = {stage.group for stage in stages}
        used |= {group for stage in stages for group in used_by(stage, self._known).groups}
        for name in self._experiment.hosts.groups:
            path = f"hosts.groups.{name}"
            if not _GROUP.fullmatch(name):
                self._add(path, f"found the name {name!r}", f"a text that matches ^{_GROUP.pattern}$")
            elif name not in used:
                hint = did_you_mean(name, used)
                self._add(path, "found a group that nothing runs on", f"{', '.join(sorted(used))}{hint}")

    def _check_pipeline(self) -> None:
        if "pipeline" not in self._places:
            return
        pipeline = self._experiment.pipeline
        names = [stage.name for stage in self._experiment.stages]
        seen: set[str] = set()
        for at, name in _cells(pipeline):
            if name not in names:
                hint = did_you_mean(name, names)
                self._add(at, f"found no stage {name!r}", f"{', '.join(names)}{hint}")
            elif name in seen:
                self._add(at, f"found {name} twice", "each stage once")
            seen.add(name)
        for index, row in enumerate(pipeline):
            if not row:
                self._add(f"pipeline.{index}", "found an empty row", "one stage or more")
        missing = [name for name in names if name not in seen]
        if missing:
            self._add("pipeline", f"found no {', '.join(missing)}", "each stage once", "add what is missing")

    def _check_measured(self) -> None:
        stages = self._experiment.stages
        measured = [(index, stage) for index, stage in enumerate(stages) if stage.measure is not None]
        if not measured:
            remedy = "add measure: {warmup: 10s, duration: 60s} to the stage with the load"
            self._add("stages", "found no measured stage", "exactly one", remedy)
        for index, _ in measured[1:]:
            first = measured[0][1].name
            self._add(
                f"stages.{index}.measure", f"found a second measured stage, after {first}", "exactly one"
            )
        for index, stage in measured:
            if not self._touched(f"stages.{index}.tasks"):
                self._check_load(f"stages.{index}", stage)

    def _check_load(self, path: str, stage: StageSpec) -> None:
        for index, row in enumerate(rows(self._experiment)):
            if stage.name in row and len(row) > 1:
                self._add(
                    f"pipeline.{index}",
                    f"found stages beside {stage.name}",
                    "a row of its own: it is measured",
                )
        if len(stage.tasks) > 1:
            remedy = "give the others a stage of their own, in an earlier row"
            self._add(f"{path}.tasks", "found several tasks in the measured stage", "one", remedy)
        for task in stage.tasks[:1]:
            at = f"{path}.tasks.0"
            if task.kind == "service":
                self._add(f"{at}.kind", "found a service in the measured stage", "finish")
            if task.retries:
                self._add(
                    f"{at}.retries",
                    "found retries of what is measured",
                    "0",
                    "a failed trial is repeated by resume",
                )
            self._check_parse(at, stage)

    def _check_parse(self, path: str, stage: StageSpec) -> None:
        """What reads the output is an installed load generator, or `command`: it says what it can read."""
        from benchctl.loaders import get

        if reader_of(stage.tasks[0]):
            complaints = list(installs.of_reader(path, stage, self._experiment, self._roles))
            self._complain(complaints)
            if complaints:
                return
        else:
            try:
                get("command").command(as_workload(stage), {}, None, 0)
            except SpecError as error:
                found, _, form = error.detail.partition(": ")
                key = found.removeprefix("workload.")
                self._add(f"{path}.{key}", form or found, "", error.remedy)
                return
        if [one for one in self._experiment.stages if one.measure is not None] == [stage]:
            self._check_metrics(path, stage)

    def _check_metrics(self, path: str, stage: StageSpec) -> None:
        """What is compared is measured, and has its unit."""
        from benchctl.loaders import get

        workload = as_workload(stage)
        try:
            names = get(workload.role).names(workload)
        except SpecError as error:
            self._add(f"{path}.parse", error.detail.partition(": ")[2] or error.detail, "", error.remedy)
            return
        for index, metric in enumerate(self._experiment.metrics):
            if names is not None and metric.name not in names and not self._touched(f"metrics.{index}"):
                self._add(
                    f"metrics.{index}.name",
                    f"found {metric.name!r}, which the measured stage does not report",
                    f"{', '.join(sorted(names))}{did_you_mean(metric.name, names)}",
                )
        for place, name, remedy in units_missing(self._experiment, workload):
            if names is None and not self._touched(place):
                self._add(f"{place}.name", f"found {name!r} without its unit", "", remedy)

    def _check_scopes(self) -> None:
        indexes = {stage.name: number for number, stage in enumerate(self._experiment.stages)}
        for stage, _, needed, scope, depends in placed(self._experiment):
            if stage.scope is not None and stage.scope != scope:
                why = f", for {', '.join(depends)}" if depends and needed == "level" else ""
                self._add(
                    f"stages.{indexes[stage.name]}.scope",
                    f"found {stage.scope}, and it must run with scope {needed}{why}",
                    " or ".join(SCOPES[SCOPES.index(needed) :]),
                    "a stage may run more often than it must, never less",
                )


def task_names(stage: StageSpec) -> list[str]:
    """Return the names of a stage's tasks: their own, or their numbers from 1."""
    return [task.name or str(number) for number, task in enumerate(stage.tasks, start=1)]


def _cells(pipeline: tuple[tuple[str, ...], ...]) -> Iterator[tuple[str, str]]:
    for number, row in enumerate(pipeline):
        for index, name in enumerate(row):
            yield f"pipeline.{number}.{index}", name
