"""The one walker: nodes along a shape to plain values, with every problem and every origin on the way.

Must not know what single keys mean; checks that look at more than one place are in `checks`.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchctl.model import units
from benchctl.spec.nodes import Entries, Items, Node, Text, value_of
from benchctl.spec.problems import Place, Problems, closest, did_you_mean
from benchctl.spec.share import neighbours
from benchctl.spec.words import split_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchctl.spec.shapes import Shape

_WHOLE_LIMIT = 2**63
_BARE_PERCENT = re.compile(r"0?\.[0-9]+")
_BARE = re.compile(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?|true|false")
_UNITS = {
    "duration": (units.parse_duration, units.DURATION_WANTED, "s"),
    "size": (units.parse_size, units.SIZE_WANTED, "MB"),
    "percent": (units.parse_percent, units.PERCENT_WANTED, "%"),
}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_LATER = "not supported in this version"


class _Bad:
    """Stands for a value whose problem has been noted."""


BAD: Final = _Bad()


class Walker:
    """Converts nodes; `places` maps each dotted path to where its value stands."""

    def __init__(
        self,
        problems: Problems,
        later: Mapping[str, frozenset[str]],
        factors: Callable[[Node], Any] | None = None,
        beside: Path | None = None,
    ) -> None:
        """Take where problems go, what is not supported yet (path -> keys), and what reads factors.

        `beside` is the folder that paths in the file start from; without it files are not looked at.
        """
        self.files: dict[str, str] = {}  # absolute path -> SHA-256
        self._beside = beside
        self.problems = problems
        self.places: dict[str, Place] = {}
        self._later = later
        self._factors = factors

    def convert(self, node: Node, shape: Shape, path: str) -> Any:  # noqa: ANN401  any shape the file may have
        """Return the plain value of a node, or BAD after noting why not."""
        self.places[path] = node.place
        if shape.kind == "factors" and self._factors is not None:
            return self._factors(node)
        readers = {
            "record": self._record,
            "list": self._list,
            "mapping": self._mapping,
            "value": self._value,
            "words": self._words,
            "secret": self._secret,
        }
        return readers.get(shape.kind, self._scalar)(node, shape, path)

    def wrong(self, node: Node, path: str, allowed: str, remedy: str = "") -> _Bad:
        """Note that a node is not what may stand there."""
        self.problems.add(
            node.place, path, f"found {describe(node)}", allowed, remedy or _secret_remedy(node)
        )
        return BAD

    def entries(
        self, node: Node, path: str, allowed: str = "a mapping of keys to values"
    ) -> tuple[tuple[Text, Node], ...]:
        """Return a mapping's entries; notes a problem and returns none when it is no mapping."""
        if isinstance(node, Entries):
            return node.entries
        self.wrong(node, path, allowed)
        return ()

    def _record(self, node: Node, shape: Shape, path: str) -> Any:  # noqa: ANN401
        if not isinstance(node, Entries):
            return self.wrong(node, path, f"a mapping with the keys {', '.join(shape.fields)}")
        shape = _variant(node, shape)
        found: dict[str, Any] = {}
        inline: dict[str, Any] = {}
        for key, child in node.entries:
            at = join(path, key.text)
            field = shape.fields.get(key.text)
            if field is None:
                self._unknown(key, path, shape)
                self._doubt_absent(key.text, node, path, shape)
                continue
            value = self.convert(child, field.shape, at)
            if value is not BAD:
                (inline if field.inline else found)[key.text] = value
        self._missing(node, shape, path)
        if any(field.inline for field in shape.fields.values()):
            found["options"] = inline
        return found

    def _unknown(self, key: Text, path: str, shape: Shape) -> None:
        if key.text in self._later.get(path, ()):
            self.problems.add(key.place, join(path, key.text), _LATER, "", "remove this key")
        elif key.text in shape.others:
            found = f"found {shape.others[key.text]}"
            self.problems.add(key.place, join(path, key.text), found, "", "remove this key")
        elif not shape.open:
            known = ", ".join(shape.fields)
            remedy = did_you_mean(key.text, shape.fields).strip()
            self.problems.add(
                key.place, join(path, key.text), "found an unknown key", f"{known} {remedy}".strip()
            )

    def _doubt_absent(self, unknown: str, node: Entries, path: str, shape: Shape) -> None:
        """Note what an unknown key may have been meant to be: the likeliest, else any that is absent."""
        close = closest(unknown, shape.fields)
        for name in [close] if close else shape.fields:
            if node.get(name) is None:
                self.problems.doubt(join(path, name))

    def _missing(self, node: Entries, shape: Shape, path: str) -> None:
        given = {key.text for key, _ in node.entries}
        for name, field in shape.fields.items():
            if field.required and name not in given:
                self.problems.add(
                    node.place, join(path, name), "found no such key", allowed(field.shape), f"add {name}"
                )

    def _list(self, node: Node, shape: Shape, path: str) -> Any:  # noqa: ANN401
        if not isinstance(node, Items) or shape.item is None:
            return self.wrong(node, path, "a list")
        values = [
            self.convert(child, shape.item, f"{path}.{index}") for index, child in enumerate(node.items)
        ]
        return BAD if BAD in values else values

    def _words(self, node: Node, shape: Shape, path: str) -> Any:  # noqa: ANN401
        if isinstance(node, Items):
            words = [
                self.convert(child, shape._replace(kind="text"), f"{path}.{index}")
                for index, child in enumerate(node.items)
            ]
            if not words:
                return self.wrong(node, path, allowed(shape))
            return BAD if BAD in words else words
        text = self._scalar(node, shape._replace(kind="text"), path)
        if text is BAD:
            return BAD
        try:
            words = split_words(text)
        except ValueError as error:
            return self.wrong(node, path, allowed(shape), str(error))
        self.places.update((f"{path}.{index}", node.place) for index in range(len(words)))
        return words or self.wrong(node, path, allowed(shape))

    def _secret(self, node: Node, shape: Shape, path: str) -> Any:  # noqa: ANN401
        """Read the name of a secret; whatever else stands there may be one, and is not repeated."""
        wanted = "{env: NAME} or {keyring: NAME}"
        if not isinstance(node, Entries):
            self.problems.add(
                node.place, path, "found a value", wanted, "a secret never stands in a file; name it"
            )
            return BAD
        given = [key.text for key, _ in node.entries]
        if len(given) != 1 or given[0] not in {"env", "keyring"}:
            self.problems.add(node.place, path, f"found the keys {', '.join(given) or '(none)'}", wanted)
            return BAD
        name = self.convert(node.entries[0][1], shape._replace(kind="string"), join(path, given[0]))
        return BAD if name is BAD else {given[0]: name}

    def _mapping(self, node: Node, shape: Shape, path: str) -> Any:  # noqa: ANN401
        if not isinstance(node, Entries) or shape.item is None:
            return self.wrong(node, path, "a mapping of names to values")
        values = {}
        for key, child in node.entries:
            if not key.text or _CONTROL.search(key.text) or "\n" in key.text:
                self.problems.add(
                    key.place, path, "found an empty key, or one with control characters", "a name"
                )
            values[key.text] = self.convert(child, shape.item, join(path, key.text))
        return BAD if BAD in values.values() else values

    def _value(self, node: Node, shape: Shape, path: str) -> Any:  # noqa: ANN401
        if isinstance(node, Text):
            return self._scalar(node, shape._replace(kind="scalar"), path)
        scalar = shape._replace(kind="scalar")
        if isinstance(node, Items):
            return self._list(node, shape._replace(item=scalar), path)
        return self._mapping(node, shape._replace(item=scalar), path)

    def _scalar(self, node: Node, shape: Shape, path: str) -> Any:  # noqa: ANN401
        if not isinstance(node, Text):
            return self.wrong(node, path, allowed(shape))
        value = value_of(node)
        if value is None or (isinstance(value, str) and _CONTROL.search(value)):
            return self.wrong(node, path, allowed(shape))
        readers = {
            "choice": self._choice,
            "file": self._file,
            "path": self._path,
            "text": self._text,
            "line": self._line,
            "string": self._string,
            "version": self._string,
        }
        reader = self._with_unit if shape.kind in _UNITS else readers.get(shape.kind, self._plain)
        return reader(node, shape, path)

    def _plain(self, node: Text, shape: Shape, path: str) -> Any:  # noqa: ANN401
        value = value_of(node)
        fits = {
            "boolean": (bool,),
            "integer": (int,),
            "number": (int, float),
            "scalar": (str, int, float, bool),
        }[shape.kind]
        if not isinstance(value, fits) or (isinstance(value, bool) and bool not in fits):
            return self.wrong(node, path, allowed(shape), _unquote(node, shape))
        if isinstance(value, int | float) and not _inside(value, shape):
            huge = not math.isfinite(value) or abs(value) >= _WHOLE_LIMIT
            return self.wrong(node, path, allowed(shape), "write a smaller number" if huge else "")
        return value

    def _with_unit(self, node: Text, shape: Shape, path: str) -> Any:  # noqa: ANN401
        parse, wanted, unit = _UNITS[shape.kind]
        try:
            value = parse(node.text)
        except ValueError:
            bare = isinstance(value_of(node), int | float) and not isinstance(value_of(node), bool)
            return self.wrong(node, path, wanted, f"write {_suggest(node.text, unit)}" if bare else "")
        return value if _inside(value, shape) else self.wrong(node, path, allowed(shape))

    def _choice(self, node: Text, shape: Shape, path: str) -> Any:  # noqa: ANN401
        if node.text in shape.choices:
            return node.text
        return self.wrong(node, path, f"{allowed(shape)}{did_you_mean(node.text, shape.choices)}")

    def _file(self, node: Text, shape: Shape, path: str) -> Any:  # noqa: ANN401
        if node.text in shape.choices or self._beside is None:
            return node.text
        base = _base(node, self._beside)
        found = base.resolve() / node.text
        try:
            content = found.read_bytes() if found.is_file() else None
        except (OSError, ValueError):  # unreadable, or a name that no file can have
            content = None
        if content is None:
            hint = did_you_mean(node.text, [*shape.choices, *neighbours(base, node.text)])
            return self.wrong(
                node, path, f"{allowed(shape)}{hint}", f"there is no readable file {base / node.text}"
            )
        import hashlib  # loads OpenSSL, and few experiments name files

        self.files[str(found)] = hashlib.sha256(content).hexdigest()
        return str(found)

    def _path(self, node: Text, shape: Shape, path: str) -> Any:  # noqa: ANN401
        """Read a path whose file others look at, later: from the base folder, or from home."""
        if self._string(node, shape, path) is BAD:
            return BAD
        if self._beside is None:
            return node.text
        try:
            return str(_base(node, self._beside).resolve() / Path(node.text).expanduser())
        except RuntimeError as error:  # a user without a home
            return self.wrong(node, path, allowed(shape), str(error))

    def _text(self, node: Text, shape: Shape, path: str) -> Any:  # noqa: ANN401, ARG002
        return node.text

    def _line(self, node: Text, shape: Shape, path: str) -> Any:  # noqa: ANN401
        return [node.text] if node.text.strip() else self.wrong(node, path, allowed(shape))

    def _string(self, node: Text, shape: Shape, path: str) -> Any:  # noqa: ANN401
        if not isinstance(value_of(node), str):
            reason = "a bare 10.10 would become 10.1; " if shape.kind == "version" else ""
            quoted = f'"{node.text}"' if node.place.line else f"--set '{path}=\"{node.text}\"'"
            return self.wrong(node, path, allowed(shape), f"{reason}write it in quotes: {quoted}")
        if (shape.pattern and re.search(shape.pattern, node.text) is None) or not node.text:
            return self.wrong(node, path, allowed(shape))
        return node.text


