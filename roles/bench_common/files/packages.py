# ruff: noqa: INP001 - a script that is passed to `python -c`, no part of a package
"""Install a distribution's packages so that they can be taken away again, and take them away.

The argument is a JSON object: verb (install | remove | plan), owner (the role), and for install packages,
files (path -> content, written before the packages when absent: what tells them to start nothing) and
repository ({first: packages, files: path -> content} or null). Prints one JSON object; an error goes to
stderr. Runs on Python 3.9 with apt or dnf.

The record (packages_record.py) is written before anything is done, so what was cut off at any point is
brought to an end by the next call. It is believed only as far as it fits the host: nothing that was there
before is ever stopped, disabled or removed, and no package that the host itself stands on. The packages go
with the last role that wanted some.
"""

from __future__ import annotations

import fcntl
import grp
import hashlib
import json
import pwd
import shutil
import subprocess
import sys
import time
from pathlib import Path

import packages_record
from packages_record import (
    PackagesError,
    beside,
    is_shaped,
    read_record,
    refuse,
    replace,
    write_record,
)

POLICY = Path("/usr/sbin/policy-rc.d")
BACKUPS = Path("/var/lib/ucf")  # Debian's registry of configuration files leaves backups of itself here
LOCK = Path("/run/benchctl-packages.lock")
SYSTEMD = Path("/run/systemd/system")
DPKG = Path("/var/lib/dpkg")
SECONDS = 1800
WAIT = 120  # seconds for a package manager that is at work
ENV = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
    "NEEDRESTART_SUSPEND": "1",  # Ubuntu restarts services of others after an installation
    "UCF_FORCE_CONFFOLD": "1",
}
APT = ("apt-get", "-y", "-q", "-o", f"DPkg::Lock::Timeout={WAIT}", "-o", "APT::Get::AutomaticRemove=0")
DNF = ("dnf", "-y", "-q", "--setopt=clean_requirements_on_remove=False")
DENY = "#!/bin/sh\n# benchctl installs packages; what stood here comes back after\nexit 101\n"
KINDS = (".service", ".socket", ".timer", ".path")
VITAL = {
    *("apt", "bash", "coreutils", "dbus", "dbus-broker", "dnf", "dpkg", "glibc", "init", "kernel", "libc6"),
    *("login", "openssh-server", "passwd", "python3", "python3-minimal", "rpm", "shadow-utils", "sudo"),
    *("systemd", "systemd-sysv", "udev"),
}
SYSTEM_IDS = range(1, 1000)  # users and groups that packages make


def run(*argv: str, fails: bool = False) -> str:
    done = subprocess.run(
        argv, env=ENV, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    if done.returncode and not fails:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-15:]
        raise PackagesError("{} failed:\n{}".format(" ".join(argv), "\n".join(said)))
    return done.stdout if not done.returncode else ""


class Apt:
    """Debian and what comes from it."""

    own = "dpkg"

    def states(self) -> dict:
        """Name -> (version, status) of all that left a trace."""
        form = "${Package}\t${Version}\t${db:Status-Status}\n"
        rows = [line.split("\t") for line in run("dpkg-query", "-W", "-f", form).splitlines()]
        return {name: (version, status) for name, version, status in rows if status != "not-installed"}

    def versions(self) -> dict:
        return {name: version for name, (version, status) in self.states().items() if status == "installed"}

    def residue(self) -> list:
        """Removed packages whose configuration is still there."""
        return [name for name, (_, status) in self.states().items() if status == "config-files"]

    def refresh(self, *, strictly: bool = False) -> None:
        """Strictly: a repository that cannot be reached is an error, and not just passed over."""
        run(*APT, *(("-o", "APT::Update::Error-Mode=any") if strictly else ()), "update")

    def adds(self, names: list) -> list:
        """What an installation would add or upgrade; an error when it would remove something."""
        argv = (*APT, "install", "--no-install-recommends", *names, "-s")
        told = run(*argv, fails=True)
        if not told:
            self.refresh()
            told = run(*argv)
        removed = [line.split()[1] for line in told.splitlines() if line.startswith("Remv ")]
        if removed:
            raise PackagesError(f"to install {names}, apt would remove {removed}; nothing was changed")
        return [line.split()[1] for line in told.splitlines() if line.startswith("Inst ")]

    def install(self, names: list) -> None:
        run(*APT, "install", "--no-install-recommends", "--no-remove", *names)

    def remove(self, names: list, residue: list) -> None:
        """Residue: those whose configuration was there before and stays."""
        told = run(*APT, "purge", *names, "-s").splitlines()
        gone = {line.split()[1] for line in told if line.startswith(("Purg ", "Remv "))}
        strangers = sorted(gone - set(names))
        if strangers:
            raise PackagesError(
                f"{strangers}, which no role of benchctl installed, need these packages; nothing was changed"
            )
        if residue:
            run(*APT, "remove", *residue)
        run(*APT, "purge", *(name for name in names if name not in residue))

    def wait(self) -> None:
        """For one that is at work; it may have outlived who called it."""
        deadline = time.monotonic() + WAIT
        for name in ("lock-frontend", "lock"):
            with (DPKG / name).open("a") as lock:
                while not locked(lock):
                    if time.monotonic() > deadline:
                        raise PackagesError(f"another program holds {DPKG / name} for {WAIT} s; try again")
                    time.sleep(0.2)

    def is_broken(self) -> bool:
        return bool(run("dpkg", "--audit")) or any((DPKG / "updates").iterdir())

    def mend(self) -> None:
        """Bring to an end what was cut off."""
        run("dpkg", "--configure", "-a", fails=True)  # what lacks a dependency is for apt
        run(*APT, "--fix-broken", "--no-remove", "--no-install-recommends", "install")

    def vital(self, names: list) -> set:
        form = "${Package}\t${Essential}\t${Protected}\n"
        rows = [line.split("\t") for line in run("dpkg-query", "-W", "-f", form, *names).splitlines()]
        return {row[0] for row in rows if "yes" in row[1:]}

    def arrived(self, name: str) -> float:
        lists = [*(DPKG / "info").glob(f"{name}.list"), *(DPKG / "info").glob(f"{name}:*.list")]
        return max((path.stat().st_mtime for path in lists), default=time.time())  # none: cut off in it

    def files(self, names: list) -> list:
        return run("dpkg", "-L", *names, fails=True).splitlines()


