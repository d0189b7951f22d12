"""The pages of the roles: an index, and for each what it offers, changes on a host, and prints.

From meta/bench.yml, the argument specs, the role's variables and the recorded outputs of the tests; must not
hold facts about single roles.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from benchctl.agent.knobs import KNOBS
from benchctl.spec.roles import read_role
from benchctl.spec.share import roles_in
from docs.table import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchctl.model.role import Option, RoleMeta

_ROOT = Path(__file__).parents[1]
ROLES = _ROOT / "roles"
CASES = _ROOT / "tests" / "cases" / "loaders"
_LINES = 30
_KINDS = {
    "dbms": ("Systems under test", "Under `dbms:` in an experiment."),
    "loader": ("Load generators", "Under `workload:` in an experiment."),
    "tuning": ("Tuning", "For playbooks; an experiment says `tuning:` and names no role."),
}
_ONE = {"dbms": "System under test", "loader": "Load generator", "tuning": "Tuning"}
_FILES = {
    "dbms": "instances, their data, descriptors and stamps, below benchctl's cache (`bench_cache`)",
    "loader": "a descriptor and a stamp below benchctl's cache (`bench_cache`)",
}
_UNINSTALL = (
    "the entry point `uninstall`, `benchctl hosts uninstall` or `playbooks/uninstall.yml` removes them"
)


def pages(reference: Path, made: str) -> dict[Path, str]:
    """The index and a page for each shipped role; `made` is the line that says where pages come from."""
    metas = [read_role(name, (ROLES,)) for name in roles_in((ROLES,))]
    found = {reference / "roles.md": _index(metas, made)}
    for meta in metas:
        parts = [made, f"# `{meta.name}`", *_page(meta)]
        found[reference / "roles" / f"{meta.name}.md"] = "\n\n".join(parts) + "\n"
    return found


def _index(metas: list[RoleMeta], made: str) -> str:
    about = (
        "Each page says what an experiment may tell the role, what it measures, what it changes on a host and"
        " how that is undone, and the entry points and variables for playbooks of one's own."
        " `benchctl roles show NAME` says the same of any role, yours too."
    )
    scope = (
        "Scope tells what a changed value costs: `install` makes another instance (of a load generator a host"
        " holds one, for a whole run), `prepare` another data image, `start` a restart (which every trial has"
        " anyway), `run` nothing."
    )
    parts = [made, "# Roles", about, scope]
    for kind, (title, where) in _KINDS.items():
        rows = [
            (f"[`{meta.name}`](roles/{meta.name}.md)", meta.doc, ", ".join(f"`{one}`" for one in meta.drives))
            for meta in metas
            if meta.kind == kind
        ]
        titles = ("role", "what it is", "drives")
        shown = rows if kind == "loader" else [row[:2] for row in rows]
        parts += [f"## {title}", where, table(titles[: len(shown[0])], shown)]
    return "\n\n".join(parts) + "\n"


def _page(meta: RoleMeta) -> Iterator[str]:
    yield f"{_ONE[meta.kind]}. {meta.doc}"
    if meta.kind == "loader":
        drives = ", ".join(f"[`{one}`]({one}.md)" for one in meta.drives)
        yield f"Drives: {drives or 'any system, or none'}. {_hosts(meta)}"
    if meta.options:
        options = [(f"`{name}`", *_option_cells(option)) for name, option in meta.options.items()]
        yield "## In an experiment"
        yield table(("key", "type", "[scope](../roles.md)", "default", "meaning"), options)
    if meta.settings:
        yield f"`settings` takes any name; scope `{meta.settings}`."
    if meta.reserved:
        yield "Settings that the role gives itself:"
        yield table(("setting", "reason"), [(f"`{name}`", why) for name, why in meta.reserved.items()])
    yield from _versions(meta)
    if meta.metrics:
        metrics = [(f"`{m.name}`", m.unit, m.better, m.doc) for m in meta.metrics]
        yield "## Metrics"
        yield table(("metric", "unit", "better", "meaning"), metrics)
    yield from _changes(meta)
    if meta.kind == "loader":
        yield from _sample(meta.name)
    for name, spec in _specs(meta.name).items():
        yield from _entry(name, spec)


def _hosts(meta: RoleMeta) -> str:
    return "Runs on one host or on many at once." if meta.nodes == "many" else "Runs on one host."


@cache
def _yaml(path: Path) -> Any:  # noqa: ANN401 - any YAML
    return YAML(typ="safe").load(path)


def _specs(role: str) -> dict[str, Any]:
    found: dict[str, Any] = _yaml(ROLES / role / "meta" / "argument_specs.yml")["argument_specs"]
    return found


def _versions(meta: RoleMeta) -> Iterator[str]:
    """What its packages are on each distribution, and the versions that another source has."""
    path = ROLES / meta.name / "vars" / "main.yml"
    values = _yaml(path).values() if path.is_file() else ()
    rows = [
        (name.replace("-", " "), str(found["version"]), ", ".join(f"`{one}`" for one in found["packages"]))
        for value in values
        if isinstance(value, dict)
        for name, found in value.get("distributions", {}).items()
    ]
    if rows:
        yield "## Versions of the packages"
        yield table(("distribution", "version", "packages"), rows)


def _changes(meta: RoleMeta) -> Iterator[str]:
    rows = list(meta.changes.items())
    if meta.kind in _FILES:
        rows.insert(0, (_FILES[meta.kind], _UNINSTALL))
    source = _specs(meta.name)["main"]["options"].get(f"{meta.name}_source", {})
    if "package" in source.get("choices", ()):
        rows.append(
            (
                "with source package: the distribution's packages, where they are not there yet",
                "`uninstall` removes those that benchctl installed, and only those",
            )
        )
    if meta.area:
        names = ", ".join(f"`{knob.name}`" for knob in KNOBS.values() if knob.area == meta.area and knob.acts)
        rows.append(
            (f"[knobs](../knobs.md): {names}", "the entry point `restore` gives their earlier values back")
        )
    if rows:
        yield "## What it changes on the host"
        yield table(("change", "how it is undone"), rows)


def _sample(role: str) -> Iterator[str]:
    """What it prints, from the last of the recorded cases that are understood."""
    cases = [path.parent for path in sorted((CASES / role).glob("*/expected.json"))]
    if not cases:
        return
    chosen = cases[-1]
    lines = (chosen / "stdout").read_text(encoding="utf-8", errors="backslashreplace").splitlines()
    shown = [line[:200] for line in lines[:_LINES]] + ["…"] * (len(lines) > _LINES)
    yield "## What it prints"
    yield f"Recorded: `tests/cases/loaders/{role}/{chosen.name}`."
    yield "```text\n{}\n```".format("\n".join(shown))


def _option_cells(option: Option) -> tuple[str, str, str, str]:
    kind = " or ".join(f"`{choice}`" for choice in option.choices) or option.type
    default = "" if option.default is None else f"`{option.default}`"
    if option.example is not None:
        default = f"such as `{option.example}`"
    default += "".join(
        f"; `{other_default}` with {other} {value}"
        for other, values in option.default_with.items()
        for value, other_default in values.items()
    )
    known = [
        f"{other} {value} has {', '.join(versions)}"
        for other, values in option.known.items()
        for value, versions in values.items()
    ]
    return (kind, option.scope, default, " ".join([option.doc, *([f"{'; '.join(known)}."] if known else [])]))


def _entry(name: str, spec: Mapping[str, Any]) -> Iterator[str]:
    yield f"## Entry point `{name}`"
    yield f"{spec['short_description']}."
    rows = [
        (
            f"`{option}`",
            str(of.get("type", "str")),
            "required" if of.get("required") else f"`{of['default']}`" if "default" in of else "",
            _sentence(of.get("description", "")),
        )
        for option, of in spec.get("options", {}).items()
    ]
    if rows:
        yield table(("variable", "type", "default", "meaning"), rows)


def _sentence(description: str | list[str]) -> str:
    return " ".join(description) if isinstance(description, list) else description