def _base(node: Text, beside: Path) -> Path:
    """Return the folder that a path starts from: the experiment's, the current one for --set."""
    return beside if node.place.line else Path.cwd()


def _variant(node: Entries, shape: Shape) -> Shape:
    """Return the shape of a record's keys, as the value of one of them chooses it."""
    if shape.variants is None:
        return shape
    chosen = node.get(shape.variants.key)
    if not isinstance(chosen, Text):
        return shape
    value = value_of(chosen)
    text = str(value).lower() if isinstance(value, bool) else chosen.text
    return shape.variants.shapes.get(text, shape)


def join(path: str, key: str) -> str:
    """Return the dotted path of a key below a path."""
    return f"{path}.{key}" if path else key


def describe(node: Node) -> str:
    """Return what a reader would call a node."""
    if isinstance(node, Items):
        return "a list"
    if isinstance(node, Entries):
        return "a mapping"
    value = value_of(node)
    shown = node.text if len(node.text) <= 60 else node.text[:57] + "…"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the truth value {shown}"
    if isinstance(value, int | float):
        return f"the number {shown}"
    return f"the text {shown!r}"


def allowed(shape: Shape) -> str:
    """Return what may stand at a place of this shape, for people."""
    if shape.kind in _UNITS:
        return f"{_UNITS[shape.kind][1]}{',' if _bounds(shape) else ''}{_bounds(shape)}"
    if shape.kind == "choice":
        return " or ".join(
            [", ".join(shape.choices[:-1]), shape.choices[-1]] if shape.choices[1:] else shape.choices
        )
    if shape.kind == "file":
        path = "the path of a file, from the experiment's folder"
        return ", ".join([*shape.choices, f"or {path}"]) if shape.choices else path
    if shape.pattern:
        return shape.words or f"a text that matches {shape.pattern}"
    names = {
        "string": "a text", "version": 'a version in quotes, such as "18"', "integer": "a whole number",
        "number": "a number", "boolean": "true or false", "scalar": "a text, a number, true or false",
        "value": "a text, a number, true, false, or a list or mapping of these", "list": "a list",
        "text": "a text", "words": "a command line, or a list of its words", "line": "a command line",
        "path": "a path", "secret": "the name of a secret",
        "mapping": "a mapping of names to values", "record": "a mapping", "factors": "a mapping",
    }  # fmt: skip
    return names[shape.kind] + _bounds(shape)


