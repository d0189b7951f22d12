"""Stages that install a role: what stands where, and what else such a stage may not have.

The step configure does all of them before the first trial, so nothing may come before them. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchctl.spec.levels import reader_of
from benchctl.spec.options import flaws
from benchctl.spec.problems import did_you_mean
from benchctl.spec.scopes import rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchctl.model.experiment import Experiment, Install, StageSpec
    from benchctl.model.record import Scalar
    from benchctl.model.role import RoleMeta

_SCALARS: dict[str, tuple[type, ...]] = {  # the types of options that one scalar can say
    "string": (str,),
    "version": (str,),
    "choice": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
_OF_TASKS = ("tasks", "files", "scope", "measure")


class Complaint(NamedTuple):
    """What does not hold, at a dotted path."""

    path: str
    found: str
    allowed: str = ""
    remedy: str = ""


def installed_on(experiment: Experiment, group: str) -> tuple[str, ...]:
    """Return the roles that stages install on a group's hosts."""
    found = [stage.install.role for stage in experiment.stages if stage.install and stage.group == group]
    return tuple(dict.fromkeys(found))


def of_stage(path: str, stage: StageSpec, roles: Mapping[str, RoleMeta]) -> Iterator[Complaint]:
    """Yield what is wrong with one stage's `install`, or with its lack of one."""
    if stage.install is None:
        if not stage.tasks:
            yield Complaint(f"{path}.tasks", "found no tasks", "one or more, or install")
        return
    for key in _OF_TASKS:
        if getattr(stage, key):
            yield Complaint(f"{path}.{key}", f"found {key} beside install", "", "use a stage of its own")
    if stage.start != "free":
        yield Complaint(f"{path}.start", f"found {stage.start} with install", "free")
    meta = roles.get(stage.install.role)
    if meta is None:
        return
    if meta.kind == "tuning":
        yield Complaint(
            f"{path}.install.role",
            f"found {meta.name}, a role of kind {meta.kind}",
            "a role of kind dbms or loader",
            "tuning has a key of its own",
        )
    yield from _of_install(f"{path}.install", stage.install, meta)


def _of_install(path: str, install: Install, meta: RoleMeta) -> Iterator[Complaint]:
    for name, option in meta.options.items():
        if option.scope == "install":
            for flaw in flaws(name, meta, install.options):
                yield Complaint(f"{path}.{name}", flaw.found, flaw.allowed, flaw.remedy)


def of_rows(experiment: Experiment) -> Iterator[Complaint]:
    """Yield each install that does not come before everything else."""
    indexes = {stage.name: number for number, stage in enumerate(experiment.stages)}
    installs = {stage.name for stage in experiment.stages if stage.install is not None}
    begun = False
    for row in rows(experiment):
        begun = begun or bool(set(row) - installs)
        for name in row:
            if begun and name in installs:
                yield Complaint(
                    f"stages.{indexes[name]}.install",
                    "found it in a row beside or after commands",
                    "a row before them, with nothing but installs",
                    "configure installs before anything runs",
                )


def of_twice(experiment: Experiment) -> Iterator[Complaint]:
    """Yield each role that a group would get twice."""
    seen: set[tuple[str, str]] = set()
    for index, stage in enumerate(experiment.stages):
        if stage.install is None:
            continue
        key = stage.group, stage.install.role
        if key in seen:
            found = f"found {stage.install.role} twice on {stage.group}"
            yield Complaint(f"stages.{index}.install.role", found, "each role once on a group")
        seen.add(key)


def of_loaders(experiment: Experiment, roles: Mapping[str, RoleMeta]) -> Iterator[Complaint]:
    """Yield each load generator that a stage wants otherwise than an earlier one, on another group.

    What a role is told to install counts on all hosts of a run, for groups may share hosts.
    """
    first: dict[str, StageSpec] = {}
    for index, stage in enumerate(experiment.stages):
        install = stage.install
        if install is None or install.role not in roles or roles[install.role].kind != "loader":
            continue
        earlier = first.setdefault(install.role, stage)
        if earlier.install is not None and earlier.install.options != install.options:
            yield Complaint(
                f"stages.{index}.install",
                f"found another {install.role} than the stage {earlier.name} installs",
                "the same options in both",
                "groups may share a host, which holds one of each load generator",
            )


def of_reader(
    path: str, stage: StageSpec, experiment: Experiment, roles: Mapping[str, RoleMeta]
) -> Iterator[Complaint]:
    """Yield what is wrong with a `parse` that names a load generator's role."""
    from benchctl.loaders import known

    task = stage.tasks[0]
    reader = reader_of(task)
    readers = [
        name
        for name in installed_on(experiment, stage.group)
        if name in known() and name in roles and roles[name].kind == "loader"
    ]
    if reader not in readers:
        allowed = f"json{''.join(f', {name}' for name in readers)}{did_you_mean(reader, readers)}"
        remedy = f"a stage has to install it on {stage.group}"
        yield Complaint(f"{path}.parse.role", f"found {reader!r}", allowed, remedy)
        return
    yield from _of_options(f"{path}.parse", task.parse or {}, roles[reader])
    for key in ("units", "values"):
        if getattr(task, key):
            yield Complaint(f"{path}.{key}", f"found {key}, and {reader} has its own", "", "leave them out")


def _of_options(path: str, given: Mapping[str, Scalar], meta: RoleMeta) -> Iterator[Complaint]:
    """Yield what is wrong with the options of a load generator that a `parse` gives beside its role."""
    known = {
        name: option
        for name, option in meta.options.items()
        if option.type in _SCALARS and option.scope != "install"
    }
    for name, value in given.items():
        if name == "role":
            continue
        if name not in known:
            allowed = f"role, {', '.join(known)}{did_you_mean(name, known)}"
            yield Complaint(f"{path}.{name}", f"found no such option of {meta.name}", allowed, "")
            continue
        option = known[name]
        fits = isinstance(value, _SCALARS[option.type]) and (
            option.type == "boolean" or not isinstance(value, bool)
        )
        if not fits or (option.choices and value not in option.choices):
            yield Complaint(
                f"{path}.{name}", f"found {value!r}", ", ".join(option.choices) or option.type, ""
            )
