"""What installs packages and takes them away: cut off at every line, lied to, on hosts that are in use."""

from __future__ import annotations

import copy
import importlib.util
import itertools
import json
import os
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from benchctl.spec.share import shared

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType, ModuleType

SCRIPT = shared("roles") / "bench_common" / "files" / "packages.py"
RECORD_SCRIPT = SCRIPT.with_name("packages_record.py")
LONG_AGO = 1_000_000_000.0
THERE = ("dpkg", "systemd", "openssh-server", "theirs")
CATALOGUE = {  # package -> what comes with it
    "server": ["common", "server"],
    "client": ["common", "client"],
    "extra": ["extra"],
}
UNITS = {
    "systemd": ["systemd-journald.service", "systemd-logind.service"],
    "openssh-server": ["ssh.service"],
    "theirs": ["theirs.service"],
    "server": ["server.service", "server@main.service"],
    "common": ["common.timer"],
}
FILES = {
    name: [f"/lib/systemd/system/{unit.replace('@main', '@')}" for unit in units]
    for name, units in UNITS.items()
}
ACCOUNT = {"common": "server-user"}
QUESTION = {"verb": "install", "owner": "postgresql", "packages": ["server"]}
REMOVE = {"verb": "remove", "owner": "postgresql"}


class KilledError(BaseException):
    """As by kill -9: no `except` of the script sees it, and it has no `finally`."""


