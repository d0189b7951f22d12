"""The templates in stages, looked at without rendering: which names they use, and which of those there are.

Owns what a template may contain. jinja2 is loaded by the first text that is a template, not before.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from benchctl.spec.problems import did_you_mean
from benchctl.spec.words import is_template

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jinja2 import nodes
    from jinja2.sandbox import SandboxedEnvironment

    from benchctl.model.experiment import Experiment, StageSpec

VARIABLES = ("groups", "host", "levels", "trial", "roles", "work", "files", "warmup", "duration")
_OF_A_ROLE = ("bin",)
_PARTS = {"host": ("name", "address", "index"), "trial": ("ordinal", "seed", "block")}
_OF_A_MEMBER = ("name", "address")
_WITH_PARTS = frozenset({"groups", "levels", "roles", *_PARTS})


class Known(NamedTuple):
    """What the templates of an experiment may name."""

    groups: Mapping[str, int]  # with the number of its hosts
    levels: tuple[str, ...]  # factors
    roles: tuple[str, ...] = ()  # that are installed where the template is rendered


class Flaw(NamedTuple):
    """What is wrong with a template, and what may stand there."""

    found: str
    allowed: str = ""


class Used(NamedTuple):
    """What a template depends on."""

    levels: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    trial: bool = False
    flaws: tuple[Flaw, ...] = ()


def known_names(experiment: Experiment) -> Known:
    """Return the groups and factors of an experiment."""
    groups = {name: group.count for name, group in experiment.hosts.groups.items()}
    return Known(groups, tuple(factor.name for factor in experiment.factors))


def texts(stage: StageSpec) -> Iterator[tuple[str, str]]:
    """Yield every text of a stage that is rendered, with its path below the stage."""
    for index, task in enumerate(stage.tasks):
        at = f"tasks.{index}"
        if not task.shell:
            yield from _words(f"{at}.run", task.run)
        yield from _words(f"{at}.stop", task.stop or ())
        for name, value in task.env.items():
            yield f"{at}.env.{name}", value
        if task.ready is not None:
            yield from _words(f"{at}.ready.command", task.ready.command or ())
            if task.ready.http is not None:
                yield f"{at}.ready.http", task.ready.http


def used_by(stage: StageSpec, known: Known) -> Used:
    """Return what the templates of a stage depend on, taken together."""
    found = [analyse(text, known) for _, text in texts(stage)]
    return Used(
        frozenset().union(*(used.levels for used in found)),
        frozenset().union(*(used.groups for used in found)),
        any(used.trial for used in found),
    )


def analyse(text: str, known: Known) -> Used:
    """Return what one template depends on and what is wrong with it; a text without templates: nothing."""
    if not is_template(text):
        return Used()
    from jinja2 import TemplateSyntaxError, meta
    from jinja2 import nodes as kinds

    try:
        tree = environment().parse(text)
        environment().compile(tree)  # unknown filters and tests show here
    except TemplateSyntaxError as error:
        return Used(flaws=(Flaw(f"not a template: {error.message}"),))
    if any(tree.find_all((kinds.Include, kinds.Import, kinds.FromImport, kinds.Extends, kinds.Macro))):
        return Used(flaws=(Flaw("found a template that includes, imports or defines a macro"),))
    flaws = [
        _undefined(name, VARIABLES) for name in sorted(meta.find_undeclared_variables(tree) - {*VARIABLES})
    ]
    flaws += _flaws(tree, known)
    levels = {key for name, key in _accesses(tree) if name == "levels" and key is not None}
    if any(name == "levels" and key is None for name, key in _accesses(tree)):
        levels |= {*known.levels}
    groups = {key for name, key in _accesses(tree) if name == "groups" and key is not None}
    trial = any(name == "trial" for name, _ in _accesses(tree))
    return Used(frozenset(levels), frozenset(groups), trial, tuple(flaws))


@cache
def environment() -> SandboxedEnvironment:
    """Return the environment that every template of every experiment is read and rendered in."""
    from jinja2 import StrictUndefined, pass_context
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Environment(ImmutableSandboxedEnvironment):
        """Names of an experiment come before methods: a group may be called `items`."""

        def getattr(self, obj: Any, attribute: str) -> Any:  # noqa: ANN401  jinja2's signature
            if isinstance(obj, dict):
                return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
            return super().getattr(obj, attribute)

    @pass_context  # with it, jinja2 computes nothing while it compiles
    def finalize(_context: object, value: object) -> object:
        if isinstance(value, str | int | float):
            return value
        raise TypeError(f"gives {type(value).__name__}, and not one value")

    made = Environment(
        undefined=StrictUndefined, finalize=finalize, optimized=False, keep_trailing_newline=True
    )
    made.globals.clear()
    return made


def _words(path: str, words: Iterable[str]) -> Iterator[tuple[str, str]]:
    for index, word in enumerate(words):
        yield f"{path}.{index}", word


def _flaws(tree: nodes.Template, known: Known) -> Iterator[Flaw]:
    """Name each part of groups, levels, host and trial that there is not."""
    parts: dict[str, Iterable[str]] = {
        **_PARTS,
        "groups": known.groups,
        "levels": known.levels,
        "roles": known.roles,
    }
    for name, key in _accesses(tree):
        if key is not None and key not in parts[name]:
            yield _undefined(f"{name}.{key}", [f"{name}.{part}" for part in parts[name]])
    for role, wanted in _of_roles(tree):
        if wanted not in _OF_A_ROLE:
            at = f"roles.{role}"
            yield _undefined(f"{at}.{wanted}", [f"{at}.{name}" for name in _OF_A_ROLE])
    for member in _members(tree):
        group, index, part = member
        count = known.groups.get(group)
        if count is not None and isinstance(index, int) and not -count <= index < count:
            yield Flaw(f"found groups.{group}[{index}]", f"an index below {count}, the number of its hosts")
        if part is not None and part not in _OF_A_MEMBER:
            at = f"groups.{group}[{index}]"
            yield _undefined(f"{at}.{part}", [f"{at}.{name}" for name in _OF_A_MEMBER])


def _undefined(name: str, known: Iterable[str]) -> Flaw:
    allowed = list(known)
    return Flaw(
        f"found the undefined name {name}", f"{', '.join(allowed) or 'none'}{did_you_mean(name, allowed)}"
    )


def _accesses(tree: nodes.Template) -> Iterator[tuple[str, str | None]]:
    """Yield (variable, part) for each use of a variable with parts; None where no one part is named."""
    from jinja2 import nodes as kinds

    named = set()
    for node in tree.find_all((kinds.Getattr, kinds.Getitem)):
        base, part = _access(node)
        if isinstance(base, kinds.Name) and base.name in _WITH_PARTS and part is not None:
            named.add(id(base))
            yield base.name, str(part)
    for name in tree.find_all(kinds.Name):
        if name.name in _WITH_PARTS and id(name) not in named:
            yield name.name, None


def _members(tree: nodes.Template) -> Iterator[tuple[str, Any, str | None]]:
    """Yield (group, index, part or None) for each groups.NAME[index] and what is taken from it."""
    from jinja2 import nodes as kinds

    for node in tree.find_all((kinds.Getattr, kinds.Getitem)):
        base, part = _access(node)
        group = _group(base)
        if group is not None and isinstance(part, int):
            yield group, part, None
        elif isinstance(base, kinds.Getitem) and isinstance(part, str):
            inner, index = _access(base)
            group = _group(inner)
            if group is not None and isinstance(index, int):
                yield group, index, part


def _of_roles(tree: nodes.Template) -> Iterator[tuple[str, str]]:
    """Yield (role, part) for each roles.NAME.part."""
    from jinja2 import nodes as kinds

    for node in tree.find_all((kinds.Getattr, kinds.Getitem)):
        base, part = _access(node)
        role = _part_of("roles", base)
        if role is not None and part is not None:
            yield role, str(part)


def _group(node: nodes.Node) -> str | None:
    return _part_of("groups", node)


def _part_of(variable: str, node: nodes.Node) -> str | None:
    """Return the part that a node takes of a variable; None when it is no such access."""
    from jinja2 import nodes as kinds

    if not isinstance(node, kinds.Getattr | kinds.Getitem):
        return None
    base, part = _access(node)
    return str(part) if isinstance(base, kinds.Name) and base.name == variable and part is not None else None


def _access(node: nodes.Expr) -> tuple[nodes.Expr, Any]:
    """Return what is accessed, and the part when it is a constant."""
    from jinja2 import nodes as kinds

    if isinstance(node, kinds.Getattr):
        return node.node, node.attr
    if isinstance(node, kinds.Getitem):
        return node.node, node.arg.value if isinstance(node.arg, kinds.Const) else None
    return node, None
