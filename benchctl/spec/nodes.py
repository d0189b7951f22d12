"""YAML text as a tree of nodes that know their place. Owns the limits on what a file may be.

Reads YAML 1.2 (`on` is a text) through ruamel's event parser and builds the tree itself, so that depth,
size and aliases are bounded while reading. Must not know what an experiment is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from benchctl.spec.problems import Place, Problems, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

MAX_BYTES = 128 * 1024
MAX_NODES = 20_000
MAX_DEPTH = 32
_LONGEST_NUMBER = 64  # characters; longer digits are a mistake, and slow to read
_NULL = {"", "~", "null", "Null", "NULL"}
_TRUE = {"true", "True", "TRUE"}
_FALSE = {"false", "False", "FALSE"}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_NUMBER = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_NO_TEXT = re.compile("[\0\ud800-\udfff]")  # what no file name, argument or UTF-8 can hold
_STRING_TAG = "tag:yaml.org,2002:str"


class Text(NamedTuple):
    """A scalar as it was written; `plain` ones may mean a number, a truth value or nothing."""

    text: str
    plain: bool
    place: Place


class Items(NamedTuple):
    items: tuple[Node, ...]
    place: Place


class Entries(NamedTuple):
    entries: tuple[tuple[Text, Node], ...]
    place: Place

    def get(self, key: str) -> Node | None:
        return next((node for name, node in self.entries if name.text == key), None)


Node = Text | Items | Entries


def value_of(node: Text) -> str | int | float | bool | None:
    """Return what YAML 1.2's core schema makes of a scalar."""
    text = node.text
    if not node.plain:
        return text
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if len(text) <= _LONGEST_NUMBER:
        if _INTEGER.fullmatch(text):
            return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
        if _NUMBER.fullmatch(text):
            return float(text.replace(".inf", "inf").replace(".nan", "nan") if "n" in text else text.lower())
    return text


def decode(data: bytes, source: str) -> str:
    """Return the text of a file's bytes. Raises SpecError when they are too many or not UTF-8."""
    start = Place(source, 1, 1)
    if len(data) > MAX_BYTES:
        raise refusal(
            start,
            "found more than 128 KiB",
            f"at most {MAX_BYTES} bytes",
            "keep data out of the experiment file",
        )
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise refusal(start, "found UTF-16", "UTF-8", "save the file as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        place = Place(source, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        raise refusal(
            place,
            f"found the byte 0x{data[error.start]:02x}, which is not UTF-8",
            "UTF-8",
            "save the file as UTF-8",
        ) from error


def compose(text: str, source: str, problems: Problems, *, place: Place | None = None) -> Node:
    """Return the one document of a text as nodes.

    `place` stands for every node when the text has no lines of its own (an option of the command).
    Duplicate and merge keys go to `problems`; what cannot be read at all raises SpecError.
    """
    return _Composer(source, problems, place).compose(text)


def compose_mapping(text: str, source: str, problems: Problems) -> Entries:
    """Return the top of a file, which must be a mapping. Raises SpecError for anything else."""
    root = compose(text, source, problems)
    if isinstance(root, Entries):
        return root
    found = "a list" if isinstance(root, Items) else "one value"
    raise refusal(
        root.place,
        f"found {found}",
        "a mapping of keys to values",
        "start with a line such as name: my-test",
    )


class _Open(NamedTuple):
    """A list or mapping whose end has not come yet."""

    mapping: bool
    anchor: str | None
    place: Place
    children: list[_Built]


class _Built(NamedTuple):
    node: Node
    size: int  # nodes, with aliases counted each time
    height: int


