"""The templates in stages, rendered for one host and one trial.

Owns the values behind the names of a template. Must not split words: each is rendered by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchctl.errors import TaskError
from benchctl.model.experiment import Measure
from benchctl.spec.levels import measured
from benchctl.spec.templates import environment
from benchctl.spec.words import is_template

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchctl.model.experiment import Experiment
    from benchctl.model.host import Host, Inventory
    from benchctl.model.plan import PlannedTrial

LONGEST = 64 * 1024  # characters of a rendered word; a request to a host has no more room


class Names:
    """What the names of a template mean in one run."""

    def __init__(self, experiment: Experiment, inventory: Inventory) -> None:
        """Take an experiment with stages, and all groups with their hosts."""
        window = measured(experiment).measure or Measure()
        self._members = inventory.groups
        self._shared = {
            "groups": {
                name: [{"name": one.name, "address": one.address} for one in hosts]
                for name, hosts in inventory.groups.items()
            },
            "warmup": _plain(window.warmup),
            "duration": _plain(window.duration),
        }

    def at(
        self,
        group: str,
        host: Host,
        *,
        levels: Mapping[str, str],
        trial: PlannedTrial | None,
        work: str,
        files: str,
        roles: Mapping[str, str],
    ) -> dict[str, Any]:
        """Return the names for one host.

        Args:
            group: the group of the stage, which the host's index counts in.
            host: where the task runs.
            levels: factor -> label of the treatment.
            trial: None for what runs less often than each trial.
            work: the run's folder on the host.
            files: the folder with the stage's files on the host.
            roles: role -> the folder with its programs on the host.
        """
        index = [one.name for one in self._members[group]].index(host.name)
        fields = ("ordinal", "seed", "block")
        return {
            **self._shared,
            "host": {"name": host.name, "address": host.address, "index": index},
            "levels": dict(levels),
            "trial": {} if trial is None else {name: getattr(trial, name) for name in fields},
            "roles": {name: {"bin": folder} for name, folder in roles.items()},
            "work": work,
            "files": files,
        }


def render(text: str, names: Mapping[str, Any], where: str) -> str:
    """Return one rendered word. Raises TaskError naming `where`, when it cannot be rendered or be a word."""
    if not is_template(text):
        return text
    from jinja2 import TemplateError

    try:
        rendered = environment().from_string(text).render(names)
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise TaskError(f"{where}: {text}: {error}", remedy="correct the template") from error
    if "\x00" in rendered or len(rendered) > LONGEST:
        found = "the character NUL" if "\x00" in rendered else f"{len(rendered)} characters"
        raise TaskError(f"{where}: {text}: gives {found}", remedy=f"at most {LONGEST} characters without NUL")
    return rendered


def render_words(words: Sequence[str], names: Mapping[str, Any], where: str) -> list[str]:
    """Return each word rendered; raises as `render` does."""
    return [render(word, names, where) for word in words]


def _plain(seconds: float) -> float | int:
    """Return whole seconds as a whole number: most programs take no 5.0."""
    return int(seconds) if seconds.is_integer() else seconds