class Host:
    """Stands for a host with its package manager; what is installed may be cut off half-way."""

    own = "dpkg"

    def __init__(self, script: ModuleType, root: Path) -> None:
        self.script = script
        self.root = root
        self.packages = dict.fromkeys(THERE, ("1", "installed", LONG_AGO))
        self.accounts = {"root": 0, "ada": 1000, "sshd": 105}
        self.enabled = {"ssh.service", "theirs.service"}
        self.active = {unit for name in THERE for unit in UNITS.get(name, ())}
        self.commands: list[tuple[str, ...]] = []
        self.failures = 0
        self.needed_by: list[str] = []

    def state(self) -> dict[str, Any]:
        files = {
            str(path.relative_to(self.root)): path.read_text() if path.is_file() else ""
            for path in sorted(self.root.rglob("*"))
        }
        held = (self.states(), self.accounts, self.enabled, self.active)
        return {"held": copy.deepcopy(held), "files": files}

    # The package manager
    def states(self) -> dict[str, tuple[str, str]]:
        return {name: (version, status) for name, (version, status, _) in self.packages.items()}

    def versions(self) -> dict[str, str]:
        return {name: version for name, (version, status) in self.states().items() if status == "installed"}

    def residue(self) -> list[str]:
        return [name for name, (_, status) in self.states().items() if status == "config-files"]

    def refresh(self, *, strictly: bool = False) -> None:
        self.commands.append(("refresh",))

    def adds(self, names: list[str]) -> list[str]:
        coming = {part for name in names for part in CATALOGUE[name]}
        return sorted(coming - set(self.versions()))

    def install(self, names: list[str]) -> None:
        for name in self.adds(names):
            self.packages[name] = ("1", "half-configured", time.time())
            self.finish(name)
            if self.failures:
                self.failures -= 1
                raise self.script.PackagesError("could not fetch the rest")

    def finish(self, name: str) -> None:
        if name in ACCOUNT:
            self.accounts[ACCOUNT[name]] = 110
        self.enabled |= set(UNITS.get(name, ()))
        if self.script.current_policy() is not None or not self.script.POLICY.exists():
            self.active |= set(UNITS.get(name, ()))
        self.packages[name] = (*self.packages[name][:1], "installed", self.packages[name][2])

    def wait(self) -> None:
        self.commands.append(("wait",))

    def is_broken(self) -> bool:
        return any(status == "half-configured" for _, status in self.states().values())

    def mend(self) -> None:
        for name, (_, status) in self.states().items():
            if status == "half-configured":
                self.finish(name)

    def remove(self, names: list[str], residue: list[str]) -> None:
        if self.needed_by:
            raise self.script.PackagesError(f"{self.needed_by} need these packages")
        for name in names:
            self.packages[name] = (*self.packages[name][:1], "config-files", self.packages[name][2])
            self.enabled -= set(UNITS.get(name, ()))
            self.active -= set(UNITS.get(name, ()))
            if name not in residue:
                del self.packages[name]

    def vital(self, names: list[str]) -> set[str]:
        return set()

    def arrived(self, name: str) -> float:
        return self.packages[name][2]

    def files(self, names: list[str]) -> list[str]:
        return [path for name in names for path in FILES.get(name, ())]

    # The rest of the host
    def run(self, *argv: str, fails: bool = False) -> str:
        self.commands.append(argv)
        match argv:
            case ("systemctl", "stop", *names):
                self.active -= set(names)
            case ("systemctl", "disable", *names):
                self.enabled -= set(names)
            case ("userdel", name):
                del self.accounts[name]
            case ("systemctl", "daemon-reload"):
                pass
            case _:
                pytest.fail(f"unexpected: {argv}")
        return ""

    def touched_units(self) -> set[str]:
        return {unit for argv in self.commands if argv[0] == "systemctl" for unit in argv[2:]}


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPT.parent)
    spec = importlib.util.spec_from_file_location("packages_of_a_role", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    root = tmp_path / "host"
    monkeypatch.setattr(module.packages_record.os, "fsync", lambda _: None)
    for name, path in {
        "POLICY": root / "sbin" / "policy-rc.d",
        "BACKUPS": root / "ucf",
        "SYSTEMD": root / "sbin",
        "LOCK": tmp_path / "lock",
    }.items():
        monkeypatch.setattr(module, name, path)
    monkeypatch.setattr(module.packages_record, "RECORD", root / "var" / "benchctl" / "packages.json")
    lay_out(root)
    return module


def lay_out(root: Path) -> None:
    for folder in ("var", "sbin", "ucf", "etc"):
        (root / folder).mkdir(parents=True)


@pytest.fixture
def host(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(script, tmp_path / "host")
    monkeypatch.setattr(script, "manager", lambda: made)
    monkeypatch.setattr(script, "run", made.run)
    monkeypatch.setattr(script, "units", lambda state: sorted(getattr(made, state)))
    monkeypatch.setattr(
        script, "accounts", lambda kind: dict(made.accounts) if kind == "users" else {"root": 0}
    )
    return made


def question(host: Host) -> dict[str, Any]:
    return {**QUESTION, "files": {str(host.root / "etc" / "server" / "quiet.conf"): "start = no\n"}}


def test_what_is_installed_goes_again_and_nothing_else(script: ModuleType, host: Host) -> None:
    before = host.state()
    told = script.act(question(host))
    assert told == {"changed": True, "installed": ["server"], "versions": {"server": "1"}}
    assert {"server", "common"} <= set(host.versions())
    assert host.active == before["held"][3]
    assert host.enabled == before["held"][2]
    assert host.touched_units() == {"server.service", "server@main.service", "common.timer"}
    assert not script.POLICY.exists()
    assert script.act(question(host))["changed"] is False
    assert script.act(REMOVE)["removed"] == ["common", "server"]
    assert host.state() == before
    assert script.act(REMOVE) == {"changed": False, "removed": []}


def test_packages_that_were_there_before_stay_and_leave_no_record(script: ModuleType, host: Host) -> None:
    before = host.state()
    assert script.act({**QUESTION, "packages": ["theirs"]})["changed"] is False
    assert script.act(REMOVE)["changed"] is False
    assert host.state() == before


def test_a_package_that_was_there_before_is_not_taken_for_ours(script: ModuleType, host: Host) -> None:
    host.packages["common"] = ("1", "installed", LONG_AGO)
    host.enabled |= {"common.timer"}
    host.active |= {"common.timer"}
    before = host.state()
    script.act(QUESTION)
    assert "common.timer" in host.active & host.enabled
    assert script.act(REMOVE)["removed"] == ["server"]
    assert host.state() == before


def test_configuration_of_a_package_that_was_removed_before_stays(script: ModuleType, host: Host) -> None:
    host.packages["server"] = ("1", "config-files", LONG_AGO)
    script.act(QUESTION)
    script.act(REMOVE)
    assert host.states()["server"][1] == "config-files"
    assert script.act(REMOVE)["changed"] is False


def test_packages_go_with_the_last_role(script: ModuleType, host: Host) -> None:
    before = host.state()
    script.act(QUESTION)
    script.act({**QUESTION, "owner": "pgbench", "packages": ["client"]})
    assert script.act(REMOVE) == {"changed": True, "removed": [], "kept_for": ["pgbench"]}
    assert "server" in host.versions()
    assert script.act({**REMOVE, "owner": "pgbench"})["removed"] == ["client", "common", "server"]
    assert host.state() == before


def test_what_others_did_since_is_theirs(script: ModuleType, host: Host) -> None:
    script.act(question(host))
    before = copy.deepcopy(host.accounts)
    quiet = host.root / "etc" / "server" / "quiet.conf"
    quiet.write_text("start = yes\n")
    host.accounts["bob"] = 1001
    host.install(["extra"])
    assert script.act(REMOVE)["kept"] == [str(quiet)]
    assert quiet.read_text() == "start = yes\n"
    assert "extra" in host.versions()
    assert host.accounts == {name: number for name, number in before.items() if number != 110} | {"bob": 1001}


def test_a_removal_that_would_take_more_is_refused_and_can_be_tried_again(
    script: ModuleType, host: Host
) -> None:
    before = host.state()
    script.act(QUESTION)
    after = host.state()
    host.needed_by = ["theirs"]
    with pytest.raises(script.PackagesError, match="theirs"):
        script.act(REMOVE)
    assert host.state() == after
    host.needed_by = []
    script.act(REMOVE)
    assert host.state() == before


@pytest.mark.parametrize("failures", [1, 2])
def test_a_failed_installation_is_tried_again_and_leaves_services_off(
    failures: int, script: ModuleType, host: Host
) -> None:
    before = host.state()
    host.failures = failures
    if failures == 1:
        script.act(QUESTION)
    else:
        with pytest.raises(script.PackagesError, match="could not fetch"):
            script.act(QUESTION)
    assert not script.POLICY.exists()
    assert host.enabled == before["held"][2]
    script.act(REMOVE)
    assert host.state() == before


# Cut off at every line of the script, and between the steps of the package manager.


def act_until(script: ModuleType, asked: dict[str, Any], line: int) -> bool:
    """Do it up to the line that is reached as the line-th new one; False when it came to its end before."""
    seen: set[tuple[str, int]] = set()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        code = frame.f_code
        own = code.co_filename in {str(SCRIPT), str(RECORD_SCRIPT)}
        fake = code.co_filename == __file__ and code.co_name in {"install", "finish", "remove", "mend", "run"}
        if not own and not fake:
            return None
        if event == "line":
            seen.add((code.co_name, frame.f_lineno))
            if len(seen) >= line:
                raise KilledError
        return trace

    former = sys.gettrace()
    sys.settrace(trace)
    try:
        script.act(asked)
    except KilledError:
        return False
    finally:
        sys.settrace(former)
    return True


def renew(host: Host, policy: str | None) -> dict[str, Any]:
    shutil.rmtree(host.root)
    lay_out(host.root)
    if policy is not None:
        host.script.POLICY.write_text(policy)
        host.script.POLICY.chmod(0o755)
    Host.__init__(host, host.script, host.root)
    host.packages["client"] = ("1", "config-files", LONG_AGO)
    return host.state()


@pytest.mark.parametrize(("policy", "again"), [(None, False), ("#!/bin/sh\nexit 104\n", True)])
def test_an_installation_cut_off_anywhere_is_finished_or_undone(
    script: ModuleType, host: Host, policy: str | None, *, again: bool
) -> None:
    asked = {**question(host), "packages": ["server", "client"]}
    for line in itertools.count(1):
        before = renew(host, policy)
        through = act_until(script, asked, line)
        if again:
            script.act(asked)
            assert {"server", "client", "common"} <= set(host.versions()), line
            assert host.active == before["held"][3], line
            assert host.enabled == before["held"][2], line
            assert (script.POLICY.read_text() if script.POLICY.exists() else None) == policy, line
            assert script.act(asked)["changed"] is False, line
        script.act(REMOVE)
        assert host.state() == before, line
        assert not host.touched_units() & {unit for name in THERE for unit in UNITS.get(name, ())}, line
        if through:
            break
    assert line > 100


def test_a_removal_cut_off_anywhere_is_finished(script: ModuleType, host: Host) -> None:
    asked = {**question(host), "packages": ["server", "client"]}
    for line in itertools.count(1):
        before = renew(host, None)
        script.act(asked)
        through = act_until(script, REMOVE, line)
        script.act(REMOVE)
        assert host.state() == before, line
        if through:
            break
    assert line > 50


def test_a_repair_cut_off_anywhere_is_repaired(script: ModuleType, host: Host) -> None:
    """Cut off in the package manager, and again at every line of what puts that right."""
    for line in itertools.count(1):
        before = renew(host, None)
        monkey = host.finish
        host.finish = killed  # type: ignore[assignment, method-assign]
        with pytest.raises(KilledError):
            script.act(QUESTION)
        host.finish = monkey  # type: ignore[method-assign]
        through = act_until(script, REMOVE, line)
        script.act(REMOVE)
        assert host.state() == before, line
        if through:
            break
    assert line > 50


def killed(_: str) -> NoReturn:
    raise KilledError


# Records that this script did not write, or that lie.


def cut_off(script: ModuleType, host: Host) -> dict[str, Any]:
    """A record as an installation leaves it that was cut off after the package manager was done."""
    host.wait = lambda: killed("")  # type: ignore[method-assign]
    with pytest.raises(KilledError):
        script.act(question(host))
    del host.wait
    host.commands.clear()
    found: dict[str, Any] = json.loads(script.packages_record.RECORD.read_text())
    assert found["pending"]["planned"] == ["common", "server"]
    return found


def put(*keys: str, value: Any) -> Callable[[dict[str, Any]], object]:
    def change(record: dict[str, Any]) -> None:
        for key in keys[:-1]:
            record = record[key]
        record[keys[-1]] = value

    return change


def drop(*keys: str) -> Callable[[dict[str, Any]], object]:
    def change(record: dict[str, Any]) -> None:
        for key in keys[:-1]:
            record = record[key]
        del record[keys[-1]]

    return change


MISSHAPEN = {
    "no list of services": drop("pending", "active"),
    "services are nothing": put("pending", "active", value=None),
    "services are a text": put("pending", "enabled", value="ssh.service"),
    "a service is an option": put("pending", "active", value=["--all"]),
    "a service is a number": put("pending", "active", value=[1]),
    "no versions": drop("pending", "versions"),
    "versions are a list": put("pending", "versions", value=["dpkg"]),
    "a version is a number": put("pending", "versions", value={"dpkg": 1}),
    "nothing was there before": put("pending", "versions", value={}),
    "no plan": drop("pending", "planned"),
    "the plan is nothing": put("pending", "planned", value=None),
    "the plan has an option": put("pending", "planned", value=["-o", "server"]),
    "the plan has a command": put("pending", "planned", value=["server; reboot"]),
    "pending is a list": put("pending", value=[]),
    "pending is true": put("pending", value=True),
    "pending is empty": put("pending", value={}),
    "pending has more": put("pending", "more", value=[]),
    "no time": put("pending", "began", value=None),
    "a time that is true": put("pending", "began", value=True),
    "no such time": put("pending", "began", value=float("inf")),
    "began long ago": put("pending", "began", value=1.0),
    "a policy that is a path": put("pending", "policy", value="/etc/passwd"),
    "a policy without a mode": put("pending", "policy", value={"content": ""}),
    "an option for a package": put("packages", value=["--purge"]),
    "packages are a text": put("packages", value="server"),
    "a user who is an option": put("users", value=["--force"]),
    "a user with a command": put("users", value=["ada; reboot"]),
    "a folder further up": put("folders", value=["/etc/../usr"]),
    "a folder from here": put("folders", value=["usr"]),
    "files without content": put("files", value=["/etc/passwd"]),
    "a file of no content": put("files", value={"/etc/passwd": ""}),
    "claims are a list": put("claims", value=["postgresql"]),
    "a claim of nothing": put("claims", value={"postgresql": None}),
    "backups are a number": put("backups", value=3),
    "something more": put("more", value=1),
    "something less": drop("groups"),
    "the host's own package is new": put("pending", "planned", value=["openssh-server", "server"]),
    "the host's own package was ours": put("packages", value=["openssh-server"]),
}
VITAL = {"the host's own package is new", "the host's own package was ours"}


@pytest.mark.parametrize("asked", [QUESTION, REMOVE], ids=["install", "remove"])
@pytest.mark.parametrize("case", MISSHAPEN)
def test_a_record_that_no_installation_writes_is_refused(
    case: str, asked: dict[str, Any], script: ModuleType, host: Host
) -> None:
    record = cut_off(script, host)
    if case in VITAL:
        record["pending"]["versions"].pop("openssh-server")
        record["pending"]["active"] = []
        if case.endswith("ours"):
            record["pending"] = None
    MISSHAPEN[case](record)
    record["digest"] = script.packages_record.digest(record)
    if case.endswith("ours") and asked is QUESTION:
        return  # an installation does not look at what is installed already
    refused(script, host, asked, json.dumps(record), "the host stands on" if case in VITAL else "")


def refused(script: ModuleType, host: Host, asked: dict[str, Any], text: str, reason: str = "") -> None:
    script.packages_record.RECORD.write_text(text)
    before = host.state()
    with pytest.raises(script.PackagesError) as caught:
        script.act(asked)
    assert str(script.packages_record.RECORD) in str(caught.value)
    assert "Nothing was changed" in str(caught.value)
    assert reason in str(caught.value)
    assert host.state() == before
    assert host.touched_units() == set()


@pytest.mark.parametrize("asked", [QUESTION, REMOVE], ids=["install", "remove"])
@pytest.mark.parametrize("text", ["", "{", "null", "[]", "3", '"x"', "[" * 100_000, "{}", '{"pending": {}}'])
def test_a_record_that_is_none_is_refused(
    text: str, asked: dict[str, Any], script: ModuleType, host: Host
) -> None:
    cut_off(script, host)
    refused(script, host, asked, text)


@pytest.mark.parametrize("key", ["active", "enabled", "users"])
def test_a_record_changed_by_hand_is_refused(key: str, script: ModuleType, host: Host) -> None:
    record = cut_off(script, host)
    record["pending"][key] = []
    refused(script, host, REMOVE, json.dumps(record), "changed by hand")


def test_a_record_that_others_can_write_is_refused(script: ModuleType, host: Host) -> None:
    record = json.dumps(cut_off(script, host))
    script.packages_record.RECORD.chmod(0o666)
    refused(script, host, REMOVE, record, "others than root")


@pytest.mark.parametrize("case", ["all new", "one new", "long ago"])
def test_a_lying_record_never_costs_what_was_there_before(case: str, script: ModuleType, host: Host) -> None:
    """With a digest that is right: only the host itself can tell."""
    record = cut_off(script, host)
    pending = record["pending"]
    pending["active"] = pending["enabled"] = []
    if case == "all new":
        pending["versions"] = {"dpkg": "1"}
        pending["planned"] = [*THERE, "server"]
    else:
        del pending["versions"]["theirs"]
        pending["planned"] = ["theirs"]
    if case == "long ago":
        pending["began"] = LONG_AGO - 1
    record["digest"] = script.packages_record.digest(record)
    refused(script, host, REMOVE, json.dumps(record))


def test_without_lists_of_services_only_services_of_its_own_packages_are_stopped(
    script: ModuleType, host: Host
) -> None:
    record = cut_off(script, host)
    record["pending"]["active"] = record["pending"]["enabled"] = []
    record["digest"] = script.packages_record.digest(record)
    script.packages_record.RECORD.write_text(json.dumps(record))
    host.active |= {"server.service", "server@main.service"}
    script.act(QUESTION)
    assert host.touched_units() == {"server.service", "server@main.service", "common.timer"}
    assert host.active >= {unit for name in THERE for unit in UNITS.get(name, ())}


def test_an_older_package_in_the_list_of_what_was_installed_is_refused(
    script: ModuleType, host: Host
) -> None:
    script.act(QUESTION)
    host.commands.clear()
    record = json.loads(script.packages_record.RECORD.read_text())
    record["packages"].append("theirs")
    record["digest"] = script.packages_record.digest(record)
    refused(script, host, REMOVE, json.dumps(record), "theirs")


def test_a_person_s_account_is_never_removed(script: ModuleType, host: Host) -> None:
    script.act(QUESTION)
    record = json.loads(script.packages_record.RECORD.read_text())
    record["users"] += ["ada", "root"]
    record["digest"] = script.packages_record.digest(record)
    script.packages_record.RECORD.write_text(json.dumps(record))
    script.act(REMOVE)
    assert {"ada", "root"} <= set(host.accounts)


def test_the_record_belongs_to_who_runs_it(
    script: ModuleType, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = json.dumps(cut_off(script, host))
    owner = os.geteuid()
    monkeypatch.setattr(script.packages_record.os, "geteuid", lambda: owner + 1)
    refused(script, host, REMOVE, record, "others than root")