class _Composer:
    def __init__(self, source: str, problems: Problems, place: Place | None) -> None:
        self._source = source
        self._problems = problems
        self._place = place
        self._open: list[_Open] = [_Open(mapping=False, anchor=None, place=Place(source, 1, 1), children=[])]
        self._anchors: dict[str, _Built] = {}
        self._nodes = 0

    def compose(self, text: str) -> Node:
        handlers: dict[str, Callable[[Any], None]] = {
            "DocumentStartEvent": self._document,
            "ScalarEvent": self._scalar,
            "AliasEvent": self._alias,
            "SequenceStartEvent": lambda event: self._start(event, mapping=False),
            "MappingStartEvent": lambda event: self._start(event, mapping=True),
            "SequenceEndEvent": self._end,
            "MappingEndEvent": self._end,
        }
        for event in _events(text, self._mark):
            handler = handlers.get(type(event).__name__)
            if handler is not None:
                handler(event)
        top = self._open[0].children
        if not top:
            raise refusal(self._at(1, 1), "found an empty file", "a mapping of keys to values")
        return top[0].node

    def _at(self, line: int, column: int) -> Place:
        return self._place or Place(self._source, line, column)

    def _mark(self, mark: Any) -> Place:  # noqa: ANN401  ruamel's marks share no public type
        return self._at(mark.line + 1, mark.column + 1) if mark is not None else self._at(1, 1)

    def _document(self, event: Any) -> None:  # noqa: ANN401  ruamel's events carry no types
        place = self._mark(event.start_mark)
        if self._open[0].children:
            raise refusal(
                place, "found a second document", "one document", "remove the line '---' and what follows"
            )
        if event.version not in {None, (1, 2)}:
            raise refusal(place, "found another version of YAML", "YAML 1.2", "remove the %YAML line")

    def _scalar(self, event: Any) -> None:  # noqa: ANN401
        place = self._mark(event.start_mark)
        tag = None if event.ctag is None else str(event.ctag)
        if tag not in {None, "!", _STRING_TAG}:
            self._problems.add(place, "", f"found the tag {tag}", "values without tags", "remove the tag")
        if _NO_TEXT.search(event.value):
            raise refusal(
                place,
                "found NUL or half of a surrogate pair",
                "characters",
                "remove the escape \\0, \\x00 or \\ud800 to \\udfff",
            )
        text = Text(event.value, bool(event.implicit[0]) and tag is None, place)
        self._add(_Built(text, 1, 1), event.anchor, place)

    def _alias(self, event: Any) -> None:  # noqa: ANN401
        place = self._mark(event.start_mark)
        target = self._anchors.get(event.anchor)
        if target is None:
            raise refusal(
                place,
                f"found the alias *{event.anchor} before the end of its anchor",
                "an alias after its anchor",
            )
        self._add(target, None, place)

    def _start(self, event: Any, *, mapping: bool) -> None:  # noqa: ANN401
        place = self._mark(event.start_mark)
        if event.ctag is not None and str(event.ctag) != "!":
            self._problems.add(
                place, "", f"found the tag {event.ctag}", "values without tags", "remove the tag"
            )
        if len(self._open) > MAX_DEPTH:
            raise refusal(place, f"found more than {MAX_DEPTH} levels of nesting", "a flatter file")
        self._open.append(_Open(mapping, event.anchor, place, []))

    def _end(self, _event: Any) -> None:  # noqa: ANN401
        done = self._open.pop()
        parts = done.children
        node: Node
        if done.mapping:
            node = Entries(tuple(self._entries(parts)), done.place)
        else:
            node = Items(tuple(part.node for part in parts), done.place)
        size = 1 + sum(part.size for part in parts)
        height = 1 + max((part.height for part in parts), default=0)
        self._nodes -= size - 1  # its children were counted when they came
        self._add(_Built(node, size, height), done.anchor, done.place)

    def _add(self, built: _Built, anchor: str | None, place: Place) -> None:
        self._nodes += built.size
        if self._nodes > MAX_NODES:
            raise refusal(place, f"found more than {MAX_NODES} values, counting aliases", "a smaller file")
        if len(self._open) + built.height > MAX_DEPTH + 1:
            raise refusal(place, f"found more than {MAX_DEPTH} levels of nesting", "a flatter file")
        if anchor is not None:
            self._anchors[anchor] = built
        self._open[-1].children.append(built)

    def _entries(self, parts: list[_Built]) -> Iterator[tuple[Text, Node]]:
        seen: dict[str, Place] = {}
        for key, value in zip(parts[::2], parts[1::2], strict=True):
            name = key.node
            if not isinstance(name, Text):
                self._problems.add(name.place, "", "found a list or a mapping as a key", "a text as key")
            elif name.plain and name.text == "<<":
                self._problems.add(
                    name.place,
                    "<<",
                    "found a merge key",
                    "",
                    "write the keys out; YAML 1.2 has no merge keys",
                )
            elif name.text in seen:
                self._problems.add(
                    name.place,
                    name.text,
                    f"found the key twice, first at {seen[name.text]}",
                    "",
                    "remove one of the two",
                )
            else:
                seen[name.text] = name.place
                child = value.node
                if isinstance(child, Text) and child.plain and not child.text:
                    child = child._replace(
                        place=name.place
                    )  # nothing stands there: ruamel marks what follows
                yield name, child


def _events(text: str, mark: Callable[[Any], Place]) -> Iterator[Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as error:
        place = mark(error.problem_mark or error.context_mark)
        found, remedy = _explain(" ".join(filter(None, (error.context, error.problem))))
        raise refusal(place, found, "", remedy) from error
    except YAMLError as error:
        raise refusal(
            mark(None),
            f"not YAML: {str(error).splitlines()[0]}",
            "",
            "remove control characters from the file",
        ) from error
    except (ValueError, OverflowError) as error:  # ruamel hands the number of an escape to chr() as it is
        raise refusal(
            mark(None), "not YAML: found an escape that is no character", "", "look for \\U and \\x"
        ) from error


def _explain(problem: str) -> tuple[str, str]:
    if "'\\t'" in problem:
        return "not YAML: found a tab", "YAML is indented with spaces; replace each tab"
    if "mapping values are not allowed" in problem:
        return f"not YAML: {problem}", "put a value that contains ': ' in quotes, and look at the indentation"
    return f"not YAML: {problem}", "look at the brackets, quotes and indentation at this place and before it"
