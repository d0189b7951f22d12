"""A role's meta/bench.yml as a RoleMeta: the front end and the messages of an experiment file.

Must not run or install anything; it only reads what a role says of itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from benchctl.errors import SpecError
from benchctl.model.experiment import Dbms, Workload
from benchctl.model.role import RoleMeta
from benchctl.spec.nodes import Entries, Node, compose, decode
from benchctl.spec.problems import Place, Problems, did_you_mean
from benchctl.spec.shapes import option_shape, role_shape
from benchctl.spec.share import find_role, roles_in
from benchctl.spec.walk import BAD, Walker, join

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_TAKEN = {"dbms": {"role", "settings"}, "loader": {*Workload.__struct_fields__}, "tuning": {"profile"}}


def read_role(name: str, search: Sequence[Path]) -> RoleMeta:
    """Return what a role says of itself; the first of the folders in `search` that has it wins.

    Raises:
        SpecError: no folder has it, or its meta/bench.yml is wrong (each problem with file, line and column).
    """
    folder = find_role(name, search)
    if folder is None:
        known = roles_in(search)
        raise SpecError(
            f"{name}: found no such role{did_you_mean(name, known)}; allowed: {', '.join(known)}",
            remedy="put your roles beside the experiment, in ./roles there, or use --roles-path",
        )
    path = folder / "meta" / "bench.yml"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}", remedy="make the file readable") from error
    return parse_role(decode(data, str(path)), str(path), name)


def parse_role(text: str, source: str, name: str) -> RoleMeta:
    """Return the record for the text of a meta/bench.yml. Raises SpecError with all problems."""
    problems = Problems()
    walker = Walker(problems, {})
    node = compose(text, source, problems)
    plain = walker.convert(node, role_shape(), "")
    problems.raise_if_any()
    meta = msgspec.convert(plain, RoleMeta)
    meta = msgspec.structs.replace(meta, options=_typed_defaults(meta, node, walker))
    _check(meta, name, Place(source, 1, 1), walker)
    problems.raise_if_any()
    return meta


def _typed_defaults(meta: RoleMeta, node: Node, walker: Walker) -> dict[str, Any]:
    """Read defaults and examples as their option's own type: `default: 60s` of a duration is 60.0."""
    options = dict(meta.options)
    for name, key, given in _values(node):
        value = walker.convert(given, option_shape(meta.options[name]), f"options.{name}.{key}")
        if value is not BAD:
            frozen = tuple(value) if isinstance(value, list) else value
            options[name] = msgspec.structs.replace(options[name], **{key: frozen})
    return options


def _values(node: Node) -> list[tuple[str, str, Node]]:
    """Each option's name with `default` or `example`, and what stands there."""
    options = node.get("options") if isinstance(node, Entries) else None
    entries = options.entries if isinstance(options, Entries) else ()
    named = [(key.text, child) for key, child in entries if isinstance(child, Entries)]
    found = [(name, key, child.get(key)) for name, child in named for key in ("default", "example")]
    return [(name, key, value) for name, key, value in found if value is not None]


def _check(meta: RoleMeta, name: str, top: Place, walker: Walker) -> None:
    problems = walker.problems
    if meta.name != name:
        problems.add(
            walker.places.get("name", top),
            "name",
            f"found {meta.name!r}",
            f"{name!r}, as the folder is named",
        )
    for option, spec in meta.options.items():
        place = walker.places.get(join("options", option), top)
        if option in _TAKEN[meta.kind] or "." in option:
            problems.add(
                place,
                f"options.{option}",
                "found a name that is taken, or a dot in it",
                "",
                "use another name",
            )
        if spec.type != "file" and (spec.type == "choice") != bool(spec.choices):
            problems.add(
                place,
                f"options.{option}.choices",
                "choices belong to the type choice, or to file",
                "",
                "add or remove them",
            )
    if meta.kind == "dbms" and set(meta.options) & set(Dbms.__struct_fields__):
        problems.add(top, "options", "found a name that every DBMS has", "", "use another name")