class Dnf:
    """Red Hat and what comes from it."""

    own = "rpm"

    def versions(self) -> dict:
        lines = run("rpm", "-qa", "--qf", "%{NAME}\t%{EVR}\n").splitlines()
        return dict(line.split("\t", 1) for line in lines)

    def states(self) -> dict:
        return {name: (version, "installed") for name, version in self.versions().items()}

    def residue(self) -> list:
        return []

    def refresh(self, *, strictly: bool = False) -> None:
        run(*DNF, *(() if strictly else ("--setopt=skip_if_unavailable=True",)), "makecache")

    def adds(self, names: list) -> list:
        """All that they need, also what is there already."""
        query = ("repoquery", "--qf", "%{name}\n", "--requires", "--resolve", "--recursive")
        return sorted({*names, *run(*DNF, *query, *names).split()})

    def install(self, names: list) -> None:
        run(*DNF, "--setopt=install_weak_deps=False", "install", *names)

    def remove(self, names: list, _: list) -> None:
        run("rpm", "--erase", *names)  # refuses when something else needs one of them

    def wait(self) -> None:
        """Nothing: rpm's transactions wait for each other."""

    def is_broken(self) -> bool:
        return False

    def mend(self) -> None:
        """Nothing: what is cut off was not entered in rpm's database."""

    def vital(self, names: list) -> set:
        return VITAL & set(names)

    def arrived(self, name: str) -> float:
        return float(max(run("rpm", "-q", "--qf", "%{INSTALLTIME}\n", name).split(), default=0))

    def files(self, names: list) -> list:
        return run("rpm", "-ql", *names, fails=True).splitlines()


def manager() -> object:
    for program, kind in (("apt-get", Apt), ("dnf", Dnf)):
        if shutil.which(program, path=ENV["PATH"]):
            return kind()
    raise PackagesError("this host has neither apt-get nor dnf; take the source wheel or prefix")


def locked(file: object) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def units(state: str) -> list:
    """Units that start by themselves (enabled) or run (active); none without systemd."""
    if not SYSTEMD.is_dir():
        return []
    verb = ("list-unit-files", "--state=enabled") if state == "enabled" else ("list-units", "--state=active")
    told = run("systemctl", *verb, "--no-legend", "--plain", fails=True)
    names = [line.split()[0] for line in told.splitlines() if line.strip()]
    return [name for name in names if is_shaped(name, "unit")]


def accounts(kind: str) -> dict:
    if kind == "users":
        found = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    else:
        found = {entry.gr_name: entry.gr_gid for entry in grp.getgrall()}
    return {name: number for name, number in found.items() if is_shaped(name, "account")}


def backups() -> list:
    return sorted(str(path) for path in BACKUPS.glob("*.[0-9]") if path.is_file())


def snapshot(packages: object) -> dict:
    return {
        "versions": packages.versions(),
        "residue": packages.residue(),
        "users": sorted(accounts("users")),
        "groups": sorted(accounts("groups")),
        "enabled": units("enabled"),
        "active": units("active"),
    }


