"""The text of a first experiment file: what the flags say, and each option of the roles with its meaning.

Must not write files or ask; a text from here is checked by `spec` before anybody gets it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from benchctl.errors import SpecError, UsageError
from benchctl.model.experiment import Workload
from benchctl.spec import read_role
from benchctl.spec.problems import did_you_mean
from benchctl.spec.share import find_role, roles_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchctl.model.role import Option, RoleMeta

_PLAIN = re.compile(r"(?:[A-Za-z0-9_./+]|-(?=[0-9]))(?:[A-Za-z0-9_./%+ -]*[A-Za-z0-9_./%+-])?")
_NO_TEXT = {"null", "true", "false", "."}  # YAML would read these as something else
_USUAL_LOADERS = {"postgresql": "pgbench", "redis": "redis_benchmark"}  # the system's own


class Wish(NamedTuple):
    """What the flags or the answers say."""

    path: Path
    role: str
    factors: tuple[str, ...]
    blocks: int


def experiment_lines(wish: Wish, folders: Sequence[Path]) -> Iterator[str]:
    """Yield the lines of the file. Raises UsageError for an unknown role or a factor without values."""
    dbms, loader = parts(wish.role, folders)
    varied = {factor.partition("=")[0].strip() for factor in wish.factors}
    yield f"# benchctl run {wish.path}"
    yield "#"
    yield "# `benchctl roles show ROLE` explains each key; `benchctl schema` prints a schema for editors."
    yield f"name: {wish.path.stem}"
    if dbms is not None:
        yield "\n# The system under test."
        yield "dbms:"
        yield f"  role: {dbms.name}"
        yield from _options(dbms, "dbms", varied)
        if dbms.settings:
            yield "  # settings:                  # the server's own settings, the same in all trials"
            yield "  #   NAME: VALUE"
    yield "\n# What drives it, and for how long each trial is measured."
    yield "workload:"
    yield f"  role: {loader.name}"
    yield from _options(loader, "workload", varied)
    yield from _window(loader)
    yield "\n# What is set on each host while the run lasts, and given back at its end; needs root there."
    yield "# `benchctl knobs explain` tells what it would change: none, repeatable, peak, or a file of yours."
    yield "# tuning: {profile: repeatable}"
    yield "\n# What varies. The first level is the baseline, the others are compared with it."
    yield "factors:"
    yield from _factors(wish, {"dbms": dbms, "workload": loader})
    yield "\n# Each block runs every level once, in random order. More blocks find smaller differences."
    yield f"design:\n  blocks: {wish.blocks}\n  seed: 42"
    yield "\n# What is compared. The first metric decides. Differences within delta count as equivalent."
    yield "metrics:"
    yield from _metrics(loader)


def _window(loader: RoleMeta) -> Iterator[str]:
    from benchctl.loaders import exists, get

    warmup = 5.0
    try:
        if exists(loader.name):
            get(loader.name).names(Workload(role=loader.name, warmup=warmup))
    except SpecError:
        yield "  duration: 30s                # about as long as it takes; the options decide"
        return
    yield f"  warmup: {warmup:g}s                   # under load, but not measured"
    yield "  duration: 30s                # measured; a minute or more says more"


def parts(role: str, folders: Sequence[Path]) -> tuple[RoleMeta | None, RoleMeta]:
    """The DBMS, if any, and the load generator that an experiment on this role has."""
    known = roles_in(folders)
    if find_role(role, folders) is None:
        raise UsageError(
            f"there is no role {role!r}{did_you_mean(role, known)}",
            remedy=f"name one of {', '.join(known)}, or the folder of your own roles by --roles-path",
        )
    meta = read_role(role, folders)
    if meta.kind == "tuning":
        raise UsageError(
            f"{role} tunes hosts: it is nothing to measure",
            remedy="`tuning: {profile: repeatable}` in the experiment tunes its hosts",
        )
    if meta.kind == "loader":
        return (read_role(meta.drives[0], folders) if meta.drives else None), meta
    usual = _USUAL_LOADERS.get(role)
    for name in known if usual is None else (usual, *known):
        loader = read_role(name, folders)
        if loader.kind == "loader" and role in loader.drives:
            return meta, loader
    return meta, read_role("command", folders)


def _options(meta: RoleMeta, part: str, varied: set[str]) -> Iterator[str]:
    """A line for each option: set where the role has a default that people often change, else a comment."""
    for name, option in meta.options.items():
        example = _example(option)
        active = (
            option.example is not None
            or option.required
            or (option.type in {"version", "integer"} and option.default is not None)
        )
        if f"{part}.{name}" in varied:
            yield f"  # {name}: below, it varies"
            continue
        pair = f"  {name}: {example}" if active else f"  # {name}: {example}"
        yield f"{pair:<30} # {_gist(option.doc)}"


def _example(option: Option) -> str:
    value = option.example if option.default is None else option.default
    return "…" if value is None else _scalar(value, option)


def _gist(doc: str) -> str:
    """The first words of an option's doc; `benchctl roles show` has all of it."""
    return re.split(r"; |: |\. ", doc, maxsplit=1)[0].strip().rstrip(".")


def _scalar(value: object, option: Option | None) -> str:
    """A value as YAML text: plain where that is safe, versions always in quotes."""
    if option is not None and option.type == "duration" and isinstance(value, float):
        return f"{value:g}s"
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value not in _NO_TEXT
        typed = option is not None and option.type == "version"
        return value if plain and not typed else json.dumps(value, ensure_ascii=False)
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def _factors(wish: Wish, parts: dict[str, RoleMeta | None]) -> Iterator[str]:
    for factor in wish.factors:
        path, equals, values = factor.partition("=")
        levels = [value.strip() for value in values.split(",")]
        if not equals or not path.strip() or not all(levels):
            raise UsageError(
                f"--factor {factor}: found no path with values",
                remedy="write it as path=baseline,other, such as dbms.settings.work_mem=4MB,64MB",
            )
        part, _, name = path.strip().partition(".")
        meta = parts.get(part)
        option = None if meta is None else meta.options.get(name)
        yield f"  {path.strip()}: [{', '.join(_scalar(level, option) for level in levels)}]"
    if not wish.factors:
        yield "  # Replace this by a path and its values, such as workload.duration: [30s, 60s]. As it is,"
        yield "  # both sides are the same, which shows what this machine can tell from noise."
        yield "  side:\n    a: {}\n    b: {}"


def _metrics(loader: RoleMeta) -> Iterator[str]:
    chosen = [metric for metric in loader.metrics if metric.delta is not None] or list(loader.metrics[:1])
    for metric in chosen:
        delta = f"{100 * (metric.delta or 0.02):g}%"
        yield f"  - {{name: {metric.name}, better: {metric.better}, delta: {delta}}}"
    if not chosen:
        yield "  - {name: throughput, better: higher, delta: 2%}   # as your load generator reports it"
    others = [metric.name for metric in loader.metrics if metric not in chosen]
    if others:
        yield f"  # also there: {', '.join(others)}"
