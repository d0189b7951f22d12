"""`--set path=value`: the same as the edit in the file, with the option as its place.

Must not know which keys exist; the walker reads the result and reports what it finds.
"""

from __future__ import annotations

from benchctl.spec.nodes import Entries, Node, Text, compose
from benchctl.spec.problems import Place, Problems

_SHOWN = 80
_FREE = {"dbms": 3, "workload": 3}  # section, key, and all the rest is one key of a free-form mapping


def override(root: Entries, option: str, problems: Problems) -> Entries:
    """Return the file's tree with one `path=value` set. Raises SpecError when the value is no YAML."""
    shown = option if len(option) <= _SHOWN else option[: _SHOWN - 1] + "…"
    place = Place(f"--set {shown}")
    path, equals, text = option.partition("=")
    path = path.strip()
    if not equals or not all(path.split(".")):
        problems.add(place, "", "found no path or no '='", "path=value, such as design.blocks=3")
        return root
    value = compose(text if text.strip() else "null", place.source, problems, place=place)
    done = _set(root, _keys(path, root), value, place)
    if done is None:
        problems.add(
            place,
            path,
            "found a list or a single value on the way",
            "a path of keys",
            "set the list as a whole",
        )
        return root
    return done


def _keys(path: str, root: Entries) -> list[str]:
    section, _, rest = path.partition(".")
    if section == "factors" and rest:
        return ["factors", *_factor_keys(rest, root.get("factors"))]
    return path.split(".", _FREE[section] - 1) if section in _FREE else path.split(".")


def _factor_keys(rest: str, factors: Node | None) -> list[str]:
    """Split below `factors`: an existing factor, a label of it, then one path; else a new factor."""
    keys = []
    node = factors
    while isinstance(node, Entries):
        names = [key.text for key, _ in node.entries if rest == key.text or rest.startswith(f"{key.text}.")]
        if not names:
            break
        name = max(names, key=len)
        keys.append(name)
        rest = rest[len(name) + 1 :]
        node = node.get(name)
        if not rest:
            return keys
    return [*keys, rest]


def _set(node: Node, keys: list[str], value: Node, place: Place) -> Entries | None:
    if isinstance(node, Text) and not node.text:
        node = Entries((), place)  # `dbms:` with nothing after it
    if not isinstance(node, Entries):
        return None
    key, rest = keys[0], keys[1:]
    new: Node | None = value
    if rest:
        new = _set(node.get(key) or Entries((), place), rest, value, place)
        if new is None:
            return None
    kept = [(name, child) for name, child in node.entries]
    for index, (name, _) in enumerate(kept):
        if name.text == key:
            kept[index] = (name, new or value)
            break
    else:
        kept.append((Text(key, plain=False, place=place), new or value))
    return Entries(tuple(kept), node.place)