def file_clock() -> float:
    """Now, as the file system tells time."""
    packages_record.RECORD.parent.mkdir(mode=0o755, exist_ok=True)
    probe = beside(packages_record.RECORD)
    probe.write_text("", encoding="utf-8")
    return probe.stat().st_mtime


def current_policy() -> dict | None:
    """What decides whether packages start services; None when nothing does, or what a cut install left."""
    if not POLICY.exists():
        return None
    text = POLICY.read_text(encoding="utf-8", errors="surrogateescape")
    return None if text == DENY else {"content": text, "mode": POLICY.stat().st_mode & 0o7777}


def restore_policy(policy: dict | None) -> None:
    beside(POLICY).unlink(missing_ok=True)
    if not POLICY.exists() or POLICY.read_text(encoding="utf-8", errors="surrogateescape") != DENY:
        return  # it is back already, or somebody made another since
    if policy is None:
        POLICY.unlink()
    else:
        replace(POLICY, policy["content"], policy["mode"])


def begin(record: dict, packages: object) -> None:
    """From here on no package starts a service, and what comes is ours."""
    record["pending"] = {
        **snapshot(packages),
        "planned": [],
        "began": file_clock(),
        "policy": current_policy(),
    }
    if record["backups"] is None:
        record["backups"] = backups()
    if record["since"] is None:
        record["since"] = record["pending"]["began"]
    write_record(record)
    replace(POLICY, DENY, 0o755)


def settle(record: dict, packages: object) -> None:
    """Bring to an end what began: take into the record what came, keep its services off."""
    pending = record["pending"]
    if pending is None:
        return
    if packages.own not in pending["versions"]:
        refuse(f"says that {packages.own} was not there before")
    packages.wait()
    judge(ours(pending, packages.states()), pending["began"], packages)
    replace(POLICY, DENY, 0o755)
    if packages.is_broken():
        packages.mend()
    new = ours(pending, packages.states())
    judge(new, pending["began"], packages)
    keep_off(new, pending, packages)
    record["packages"] = sorted({*record["packages"], *new})
    record["residue"] = sorted({*record["residue"], *(set(new) & set(pending["residue"]))})
    for kind in ("users", "groups"):
        came = {name for name, number in accounts(kind).items() if number in SYSTEM_IDS} - set(pending[kind])
        record[kind] = sorted({*record[kind], *came})
    there = packages.versions()
    changed = {
        name: version
        for name, version in pending["versions"].items()
        if name not in record["packages"] and there.get(name, version) != version
    }
    record["upgraded"] = {**changed, **record["upgraded"]}
    restore_policy(pending["policy"])
    record["pending"] = None
    write_record(record)


def ours(pending: dict, there: dict) -> list:
    """What the package manager said it would add, was not there before, and is there now."""
    return sorted(
        name
        for name in set(pending["planned"]) - set(pending["versions"])
        if name in there and there[name][1] != "config-files"
    )


def judge(names: list, began: float, packages: object) -> None:
    """Refuse a record that takes what was there before for new."""
    vital = sorted((VITAL & set(names)) | (packages.vital(names) if names else set()))
    if vital:
        refuse(f"counts {vital} among the packages that a role installed; the host stands on them")
    older = [name for name in names if packages.arrived(name) < int(began)]
    if older:
        refuse(f"says that {older} came with an installation which began after they were there")


def keep_off(names: list, pending: dict, packages: object) -> None:
    """Stop and disable units that these packages brought, and no other."""
    brought = brought_units(packages.files(names)) if names else set()
    for state, verb in (("active", "stop"), ("enabled", "disable")):
        found = [
            unit
            for unit in units(state)
            if unit not in pending[state] and (unit in brought or template(unit) in brought)
        ]
        if found:
            run("systemctl", verb, *found)


def brought_units(files: list) -> set:
    paths = [Path(line) for line in files]
    native = {path.name for path in paths if path.parent.name == "system" and path.suffix in KINDS}
    return native | {f"{path.name}.service" for path in paths if str(path.parent) == "/etc/init.d"}


def template(unit: str) -> str:
    name, at, rest = unit.partition("@")
    return f"{name}@{Path(rest).suffix}" if at else ""


def write_absent(files: dict, record: dict) -> None:
    for name, content in files.items():
        path = Path(name)
        if path.exists():
            continue
        made = [str(folder) for folder in reversed(path.parents) if not folder.exists()]
        record["files"][name] = hashlib.sha256(content.encode()).hexdigest()
        record["folders"] += [folder for folder in made if folder not in record["folders"]]
        write_record(record)
        for folder in made:
            Path(folder).mkdir()
        replace(path, content, 0o644)


