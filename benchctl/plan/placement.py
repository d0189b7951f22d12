"""What must exist on the hosts: instances and data images, each once however many treatments share it.

Owns their names, hashes of what they are made of. Must not decide how they are made.
"""

from __future__ import annotations

import hashlib
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from benchctl.model.plan import Image, Instance, Treatment
from benchctl.spec.levels import under

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchctl.model.experiment import Dbms, Experiment, Value, Workload
    from benchctl.model.role import RoleMeta, Scope


class Placement(NamedTuple):
    """All treatments, and what they need."""

    treatments: tuple[Treatment, ...]
    instances: tuple[Instance, ...]
    images: tuple[Image, ...]


def place(experiment: Experiment, roles: Mapping[str, RoleMeta]) -> Placement:
    """Return the factorial of all levels; the first treatment holds the baselines."""
    combinations = list(product(*(factor.levels for factor in experiment.factors)))
    width = max(2, len(str(len(combinations))))
    instances: dict[str, Instance] = {}
    images: dict[str, Image] = {}
    treatments = []
    for number, levels in enumerate(combinations, start=1):
        parts = under(experiment, levels)
        instance = image = None
        if parts.dbms is not None:
            made = _instance(parts.dbms, roles[parts.dbms.role])
            instance = instances.setdefault(made.id, made).id
            cloned = _image(instance, parts.workload, roles[parts.workload.role], experiment.design.seed)
            image = images.setdefault(cloned.id, cloned).id
        treatments.append(
            Treatment(
                id=f"t{number:0{width}d}",
                levels={f.name: level.label for f, level in zip(experiment.factors, levels, strict=True)},
                dbms=parts.dbms,
                workload=parts.workload,
                instance=instance,
                image=image,
            )
        )
    needed = (*instances.values(), *_installed(experiment, roles))
    return Placement(tuple(treatments), needed, tuple(images.values()))


def _installed(experiment: Experiment, roles: Mapping[str, RoleMeta]) -> Iterator[Instance]:
    """Yield the instance of each DBMS that a stage installs on its group."""
    for stage in experiment.stages:
        if stage.install is not None and roles[stage.install.role].kind == "dbms":
            role, options = stage.install.role, dict(stage.install.options)
            yield Instance(id=_instance_id(role, options), role=role, group=stage.group, options=options)


def loaders(experiment: Experiment, roles: Mapping[str, RoleMeta]) -> dict[str, dict[str, Value]]:
    """Return what the experiment says of how each load generator is installed, by role."""
    workload = experiment.workload
    if workload is not None:
        return {workload.role: _scoped(workload.options, roles[workload.role], {"install"})}
    installs = [stage.install for stage in experiment.stages if stage.install is not None]
    return {one.role: dict(one.options) for one in installs if roles[one.role].kind == "loader"}


def digest(content: object) -> str:
    """Return the SHA-256 of a value's canonical JSON: keys sorted, no spaces."""
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()


def _instance(dbms: Dbms, meta: RoleMeta) -> Instance:
    """Options of scope prepare count here too: a descriptor's init runs with them."""
    options = _scoped(dbms.options, meta, {"install", "prepare"})
    if dbms.settings and meta.settings in {"install", "prepare"}:
        options["settings"] = dict(dbms.settings)
    return Instance(id=_instance_id(dbms.role, options), role=dbms.role, group="dbms", options=options)


def _instance_id(role: str, options: dict[str, Any]) -> str:
    return f"{role}-{digest([role, options])[:8]}"


def _image(instance: str, workload: Workload, meta: RoleMeta, seed: int) -> Image:
    prepare = _scoped(workload.options, meta, {"prepare"})
    name = f"image-{digest([instance, workload.role, prepare, seed])[:8]}"
    return Image(id=name, instance=instance, loader=workload.role, prepare=prepare, seed=seed)


def _scoped(options: Mapping[str, Value], meta: RoleMeta, scopes: set[Scope]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if meta.options[name].scope in scopes}
