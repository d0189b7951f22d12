"""The tuning of each host group: which profile holds for it, and that profile's knobs with their values.

Owns how a group's own words go over those of all hosts. Knobs and shipped profiles are the agent's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchctl.model.experiment import LocalHosts
from benchctl.model.tuning import NONE, SHIPPED, GroupPlan
from benchctl.spec.nodes import decode
from benchctl.spec.profile import read_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchctl.model.experiment import Experiment
    from benchctl.model.tuning import Tuning
    from benchctl.spec.problems import Place, Problems


class TuningReader:
    """Reads the profiles that a checked experiment names; all that is wrong goes to the problems."""

    def __init__(self, experiment: Experiment, places: Mapping[str, Place], problems: Problems) -> None:
        """Take the experiment with its groups, and where its values stand."""
        self._experiment = experiment
        self._places = places
        self._problems = problems
        self._read: dict[str, dict[str, str]] = {}  # by profile

    def read(self) -> dict[str, GroupPlan]:
        """Return the groups that are tuned, each with its knobs. Raises SpecError for what is no YAML."""
        everywhere, groups = self._experiment.tuning, self._experiment.hosts.groups
        wanted = {name: group.tuning.over(everywhere) for name, group in groups.items()}
        self._check_one_machine(wanted)
        return {name: self._plan(tuning) for name, tuning in wanted.items() if tuning.profile != NONE}

    def _plan(self, tuning: Tuning) -> GroupPlan:
        name = tuning.profile if tuning.profile in SHIPPED else Path(tuning.profile).name
        return GroupPlan(
            profile=name, values=self._values(tuning.profile), reboot=tuning.reboot, shared=tuning.shared
        )

    def _values(self, profile: str) -> dict[str, str]:
        from benchctl.agent.profiles import PROFILES, problems  # late: most experiments tune nothing

        if profile in PROFILES:
            return dict(PROFILES[profile])
        if profile not in self._read:
            shown = _shown(profile)
            text = decode(Path(profile).read_bytes(), shown)
            self._read[profile] = read_values(text, shown, PROFILES, problems, self._problems)
        return self._read[profile]

    def _check_one_machine(self, wanted: Mapping[str, Tuning]) -> None:
        """Every group of provider local lies on this machine, which has one setting of each knob."""
        if not isinstance(self._experiment.hosts, LocalHosts):
            return
        first = next(iter(wanted), "")
        for name, tuning in wanted.items():
            if tuning != wanted[first]:
                path = f"hosts.groups.{name}.tuning"
                place = self._places.get(path) or self._places.get(f"hosts.groups.{first}.tuning")
                self._problems.add(
                    place or self._places[""], path, f"found another tuning than that of {first}",
                    "the same: provider local is one machine", "say it once, at the top level",
                )  # fmt: skip


def _shown(path: str) -> str:
    """Return a path as people write it: from the current folder where it lies below that."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path