def _bounds(shape: Shape) -> str:
    unit = {"duration": "s", "percent": "%"}.get(shape.kind, "")
    factor = 100 if shape.kind == "percent" else 1
    words = (("from", shape.minimum), ("to", shape.maximum), ("below", shape.below))
    parts = [f"{word} {limit * factor:.12g}{unit}" for word, limit in words if limit is not None]
    return f" {' '.join(parts)}" if parts else ""


def _inside(value: float, shape: Shape) -> bool:
    if not math.isfinite(value) or (isinstance(value, int) and abs(value) >= _WHOLE_LIMIT):
        return False
    return (
        (shape.minimum is None or value >= shape.minimum)
        and (shape.maximum is None or value <= shape.maximum)
        and (shape.below is None or value < shape.below)
    )


def _suggest(text: str, unit: str) -> str:
    if unit == "%" and _BARE_PERCENT.fullmatch(text):
        return f"{float(text) * 100:g}%"
    return f"{text}{unit}"


def _unquote(node: Text, shape: Shape) -> str:
    if not node.plain and shape.kind in {"integer", "number", "boolean"} and _BARE.fullmatch(node.text):
        return f"write it without quotes: {node.text}"
    return ""


def _secret_remedy(node: Node) -> str:
    if isinstance(node, Entries) and {key.text for key, _ in node.entries} & {"env", "keyring"}:
        return "secrets by name are not supported here in this version"
    return ""
