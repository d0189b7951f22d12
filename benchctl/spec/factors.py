"""The `factors` mapping of a file: paths with their levels, and names with labelled levels.

Level values are read as the field that they set. Must not judge combinations of levels; `checks` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchctl.spec.levels import split
from benchctl.spec.nodes import Entries, Items, Node, Text, value_of
from benchctl.spec.problems import did_you_mean
from benchctl.spec.shapes import Shape
from benchctl.spec.walk import BAD, Walker, join

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchctl.spec.problems import Place
    from benchctl.spec.shapes import Field

_SECTIONS = ("dbms", "workload")
_LATER_SECTIONS = ("hosts", "tuning")
_NAMED = "a mapping of paths to values, such as {dbms.settings.work_mem: 4MB}; {} sets nothing"
_FORM = "a list of levels below a path, or a mapping of labels to what each sets"
_ONE_OR_MORE = "one level or more; the first is the baseline"


class FactorReader:
    """Reads `factors` for a walker; `sections` are the parts that a factor may set, as this file has them."""

    def __init__(self, sections: Mapping[str, Field], walker: Walker, *, staged: bool = False) -> None:
        """Take what paths may lead into, and who converts values and gathers problems.

        `staged`: the file has stages, whose templates take a factor's level by its name; nothing else is set.
        """
        self._staged = staged
        self._sections = sections
        self._walker = walker
        self._setters: dict[str, str] = {}  # path -> the factor that sets it

    def read(self, node: Node) -> list[Any]:
        """Return the factors as plain values for their record; what is wrong goes to the problems."""
        self._walker.places["factors"] = node.place
        found: list[Any] = []
        for name, child in self._walker.entries(node, "factors", "a mapping of paths or names to levels"):
            path = join("factors", name.text)
            self._walker.places[path] = child.place
            if isinstance(child, Items):
                levels = self._by_path(name, child)
            elif isinstance(child, Entries):
                levels = self._by_name(name, child)
            else:
                self._walker.wrong(child, path, _FORM)
                continue
            self._note_setters(name, levels)
            found.append({"name": name.text, "levels": levels})
        return found

    def _add(self, place: Place, path: str, found: str, allowed: str = "", remedy: str = "") -> None:
        self._walker.problems.add(place, path, found, allowed, remedy)

    def _by_path(self, path: Text, node: Items) -> list[Any]:
        at = join("factors", path.text)
        shape = Shape("text") if self._staged else self._locate(path, at)
        if not node.items:
            self._add(node.place, at, "found no levels", _ONE_OR_MORE)
        levels: dict[str, Any] = {}
        for index, child in enumerate(node.items):
            label = label_of(child)
            value = BAD if shape is None else self._walker.convert(child, shape, f"{at}.{index}")
            if label in levels:
                remedy = "for an A/A comparison use a named factor with two labels"
                self._add(
                    child.place, f"{at}.{index}", f"found the level {label} twice", "distinct levels", remedy
                )
            sets = {} if value is BAD or self._staged else {path.text: value}
            levels[label] = {"label": label, "sets": sets}
        return list(levels.values())

    def _by_name(self, name: Text, node: Entries) -> list[Any]:
        at = join("factors", name.text)
        levels: list[Any] = []
        if not node.entries or not name.text:
            self._add(node.place, at, "found no levels, or no name", _ONE_OR_MORE)
        for label, child in node.entries:
            where = join(at, label.text)
            self._walker.places[where] = child.place
            if not label.text:
                self._add(label.place, where, "found an empty label", "a name for the level")
            nothing = isinstance(child, Text) and value_of(child) is None
            levels.append({"label": label.text, "sets": {} if nothing else self._sets(child, where)})
        return levels

    def _sets(self, node: Node, at: str) -> dict[str, Any]:
        if self._staged:
            if not isinstance(node, Entries) or node.entries:
                self._walker.wrong(node, at, "{}: templates of the stages take the label as levels.NAME")
            return {}
        sets: dict[str, Any] = {}
        for path, child in self._walker.entries(node, at, _NAMED):
            shape = self._locate(path, at)
            value = BAD if shape is None else self._walker.convert(child, shape, join(at, path.text))
            if value is not BAD:
                sets[path.text] = value
        return sets

    def _locate(self, path: Text, at: str) -> Shape | None:
        """Return the shape of what a path names, or None after noting why there is none."""
        where = split(path.text)
        section = self._sections.get(where.section)
        if where.section in _LATER_SECTIONS:
            self._add(path.place, at, f"factors over {where.section} are not supported in this version")
            return None
        if section is None or where.section not in _SECTIONS:
            self._no_section(path, where.section, at)
            return None
        if where.key in section.shape.others:
            remedy = "run the experiment once for each"
            self._add(path.place, at, f"found {section.shape.others[where.key]}", "", remedy)
            return None
        fields = {name: field for name, field in section.shape.fields.items() if name != "role"}
        field = fields.get(where.key)
        if field is None:
            known = [f"{where.section}.{name}" for name in fields]
            if not section.shape.open:
                hint = did_you_mean(path.text, known)
                self._add(path.place, at, "found a path that does not exist", f"{', '.join(known)}{hint}")
            return None
        return self._inside(field.shape, path, at)

    def _no_section(self, path: Text, section: str, at: str) -> None:
        found, hint = "found a path to nothing that a factor may set", did_you_mean(section, _SECTIONS)
        if section in _SECTIONS:
            found, hint = f"found a path below {section}, which this experiment does not have", ""
        known = ", ".join(name for name in _SECTIONS if name in self._sections)
        self._add(path.place, at, found, f"paths below {known}{hint}")

    def _inside(self, shape: Shape, path: Text, at: str) -> Shape | None:
        where = split(path.text)
        if shape.kind == "mapping":
            if where.entry:
                return shape.item
            self._add(
                path.place, at, "found a path to a whole mapping", f"a key in it, such as {path.text}.NAME"
            )
            return None
        if where.entry:
            self._add(path.place, at, f"found a path below {where.section}.{where.key}, which is no mapping")
            return None
        return shape

    def _note_setters(self, name: Text, levels: list[Any]) -> None:
        for path in dict.fromkeys(path for level in levels for path in level["sets"]):
            other = self._setters.setdefault(path, name.text)
            if other != name.text:
                at = join("factors", name.text)
                self._add(name.place, at, f"sets {path}, as factor {other} does", "", "let one factor set it")


def label_of(node: Node) -> str:
    """Return a level's label: its value as it was written."""
    if isinstance(node, Text):
        return node.text
    if isinstance(node, Items):
        return f"[{', '.join(label_of(child) for child in node.items)}]"
    return f"{{{', '.join(f'{key.text}: {label_of(child)}' for key, child in node.entries)}}}"