def missing(wanted: list, packages: object) -> list:
    there = packages.versions()
    return [name for name in wanted if name not in there]


def install(question: dict) -> dict:
    packages = manager()
    record = read_record()
    settle(record, packages)
    wanted = question["packages"]
    lacking = missing(wanted, packages)
    claim = sorted(wanted)
    is_ours = bool(set(wanted) & set(record["packages"]))  # what was there before needs nobody's claim
    if not lacking and (record["claims"].get(question["owner"]) == claim or not is_ours):
        return {"changed": False, "installed": [], "versions": chosen(wanted, packages)}
    record["claims"][question["owner"]] = claim
    if lacking:
        begin(record, packages)
        try:
            fetch(question, lacking, record, packages)
        except (PackagesError, OSError, subprocess.SubprocessError):
            settle(record, packages)
            raise
        settle(record, packages)
    else:
        write_record(record)
    return {"changed": True, "installed": lacking, "versions": chosen(wanted, packages)}


def fetch(question: dict, lacking: list, record: dict, packages: object) -> None:
    repository = question.get("repository")
    write_absent(question.get("files") or {}, record)
    if repository:
        add(repository["first"], record, packages)
        write_absent(repository["files"], record)
        packages.refresh(strictly=True)
    add(lacking, record, packages)


def add(names: list, record: dict, packages: object) -> None:
    for final in (False, True):
        coming = packages.adds(names)
        record["pending"]["planned"] = sorted({*record["pending"]["planned"], *coming})
        write_record(record)
        try:
            packages.install(names)
        except PackagesError:
            if final:
                raise
            packages.refresh()  # lists that are out of date name files that are gone
        else:
            return


def chosen(wanted: list, packages: object) -> dict:
    there = packages.versions()
    return {name: there.get(name, "") for name in wanted}


def remove(question: dict) -> dict:
    packages = manager()
    if not packages_record.RECORD.exists():
        return {"changed": forget(), "removed": []}
    record = read_record()
    settle(record, packages)
    claimed = record["claims"].pop(question["owner"], None)
    if record["claims"]:
        write_record(record)
        return {"changed": claimed is not None, "removed": [], "kept_for": sorted(record["claims"])}
    packages.wait()
    if packages.is_broken():  # a removal that was cut off
        begin(record, packages)
        settle(record, packages)
    there = packages.states()
    done = [name for name in record["residue"] if there.get(name, ("", ""))[1] == "config-files"]
    names = [name for name in record["packages"] if name in there and name not in done]
    judge([name for name in names if there[name][1] != "config-files"], record["since"] or 0, packages)
    if names:
        packages.remove(names, [name for name in record["residue"] if name in names])
    kept = clean(record)
    return {"changed": True, "removed": names, "upgraded": record["upgraded"], "kept": kept}


def clean(record: dict) -> list:
    """Remove what the packages' own scripts leave, and the record as the last of it.

    Gives the files that stay, because somebody changed them since.
    """
    for kind, verb in (("users", "userdel"), ("groups", "groupdel")):
        for name in record[kind]:
            if accounts(kind).get(name) in SYSTEM_IDS:
                run(verb, name)
    kept = [name for name, content in record["files"].items() if not removed(Path(name), content)]
    for name in backups() if record["backups"] is not None else ():
        if name not in record["backups"]:
            Path(name).unlink()
    for folder in map(Path, reversed(record["folders"])):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    if SYSTEMD.is_dir():
        run("systemctl", "daemon-reload")
    forget()
    return kept


def forget() -> bool:
    """Remove the record; False when there was nothing of it."""
    there = packages_record.RECORD.parent.is_dir()
    for path in (beside(packages_record.RECORD), packages_record.RECORD):
        path.unlink(missing_ok=True)
    if there and not any(packages_record.RECORD.parent.iterdir()):
        packages_record.RECORD.parent.rmdir()
    return there


def removed(path: Path, content: str) -> bool:
    beside(path).unlink(missing_ok=True)
    if path.is_file():
        if hashlib.sha256(path.read_bytes()).hexdigest() != content:
            return False
        path.unlink()
    return True


def plan(question: dict) -> dict:
    """Tell what install would do; changes nothing and needs no root."""
    lacking = missing(question["packages"], manager())
    return {"changed": bool(lacking), "installed": lacking, "versions": {}}


def act(question: dict) -> dict:
    """One at a time on a host: a call that was cut off may still be at work."""
    if question["verb"] == "plan":
        return plan(question)
    with LOCK.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return {"install": install, "remove": remove}[question["verb"]](question)


if __name__ == "__main__":
    try:
        json.dump(act(json.loads(sys.argv[1])), sys.stdout)
    except (PackagesError, OSError, subprocess.SubprocessError) as error:
        sys.exit(str(error))
