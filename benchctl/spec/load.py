"""From a file to a Spec: reads it, applies `--set`, walks it, fills defaults in, checks it.

Owns the order of these steps and the table of what the design has but this version cannot execute.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from benchctl.errors import SpecError
from benchctl.model.experiment import Experiment, Metric
from benchctl.spec.checks import Checks
from benchctl.spec.factors import FactorReader
from benchctl.spec.nodes import MAX_BYTES, compose_mapping, decode
from benchctl.spec.overrides import override
from benchctl.spec.problems import Place, Problems
from benchctl.spec.role_names import SECTIONS, folders_for, read_roles
from benchctl.spec.shapes import experiment_shape, varied
from benchctl.spec.share import find_experiment
from benchctl.spec.stages import StageChecks
from benchctl.spec.tuning import TuningReader
from benchctl.spec.walk import Walker, join

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from benchctl.model.experiment import StageSpec, Value
    from benchctl.model.role import Option, RoleMeta
    from benchctl.model.tuning import GroupPlan
    from benchctl.spec.levels import Part

LATER = {"dbms": frozenset({"address"})}
_DEFAULT_DELTA = 0.02


class Spec(NamedTuple):
    """One experiment, complete and checked, with where each value came from."""

    experiment: Experiment
    origins: dict[str, str]  # dotted path -> "file.yml:12:3", "--set" or "default"
    text: str  # the file as it was read
    path: Path
    roles: dict[str, RoleMeta]  # by role name
    sets: tuple[str, ...] = ()  # what --set was given, in order
    files: Mapping[str, str] = MappingProxyType({})  # what options name: absolute path -> SHA-256
    role_folders: tuple[Path, ...] = ()  # where roles were looked for before the shipped ones, in that order
    tuning: Mapping[str, GroupPlan] = MappingProxyType({})  # by group, of those that are tuned


def load(source: Path | str, *, sets: Sequence[str] = (), roles_paths: Sequence[Path] = ()) -> Spec:
    """Return the experiment of a file, or of a shipped experiment's name.

    Args:
        source: a path, or a name such as `quickstart`.
        sets: `path=value` texts that win over the file, later ones over earlier ones.
        roles_paths: more folders with roles, looked at before the shipped ones.

    Raises:
        SpecError: all that is wrong, a line each: file:line:column, path, what was found, what is allowed.
    """
    path = find_experiment(source)
    text = decode(_read(path), str(path))
    return parse(text, path, sets=sets, roles_paths=roles_paths)


def parse(text: str, path: Path, *, sets: Sequence[str] = (), roles_paths: Sequence[Path] = ()) -> Spec:
    """Return the experiment of a text that stands, or would stand, at `path`; raises as `load` does."""
    problems = Problems()
    root = compose_mapping(text, str(path), problems)
    for option in sets:
        root = override(root, option, problems)
    readable = not problems.any()
    folders = folders_for(root, path.parent, roles_paths)
    named = read_roles(root, folders, problems)
    roles = {section: meta for section, meta in named.items() if section in SECTIONS}
    installed = {meta.name: meta for part, meta in named.items() if part not in SECTIONS}
    given = {key.text for key, _ in root.entries}
    staged = "stages" in given
    shape = experiment_shape(
        roles.get("dbms"), roles.get("workload"), staged=staged, installed=installed.values()
    )
    sections = {key: field for key, field in shape.fields.items() if key in given}
    if "workload" in sections and "workload" in roles:
        sections["workload"] = varied(sections["workload"], roles["workload"])
    walker = Walker(
        problems, LATER, lambda node: FactorReader(sections, walker, staged=staged).read(node), path.parent
    )
    plain = walker.convert(root, shape, "")
    if not readable:
        problems.raise_if_any()
    plain.get("hosts", {}).setdefault("provider", "local")
    experiment = _complete(msgspec.convert(_sound(plain, roles, problems), Experiment), roles, installed)
    if experiment.stages or (staged and not problems.any()):
        StageChecks(experiment, installed, walker.places, problems).run()
    Checks(experiment, roles, walker.places, problems).run()
    tuning = TuningReader(experiment, walker.places, problems).read()
    problems.raise_if_any()
    by_name = {meta.name: meta for meta in roles.values()} | installed
    origins = _origins(experiment, walker.places, path)
    own = tuple(folder.absolute() for folder in folders[:-1])
    return Spec(experiment, origins, text, path, by_name, tuple(sets), walker.files, own, tuning)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}", remedy="make the file readable") from error


def _sound(plain: dict[str, Any], roles: dict[str, RoleMeta], problems: Problems) -> dict[str, Any]:
    """Return the sections that can be looked at further, so that all that is wrong is said at once."""
    if not problems.any():
        return plain
    kept = {"name": "unnamed"}
    for key, value in plain.items():
        if (key not in SECTIONS or key in roles) and _converts({**kept, key: value}):
            kept[key] = value
        else:
            problems.doubt(key)
    return kept


def _converts(plain: dict[str, Any]) -> bool:
    try:
        msgspec.convert(plain, Experiment)
    except msgspec.ValidationError:
        return False
    return True


def _complete(
    experiment: Experiment, roles: dict[str, RoleMeta], installed: dict[str, RoleMeta]
) -> Experiment:
    """Fill in what follows from the roles and from other keys."""
    design, hosts, dbms, workload = (
        experiment.design,
        experiment.hosts,
        experiment.dbms,
        experiment.workload,
    )
    groups = {**{name: hosts.group() for name in _used_groups(experiment)}, **hosts.groups}
    replace = msgspec.structs.replace
    return replace(
        experiment,
        hosts=replace(hosts, groups=groups),
        dbms=None if dbms is None else _with_defaults(dbms, roles["dbms"]),
        workload=None if workload is None else _with_defaults(workload, roles["workload"]),
        stages=tuple(_installing(stage, installed) for stage in experiment.stages),
        design=design if design.min_blocks is not None else replace(design, min_blocks=design.blocks),
        metrics=experiment.metrics or (_default_metrics(roles["workload"]) if workload else ()),
    )


def _used_groups(experiment: Experiment) -> tuple[str, ...]:
    """Return the groups that are there unless the file names its own: what stages run on, or the roles."""
    if experiment.stages:
        named = experiment.hosts.groups
        return () if named else tuple(dict.fromkeys(stage.group for stage in experiment.stages))
    return ("dbms", "loader") if experiment.dbms is not None else ("loader",)


def _installing(stage: StageSpec, installed: dict[str, RoleMeta]) -> StageSpec:
    """Return the stage with the defaults of the options that shape what it installs."""
    install = stage.install
    if install is None or install.role not in installed:
        return stage
    known = installed[install.role].options.items()
    shaping = {name: one for name, one in known if one.scope == "install"}
    complete = msgspec.structs.replace(install, options=_filled(install.options, shaping))
    return msgspec.structs.replace(stage, install=complete)


def _with_defaults(part: Part, meta: RoleMeta) -> Part:
    return msgspec.structs.replace(part, options=_filled(part.options, meta.options))


def _filled(given: Mapping[str, Value], known: Mapping[str, Option]) -> dict[str, Value]:
    """Return what is given with the defaults of the rest; some depend on what is given."""
    usual = {name: one.default for name, one in known.items() if one.default is not None}
    chosen = {**usual, **given}
    depending = {
        name: values[str(chosen.get(other))]
        for name, one in known.items()
        for other, values in one.default_with.items()
        if str(chosen.get(other)) in values
    }
    return {**usual, **depending, **given}


def _default_metrics(meta: RoleMeta) -> tuple[Metric, ...]:
    """Return the metrics that the role compares by default: those with a delta, else its first."""
    chosen = [metric for metric in meta.metrics if metric.delta is not None] or list(meta.metrics[:1])
    return tuple(
        Metric(name=metric.name, better=metric.better, delta=metric.delta or _DEFAULT_DELTA)
        for metric in chosen
    )


def _origins(experiment: Experiment, places: dict[str, Place], path: Path) -> dict[str, str]:
    origins = {}
    for at, _ in _leaves(msgspec.to_builtins(experiment), ""):
        place = places.get(at)
        if place is None:
            origins[at] = "default"
        else:
            origins[at] = f"{path.name}:{place.line}:{place.column}" if place.line else "--set"
    return origins


def _has_options(path: str) -> bool:
    """Say whether a file has the options of a role at a path itself."""
    return path in SECTIONS or (path.startswith("stages.") and path.endswith(".install"))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Yield each leaf's path as a file spells it: options inline, factors by name, lists by index."""
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from _leaves(child, path if key == "options" and _has_options(path) else join(path, key))
    elif path == "factors":
        for factor in value:
            yield join(path, factor["name"]), factor
    elif isinstance(value, list | tuple) and value:
        for index, child in enumerate(value):
            yield from _leaves(child, f"{path}.{index}")
    else:
        yield path, value
