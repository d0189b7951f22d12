"""The `factors` mapping of a file: paths with their levels, and names with labelled levels.

Level values are read as the field that they set. Must not judge combinations of levels; `checks` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchctl.spec.levels import split
from benchctl.spec.nodes import Entries, Items, Node, Text, value_of
from benchctl.spec.problems import did_you_mean
from benchctl.spec.walk import BAD, Walker, join

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchctl.spec.problems import Place
    from benchctl.spec.shapes import Field, Shape

_NAMED = "a mapping of paths to values, such as {dbms.settings.work_mem: 4MB}; {} sets nothing"
_FORM = "a list of levels below a path, or a mapping of labels to what each sets"
_SECTIONS = ("dbms", "workload")
_LATER_SECTIONS = ("hosts", "tuning")


def read_factors(node: Node, targets: Mapping[str, Field], walker: Walker) -> Any:  # noqa: ANN401  BAD or a list for msgspec
    """Return the factors as plain values for the record, or BAD after noting every problem.

    `targets` are the sections that this experiment has, by name.
    """
    walker.places["factors"] = node.place
    found: list[Any] = []
    setters: dict[str, str] = {}
    for name, child in walker.entries(node, "factors", "a mapping of paths or names to levels"):
        path = join("factors", name)
        walker.places[path] = child.place
        before = len(found)
        if isinstance(child, Items):
            found.append(_by_path(name, child, targets, walker))
        elif isinstance(child, Entries):
            found.append(_by_name(name, child, targets, walker))
        else:
            walker.wrong(child, path, _FORM)
        for factor in found[before:]:
            _note_setters(factor, child.place, setters, walker)
    return found


def locate(path: str, targets: Mapping[str, Field], place: Place, at: str, walker: Walker) -> Shape | None:
    """Return the shape of what a factor's path names, or None after noting why there is none."""
    where = split(path)
    section = targets.get(where.section)
    if where.section in _LATER_SECTIONS:
        walker.problems.add(place, at, f"factors over {where.section} are not supported in this version")
        return None
    if section is None or where.section not in _SECTIONS:
        found = "found a path to nothing that a factor may set"
        if where.section in _SECTIONS:
            found = f"found a path below {where.section}, which this experiment does not have"
        known = ", ".join(name for name in _SECTIONS if name in targets)
        hint = did_you_mean(where.section, _SECTIONS) if where.section not in _SECTIONS else ""
        walker.problems.add(place, at, found, f"paths below {known}{hint}")
        return None
    fields = {name: field for name, field in section.shape.fields.items() if name != "role"}
    field = fields.get(where.key)
    if field is None:
        if not section.shape.open:
            names = ", ".join(f"{where.section}.{name}" for name in fields)
            hint = did_you_mean(path, [f"{where.section}.{name}" for name in fields])
            walker.problems.add(place, at, "found a path that does not exist", f"{names}{hint}")
        return None
    return _inside(field.shape, path, place, at, walker)


def _inside(shape: Shape, path: str, place: Place, at: str, walker: Walker) -> Shape | None:
    where = split(path)
    if shape.kind == "mapping":
        if where.entry:
            return shape.item
        walker.problems.add(place, at, "found a path to a whole mapping", f"a key in it, such as {path}.NAME")
        return None
    if where.entry:
        walker.problems.add(place, at, f"found a path below {where.section}.{where.key}, which is no mapping")
        return None
    return shape


def _by_path(path: str, node: Items, targets: Mapping[str, Field], walker: Walker) -> dict[str, Any]:
    at = join("factors", path)
    shape = locate(path, targets, node.place, at, walker)
    if not node.items:
        walker.problems.add(node.place, at, "found no levels", "one level or more; the first is the baseline")
    levels: list[dict[str, Any]] = []
    seen: set[str] = set()
    for index, child in enumerate(node.items):
        text = label_of(child)
        value = BAD if shape is None else walker.convert(child, shape, f"{at}.{index}")
        if text in seen:
            remedy = "for an A/A comparison use a named factor with two labels"
            walker.problems.add(
                child.place, f"{at}.{index}", f"found the level {text} twice", "distinct levels", remedy
            )
        seen.add(text)
        if value is not BAD:
            levels.append({"label": text, "sets": {path: value}})
    return {"name": path, "levels": levels}


def _by_name(name: str, node: Entries, targets: Mapping[str, Field], walker: Walker) -> dict[str, Any]:
    at = join("factors", name)
    levels: list[dict[str, Any]] = []
    if not node.entries or not name:
        walker.problems.add(
            node.place, at, "found no levels, or no name", "one level or more; the first is the baseline"
        )
    for label, child in walker.entries(node, at):
        where = join(at, label)
        walker.places[where] = child.place
        if not label:
            walker.problems.add(child.place, where, "found an empty label", "a name for the level")
        empty = isinstance(child, Text) and value_of(child) is None
        sets = {} if empty else _sets(child, where, targets, walker)
        levels.append({"label": label, "sets": sets})
    return {"name": name, "levels": levels}


def _sets(node: Node, at: str, targets: Mapping[str, Field], walker: Walker) -> dict[str, Any]:
    sets: dict[str, Any] = {}
    for path, child in walker.entries(node, at, _NAMED):
        shape = locate(path, targets, child.place, at, walker)
        value = BAD if shape is None else walker.convert(child, shape, join(at, path))
        if value is not BAD:
            sets[path] = value
    return sets


def label_of(node: Node) -> str:
    """Return a level's label: its value as it was written."""
    if isinstance(node, Text):
        return node.text
    if isinstance(node, Items):
        return f"[{', '.join(label_of(child) for child in node.items)}]"
    return f"{{{', '.join(f'{key.text}: {label_of(child)}' for key, child in node.entries)}}}"


def _note_setters(factor: dict[str, Any], place: Place, setters: dict[str, str], walker: Walker) -> None:
    name = factor["name"]
    for path in dict.fromkeys(path for level in factor["levels"] for path in level["sets"]):
        other = setters.setdefault(path, name)
        if other != name:
            walker.problems.add(
                place,
                join("factors", name),
                f"sets {path}, as factor {other} does",
                "",
                "let one factor set it",
            )
