"""The playbooks that tune, on a tree of files that stands for a machine: what they set, say and give back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.agent import build, detached
from benchctl.agent.forms import meaning
from tests.ansible.test_converge import local_inventory, words
from tests.machines import intel_active
from tests.needs import python39
from tests.unit.test_cli_main import run_main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.ansible.conftest import Outcome, Player

pytestmark = [pytest.mark.ansible, pytest.mark.slow]

SWAPPINESS = "proc/sys/vm/swappiness"
BACKLOG = "proc/sys/net/ipv4/tcp_max_syn_backlog"
REQUEST = "dev/cpu_dma_latency"  # what is written there is no setting
AREAS = 6

# Hosts that refuse before anything is written: what they are given, and what they say.
BAD_INPUT: tuple[tuple[dict[str, Any], tuple[str, ...]], ...] = (
    (
        {"bench_knobs": {"swapiness": 1, "swappiness": 201, "irqbalance": None}},
        (
            "did you mean 'swappiness'?",
            "swappiness: '201': allowed: 0 to 200",
            "conflicts with irqbalance left alone",  # which is a knob of another area
        ),
    ),
    ({"bench_knobs": {"thp": ["never"]}}, ("thp: ['never'] is no value of a knob",)),
    (
        {"tune_quiet_knobs": {"swappiness": 1}},
        ("swappiness is a knob of the area memory, not of quiet",),
    ),
)


class Bed:
    """The machine, its journal, and both ways to tune it."""

    def __init__(self, folder: Path, play: Player, cli: Callable[..., int]) -> None:
        self.root = folder / "machine"
        self.state = folder / "state"
        self.journal = self.state / "tuning.jsonl"
        self.cli = cli
        self._play = play
        self._agent = build.zipapp(folder)
        for path, text in intel_active().files.items():
            target = Path(f"{self.root}{path}")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)

    def play(self, playbook: str, *arguments: str, **more: Any) -> Outcome:
        given = ("-e", f"ansible_become=false bench_agent_zipapp={self._agent}")
        return self._play(playbook, *given, *arguments, **more)

    def settings(self) -> dict[str, object]:
        """What each file says; a plain one that is written keeps no brackets."""
        found = {str(path.relative_to(self.root)): path for path in self.root.rglob("*") if path.is_file()}
        texts = {name: path.read_bytes().decode(errors="replace") for name, path in found.items()}
        return {
            name: meaning("bracket", text) if "[" in text or name.endswith(("enabled", "scheduler")) else text
            for name, text in texts.items()
            if name != REQUEST
        }


@pytest.fixture
def bed(play: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bed]:
    for name, folder in (("BENCHCTL_ROOT", tmp_path / "machine"), ("BENCHCTL_STATE_DIR", tmp_path / "state")):
        monkeypatch.setenv(name, str(folder))
        play.environment[name] = str(folder)
    for name in ("BENCHCTL_CACHE", "BENCHCTL_LEASE_DIR"):
        monkeypatch.setenv(name, play.environment[name])
    made = Bed(tmp_path, play, lambda *words: run_main(monkeypatch, "hosts", *words))
    try:
        yield made
    finally:
        detached.stop(made.state, "hold")


def test_a_host_is_tuned_once_watched_and_given_back(bed: Bed, capsys: pytest.CaptureFixture[str]) -> None:
    before = bed.settings()
    checked = bed.play("tune", "--check", "--diff")
    assert (checked.code, checked.changed) == (0, AREAS), checked.text
    assert {"-swappiness: 60", "+swappiness: 1", "+governor: performance"} <= set(checked.text.splitlines())
    assert bed.settings() == before
    assert not bed.state.exists()

    first = bed.play("tune")
    assert (first.code, first.changed) == (0, AREAS + 2), first.text  # with the agent and its folder
    heads = [json.loads(line).get("batch") for line in bed.journal.read_text().splitlines()]
    assert [head["roles"] for head in heads if head] == [["dbms", "loader"]] * AREAS
    second = bed.play("tune")
    assert (second.code, second.changed) == (0, 0), second.text
    told = cli_json(bed, capsys, 0, "verify")
    assert told["places"] > told["drifts"] == 0
    assert told["profile"] == "repeatable"

    (bed.root / SWAPPINESS).write_text("33\n")
    drifted = bed.play("verify_tuning")
    assert drifted.code != 0
    assert "1 of " in words(drifted)
    assert "/proc/sys/vm/swappiness: set to 1, found 33" in words(drifted)
    assert cli_json(bed, capsys, 3, "verify")["drifts"] == 1
    partly = bed.play("restore", "--diff")
    assert partly.code != 0
    assert "was 60, somebody set it to 33" in words(partly)
    assert {**bed.settings(), SWAPPINESS: "60\n"} == before
    assert cli_json(bed, capsys, 0, "restore", "--force")["restored"] == 1
    assert bed.settings() == before

    # the other way round
    assert bed.cli("tune", "--profile", "peak") == 0
    assert bed.settings() != before
    undone = bed.play("restore")
    assert (undone.code, undone.changed) == (0, 1), undone.text
    assert bed.settings() == before
    assert not bed.journal.exists()


def test_what_cannot_be_is_refused_and_what_is_half_done_is_given_back(bed: Bed, tmp_path: Path) -> None:
    (bed.root / BACKLOG).unlink()
    (bed.root / BACKLOG).mkdir()  # the kernel refuses this one, after most others were set
    before = bed.settings()
    hosts: dict[str, dict[str, Any]] = {
        f"host{number}": variables for number, (variables, _) in enumerate(BAD_INPUT)
    }
    hosts["good"] = {
        "tune_memory_knobs": {"thp": "never", "swappiness": 0},
        "tune_cpu_profile": "none",
        "ansible_python_interpreter": python39(),
    }
    inventory = local_inventory(tmp_path, hosts)
    outcome = bed.play("tune", inventory=inventory)
    assert outcome.code != 0
    for _, messages in BAD_INPUT:
        assert all(message in words(outcome) for message in messages), messages
    assert "syn_backlog ( instead of 4096): EISDIR" in words(outcome)
    assert (bed.root / SWAPPINESS).read_text() == "0\n"
    assert (bed.root / "sys/kernel/mm/transparent_hugepage/enabled").read_text() == "never\n"
    assert bed.settings() != before

    one_area = one_role(tmp_path, "tune_memory", "snapshot", "verify", "restore")
    alone = bed.play(one_area, inventory=inventory)
    assert (alone.code, alone.changed) == (0, 1), alone.text
    assert (bed.root / SWAPPINESS).read_text() == "60\n"
    undone = bed.play("restore", "--limit", "good", inventory=inventory)
    assert (undone.code, undone.changed) == (0, 1), undone.text
    assert bed.settings() == before


def one_role(folder: Path, role: str, *entries: str) -> str:
    """A playbook of somebody's own, on one role alone."""
    tasks = [
        {"name": entry, "ansible.builtin.include_role": {"name": role, "tasks_from": entry}}
        for entry in entries
    ]
    path = folder / "own"
    Path(f"{path}.yml").write_text(json.dumps([{"hosts": "good", "gather_facts": False, "tasks": tasks}]))
    return str(path)


def cli_json(bed: Bed, capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> dict[str, Any]:
    """What `benchctl hosts` says of this machine."""
    capsys.readouterr()
    assert bed.cli(*arguments, "--json") == code
    (told,) = json.loads(capsys.readouterr().out)["hosts"].values()
    return dict(told)
