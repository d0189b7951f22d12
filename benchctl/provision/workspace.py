"""Pulumi's workspace of one run, with as few commands of the engine as it takes: each has its price.

Imports Pulumi, so it is imported when a stack is used. Must not know what becomes of the stack.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal, NamedTuple

from pulumi import automation
from ruamel.yaml import YAML

from benchctl.model.record import to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from benchctl.provision.command import EngineCommand


How = Literal["create", "select", "create or select"]


class Project(NamedTuple):
    """What the engine works with: the project's name, its program, where its files lie, its environment."""

    name: str
    program: Callable[[], None]
    folder: Path
    command: EngineCommand
    variables: Mapping[str, str]


class _Workspace(automation.LocalWorkspace):
    def stack_outputs(self, stack_name: str) -> automation.OutputMap:
        """Ask once: nobody here wants to know which of them are secret."""
        argv = ["stack", "output", "--json", "--show-secrets", "--stack", stack_name]
        said = self.pulumi_command.run(argv, self.work_dir, self.env_vars).stdout
        return {
            name: automation.OutputValue(value=value, secret=True) for name, value in json.loads(said).items()
        }


def open_stack(project: Project, name: str, how: How) -> automation.Stack:
    """Return the stack of that name: a new one, one that is there, or either."""
    folder = str(project.folder)
    workspace = _Workspace(
        work_dir=folder,
        program=project.program,
        project_settings=automation.ProjectSettings(project.name, "python", main=folder),
        pulumi_command=project.command.as_pulumi(),
        env_vars=project.variables,
    )
    ways: dict[How, Callable[[str, automation.Workspace], automation.Stack]] = {
        "create": automation.Stack.create,
        "select": automation.Stack.select,
        "create or select": automation.Stack.create_or_select,
    }
    return ways[how](name, workspace)


def configure(project: Project, stack: automation.Stack, key: str, text: str, *, secret: bool) -> None:
    """Set the stack's one key: in its file, or by the engine's stdin; who else is here sees command lines."""
    path = project.folder / f"Pulumi.{stack.name}.yaml"
    if secret or not path.exists():
        kind = "--secret" if secret else "--plaintext"
        argv = ["config", "set", f"{project.name}:{key}", kind, "--stack", stack.name]
        project.command.run(argv, project.folder, project.variables, text=text)
        return
    settings = YAML(typ="safe", pure=True).load(path) or {}
    part = path.with_suffix(".part")
    part.write_bytes(to_json({**settings, "config": {f"{project.name}:{key}": text}}))  # which is YAML too
    part.replace(path)  # never half: the salt of the state's secrets is in it
