"""What a well-formed experiment must also be: checks that look at more than one place.

Each check notes its problems at the places that the walker remembered. Must not change the experiment.
"""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from benchctl.errors import SpecError
from benchctl.model.aws import AwsHosts
from benchctl.model.azure import AzureHosts
from benchctl.model.experiment import Become, InventoryHosts, LocalHosts
from benchctl.model.lab import LabHosts
from benchctl.model.units import format_duration
from benchctl.spec.clouds import of_aws, of_azure, of_lab
from benchctl.spec.levels import under, units_missing
from benchctl.spec.options import flaws
from benchctl.spec.problems import Place, Problems, did_you_mean
from benchctl.spec.words import is_lost

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchctl.model.experiment import Dbms, Experiment, Factor, Value, Workload
    from benchctl.model.role import RoleMeta

MAX_TREATMENTS = 5_000
MAX_TRIALS = 100_000
_SEVERAL = re.compile(r"[0-9.]+[a-zA-Z%]*( +[0-9.]+[a-zA-Z%]*)+")  # values without commas
_ROLES_GROUPS = ("dbms", "loader")


class Checks:
    """All semantic checks over one experiment; `roles` maps `dbms` and `workload` to what the roles say."""

    def __init__(
        self, experiment: Experiment, roles: dict[str, RoleMeta], places: dict[str, Place], problems: Problems
    ) -> None:
        """Take the experiment with its defaults, and where its values stand."""
        self._experiment = experiment
        self._roles = roles
        self._places = places
        self._problems = problems
        self._reported: set[str] = set()
        self._touched = problems.touched()

    def run(self) -> None:
        """Note everything that does not hold, as far as what was found before leaves something to look at."""
        for check, *paths in (
            (self._check_roles, "dbms.role", "workload.role"),
            (self._check_hosts, "hosts"),
            (self._check_groups, "hosts", "stages"),
            (self._check_design, "design.blocks", "design.min_blocks"),
            (self._check_metrics, "workload.role"),
            (self._check_settings, "dbms.settings", "factors"),
            (self._check_factors, "factors"),
        ):
            if self._is_sound(*paths):
                check()
        whole = self._experiment.workload is not None or self._is_sound("workload", "stages")
        if whole and self._is_sound("factors", "design.blocks") and self._enough():
            self._check_treatments()

    def _is_sound(self, *paths: str) -> bool:
        return not any(self._touched(path) for path in paths)

    def _add(self, path: str, found: str, allowed: str = "", remedy: str = "") -> None:
        at = path
        while at not in self._places and at:
            at = at.rpartition(".")[0]
        self._problems.add(self._places[at], path, found, allowed, remedy)

    def _check_roles(self) -> None:
        for section, kind in (("dbms", "dbms"), ("workload", "loader")):
            meta = self._roles.get(section)
            if meta is not None and meta.kind != kind:
                self._add(
                    f"{section}.role",
                    f"found {meta.name}, a role of kind {meta.kind}",
                    f"a role of kind {kind}",
                )
        workload, dbms = self._experiment.workload, self._experiment.dbms
        drives = self._roles["workload"].drives if workload is not None else ()
        driven = "" if dbms is None else self._driven(dbms)
        said = dbms is None or driven  # else what it stands for is missing, which is said elsewhere
        if workload is not None and drives and driven not in drives and said:
            found = "found no dbms" if dbms is None else f"found the dbms {driven}"
            self._add(
                "workload.role",
                f"{found} to drive",
                f"{workload.role} drives {', '.join(drives)}",
                "change one of the two",
            )

    def _driven(self, dbms: Dbms) -> str:
        meta = self._roles.get("dbms")
        return str(dbms.options.get(meta.stands_for, "")) if meta and meta.stands_for else dbms.role

    def _check_groups(self) -> None:
        hosts, stages = self._experiment.hosts, self._experiment.stages
        for name, group in hosts.groups.items():
            path = f"hosts.groups.{name}"
            if name not in _ROLES_GROUPS and not stages:
                hint = did_you_mean(name, _ROLES_GROUPS)
                self._add(path, "found a group that nothing runs on", f"dbms, loader{hint}")
            if name == "dbms" and group.count > 1 and not stages:
                self._add(f"{path}.count", f"found {group.count} hosts", "1: roles run one server")
            elif isinstance(hosts, LocalHosts) and group.count > 1:
                self._add(
                    f"{path}.count", f"found {group.count} hosts", "1: provider local is this machine alone"
                )

    def _check_hosts(self) -> None:
        hosts = self._experiment.hosts
        if isinstance(hosts, AwsHosts):
            complaints = of_aws(hosts)
        elif isinstance(hosts, AzureHosts):
            complaints = of_azure(hosts)
        else:
            complaints = of_lab(hosts) if isinstance(hosts, LabHosts) else iter(())
        for complaint in complaints:
            self._add(*complaint)
        if not isinstance(hosts, InventoryHosts):
            return
        if not Path(hosts.path).exists():
            self._add(
                "hosts.path",
                "found nothing at this path",
                "an inventory, from the experiment's folder; with --set, from the current one",
            )
        if not hosts.become.enabled and hosts.become != Become():
            self._add(
                "hosts.become", "found a user or a password, and sudo not in use", "", "add enabled: true"
            )

    def _check_design(self) -> None:
        design = self._experiment.design
        if design.min_blocks is not None and not 1 <= design.min_blocks <= design.blocks:
            self._add(
                "design.min_blocks", f"found {design.min_blocks}", f"1 to blocks, which is {design.blocks}"
            )

    def _check_metrics(self) -> None:
        metrics = self._experiment.metrics
        meta = self._roles.get("workload")
        known = {metric.name: metric for metric in meta.metrics} if meta is not None else {}
        if not metrics and self._is_sound("metrics"):
            which = "stages name none" if self._experiment.stages else "this load generator names none"
            self._add("metrics", f"found none, and {which}", "one or more", "add metrics")
        for index, metric in enumerate(metrics):
            path = f"metrics.{index}"
            if not self._is_sound(f"{path}.name", f"{path}.better"):
                continue
            if metric.name in {other.name for other in metrics[:index]}:
                self._add(f"{path}.name", f"found {metric.name} twice", "", "remove one of the two")
            if known and metric.name not in known:
                hint = did_you_mean(metric.name, known)
                self._add(
                    f"{path}.name", f"found the unknown metric {metric.name!r}", f"{', '.join(known)}{hint}"
                )
            elif known and metric.better != known[metric.name].better:
                better = known[metric.name].better
                self._add(
                    f"{path}.better",
                    f"found {metric.better}",
                    f"{better}: that is what better means for {metric.name}",
                )

    def _check_settings(self) -> None:
        """A setting becomes one line of the server's configuration, and some belong to the role."""
        reserved = self._roles["dbms"].reserved if "dbms" in self._roles else {}
        for place, name, value in self._settings():
            if isinstance(value, str) and "\n" in value:
                self._add(place, "found a line break in a setting", "one line")
            if name in reserved:
                self._add(place, f"found the setting {name}, which the role gives itself", "", reserved[name])

    def _settings(self) -> Iterator[tuple[str, str, Value]]:
        """Every setting of the server: where it stands, its name, its value."""
        dbms = self._experiment.dbms
        for name, setting in ({} if dbms is None else dbms.settings).items():
            yield f"dbms.settings.{name}", name, setting
        for factor in self._experiment.factors:
            for level in factor.levels:
                for path, value in level.sets.items():
                    if path.startswith("dbms.settings."):
                        yield f"factors.{factor.name}", path.removeprefix("dbms.settings."), value

    def _check_factors(self) -> None:
        for factor in self._experiment.factors:
            label = factor.levels[0].label
            if len(factor.levels) == 1 and _SEVERAL.fullmatch(label):
                levels = ", ".join(label.split())
                self._add(
                    f"factors.{factor.name}", f"found one level, {label}", "", f"write commas: [{levels}]"
                )
            self._check_overridden(factor)

    def _check_overridden(self, factor: Factor) -> None:
        """A value of --set that no trial would have, for each level of a factor sets it."""
        for path in factor.levels[0].sets:
            place = self._places.get(path)
            given = place is not None and not place.line and self._is_sound(path)
            if place is None or not given or not all(path in level.sets for level in factor.levels):
                continue
            self._problems.add(
                place,
                path,
                f"found a value that no trial has: the factor {factor.name} sets it in each of its levels",
                "",
                f"--set 'factors.{factor.name}=[…]' gives other levels"
                if factor.name == path
                else f"--set 'factors.{factor.name}.{factor.levels[0].label}.{path}=…' changes one level",
            )

    def _enough(self) -> bool:
        treatments = 1
        for factor in self._experiment.factors:
            treatments *= len(factor.levels)
        trials = treatments * self._experiment.design.blocks
        if treatments > MAX_TREATMENTS or trials > MAX_TRIALS:
            self._add(
                "factors", f"found {treatments} treatments and {trials} trials",
                f"at most {MAX_TREATMENTS} treatments and {MAX_TRIALS} trials", "use fewer levels or blocks",
            )  # fmt: skip
            return False
        return True

    def _check_treatments(self) -> None:
        """Check every combination of levels; each place complains once, with the first that is wrong."""
        for levels in product(*(factor.levels for factor in self._experiment.factors)):
            parts = under(self._experiment, levels)
            pairs = zip(self._experiment.factors, levels, strict=True)
            label = ", ".join(f"{factor.name}={level.label}" for factor, level in pairs)
            if self._is_sound("workload.warmup", "workload.duration", "limits.trial"):
                self._check_window(parts.workload, label)
            if self._is_sound("workload"):
                self._check_load(parts.workload, label)
            if self._experiment.workload is not None:
                self._check_options("workload", parts.workload, label)
            self._check_options("dbms", parts.dbms, label)

    def _add_once(self, path: str, found: str, label: str, allowed: str, remedy: str) -> None:
        if path not in self._reported:
            self._reported.add(path)
            self._add(path, f"{found} (with {label})" if label else found, allowed, remedy)

    def _check_window(self, workload: Workload, label: str) -> None:
        if workload.duration <= 0:
            names = [stage.name for stage in self._experiment.stages if stage.measure is not None]
            index = [stage.name for stage in self._experiment.stages].index(names[0]) if names else 0
            where = f"stages.{index}.measure.duration" if names else "workload.duration"
            self._add_once(where, "found 0s", label, "longer than 0s", "write 60s, for example")
        window = workload.warmup + workload.duration
        limit = self._experiment.limits.trial
        if window >= limit:
            needed = f"more than warmup and duration together, {format_duration(window)}"
            self._add_once("limits.trial", f"found {format_duration(limit)}", label, needed, "raise it")

    def _check_load(self, workload: Workload, label: str) -> None:
        """What the load generator cannot do, or will not report, is known before it runs."""
        from benchctl.loaders import exists, get

        own = workload.role == "command"
        if self._experiment.stages or not exists(workload.role) or (own and "run" not in workload.options):
            return
        loader = get(workload.role)
        try:
            names = loader.names(workload)
            if own:
                self._check_program(loader.command(workload, {}, None, 0).argv, label)
                if names is None:
                    self._check_units(workload, label)
        except SpecError as error:
            place, _, found = error.detail.partition(": ")
            self._add_once(place, found, label, "", error.remedy)
            return
        told = {metric.name for metric in self._roles["workload"].metrics}
        for index, metric in enumerate(self._experiment.metrics):
            if not self._is_sound(f"metrics.{index}"):
                continue
            if names is not None and metric.name not in names and (not told or metric.name in told):
                self._add_once(
                    f"metrics.{index}.name",
                    f"found {metric.name!r}, which this load does not report",
                    label,
                    f"{', '.join(sorted(names))}{did_you_mean(metric.name, names)}",
                    "",
                )

    def _check_units(self, workload: Workload, label: str) -> None:
        """What a program of one's own reports is a number; what is compared has a unit too."""
        for path, metric, remedy in units_missing(self._experiment, workload):
            if self._is_sound(path):
                self._add_once(f"{path}.name", f"found {metric!r} without its unit", label, "", remedy)

    def _check_program(self, words: Sequence[str], label: str) -> None:
        if is_lost(words):
            found = f"found {words[0]}, from the empty folder that a trial starts in"
            self._add_once("workload.run", found, label, "a program on the PATH, or an absolute path", "")

    def _check_options(self, section: str, part: Dbms | Workload | None, label: str) -> None:
        """What options ask of each other."""
        meta = self._roles.get(section)
        if part is None or meta is None:
            return
        for name, option in meta.options.items():
            others = (*option.needed_with, *option.only_with, *option.known)
            if not self._is_sound(*(f"{section}.{key}" for key in (name, *others))):
                continue
            for flaw in flaws(name, meta, part.options):
                path = f"{section}.{name}"
                self._add_once(
                    self._setter(path) if flaw.by_value else path,
                    flaw.found,
                    label if flaw.by_others else "",
                    flaw.allowed,
                    flaw.remedy,
                )

    def _setter(self, path: str) -> str:
        """Where a value comes from: the factor that sets it, else its own place."""
        factors = self._experiment.factors
        found = (f"factors.{f.name}" for f in factors if any(path in level.sets for level in f.levels))
        return next(found, path)
