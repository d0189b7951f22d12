"""Whole runs that are interrupted, cut off, refused or given hostile words: nothing lost, nothing left."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.whole import PATIENCE, Site, Whole, ended, said, traces
from tests.lab.host import await_true

if TYPE_CHECKING:
    from tests.faults.whole import Site
    from tests.lab.lab import Lab

pytestmark = pytest.mark.slow
CUTS = int(os.environ.get("BENCHCTL_TEST_CUTS", "8"))


def test_two_runs_never_share_a_host(lab: Lab, site: Site, whole: Whole, tmp_path: Path) -> None:
    whole.prepare(lab, site.groups)
    server, left, right = site.hosts
    process = whole.start("run", "whole.yml")
    whole.await_load(left)
    first = whole.only_run.name
    (tmp_path / "other").mkdir()
    other = Whole(tmp_path / "other", whole.runtime)
    (other.workspace / "whole.yml").write_text((whole.workspace / "whole.yml").read_text())
    for shell in (whole, other):
        error = shell.run("run", "whole.yml", code=3).stderr
        assert first in error
        assert f"pid {process.pid}" in error
        assert "server: " in error
    assert [traces(host) != "" for host in (server, left, right)] == [True] * 3
    whole.go()
    code, output = ended(process)
    assert code == 0, output
    assert said(left, "ended") == ["1", "2"]
    whole.clean()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_controller_that_ends_in_mid_trial(lab: Lab, site: Site, whole: Whole, number: int) -> None:
    whole.prepare(lab, site.groups)
    _, left, right = site.hosts
    process = whole.start("run", "whole.yml")
    whole.await_load(left)
    whole.go(1)
    await_true(lambda: whole.completed()[1], "the first trial")
    whole.await_load(left, 2)
    process.send_signal(number)
    code, output = ended(process)
    if number == signal.SIGINT:
        assert code == 130, output
        whole.clean()
    else:
        assert "whole-run-load" in traces(left)
        assert "sleep 3600" in traces(site.hosts[0])
    (kept,) = whole.only_run.glob("trials/*/trial.json")
    before = kept.read_bytes()
    process = whole.start("resume", "latest")
    whole.await_load(left, 3)  # only now: the load that was left would come to its end too
    whole.go()
    code, output = ended(process)
    assert code == 0, output
    whole.check_finished()
    assert kept.read_bytes() == before
    assert said(left, "ended") == said(right, "ended") == ["1", "2"]


def test_cuts_at_random_instants_lose_no_trial_and_repeat_none(lab: Lab, site: Site, whole: Whole) -> None:
    """Two trials for each cut; the last one waits until all cuts were made, however long that takes."""
    count = CUTS
    whole.prepare(lab, site.groups, together=True)
    process = whole.start("run", "whole.yml", f"--set=design.blocks={2 * count}")
    whole.await_load(site.hosts[1])
    instants, cuts = random.Random(5), 0
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.extend(process.stdout or ()))
    reader.start()
    while cuts < CUTS and process.poll() is None:
        whole.go(2 * cuts)
        whole.go(2 * cuts + 1)
        time.sleep(instants.uniform(0, 1))
        host = instants.choice(site.hosts)
        host.cut_ssh()
        cuts += 1
    whole.go()
    code = process.wait(PATIENCE + 4 * count)
    reader.join()
    output = "".join(heard)
    assert code == 0, output
    assert cuts == CUTS
    reconnects = output.count("is there again")
    assert reconnects > count / 2, f"{reconnects} reconnects after {cuts} cuts"  # some fall between two
    for trial in whole.check_finished(2 * count):
        assert trial["attempt"] == 1


def check_refused(whole: Whole, text: str, code: int, *words: str) -> None:
    """A run that is refused is named, and leaves nothing: on no host, nor in the workspace."""
    (whole.workspace / "whole.yml").write_text(text, encoding="utf-8")
    error = whole.run("run", "whole.yml", code=code).stderr
    for word in words:
        assert word in error, error
    assert list(whole.workspace.glob("runs/*")) == []
    assert not any(host.shell("ls /root/began /pwned 2>/dev/null || true") for host in whole.hosts)
    whole.clean()


def altered(path: Path, **variables: object) -> Path:
    """The inventory with other variables of the host `left`."""
    inventory = json.loads(path.read_text())
    hosts = inventory["all"]["children"]["loader"]["hosts"]
    hosts["left"] = {**hosts["left"], **variables}
    changed = path.with_name(f"altered-{path.name}")
    changed.write_text(json.dumps(inventory))
    return changed


@pytest.mark.parametrize(
    ("variables", "word"),
    [
        ({"ansible_port": 9}, "left: "),
        ({"ansible_ssh_private_key_file": "/dev/null"}, "left: "),
        ({"ansible_python_interpreter": "/usr/bin/python4"}, "left: "),
    ],
)
def test_a_host_that_is_not_fit_changes_nothing_anywhere(
    lab: Lab, site: Site, whole: Whole, variables: dict[str, object], word: str
) -> None:
    whole.prepare(lab, site.groups)
    path = altered(lab.inventory(site.groups), **variables)
    check_refused(whole, inventory_named(whole, path), 3, word, "To do: ")


def inventory_named(whole: Whole, path: Path) -> str:
    lines = (whole.workspace / "whole.yml").read_text().splitlines(keepends=True)
    hosts = "hosts: {provider: inventory, path: %s, groups: {server: {count: 1}, loader: {count: 2}}}\n"
    return "".join(hosts % json.dumps(str(path)) if line.startswith("hosts: ") else line for line in lines)


HOSTILE = ["; touch /pwned", "$(touch /pwned)", "-oProxyCommand=touch /pwned", "a\nb", "ünï¢ode…", " "]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_address_is_refused(lab: Lab, site: Site, whole: Whole, text: str) -> None:
    whole.prepare(lab, site.groups)
    path = altered(lab.inventory(site.groups), ansible_host=text)
    (whole.workspace / "whole.yml").write_text(inventory_named(whole, path), encoding="utf-8")
    done = whole.run("run", "whole.yml", code=2)
    assert "left" in done.stderr
    assert list(whole.workspace.glob("runs/*")) == []
    assert not Path("/pwned").exists()


def test_hostile_words_and_paths_stay_what_they_are(lab: Lab, site: Site, whole: Whole) -> None:
    whole.prepare(lab, site.groups, go=True)
    hostile = [*HOSTILE, "--help", "'\"`", "%n%s", "\\"]
    text = (whole.workspace / "whole.yml").read_text()
    text = text.replace("sleep $2; sleep 0.3;", 'shift; shift; for word; do printf "<%s>" "$word" >&2; done;')
    text = text.replace(
        '- "{{ duration }}"', "\n".join(['- "0"', *(f"          - {json.dumps(word)}" for word in hostile)])
    )
    text = text.replace("printf '{\"ops\": %d}' $1", "printf '{\"ops\": 1}'").replace(
        "echo $1 >>", "echo 1 >>"
    )
    name = "; touch pwned\n–ü.txt"
    (whole.workspace / name).write_text("content")
    text = text.replace("group: loader\n", f"group: loader\n    files: [{json.dumps(name)}]\n", 1)
    (whole.workspace / "whole.yml").write_text(text, encoding="utf-8")
    whole.run("run", "whole.yml")
    for host in site.hosts[1:]:
        for path in whole.only_run.glob(f"trials/*/raw/{host.name}/stderr"):
            assert path.read_text() == "".join(f"<{word}>" for word in hostile)
    assert not any(host.shell("ls /pwned 2>/dev/null || true") for host in whole.hosts)
    whole.clean()
