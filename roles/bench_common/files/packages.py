# ruff: noqa: INP001 - a script that is passed to `python -c`, no part of a package
"""Install a distribution's packages so that they can be taken away again, and take them away.

The argument is a JSON object: verb (install | remove | plan), owner (the role), and for install packages,
files (path -> content, written before the packages when absent: what tells them to start nothing) and
repository ({first: packages, files: path -> content} or null). Root's record of what was there before is
RECORD; it is written before anything is done, so that an install that was cut off can be undone as well.
The packages go when the last role that wanted some is gone. Prints one JSON object; an error goes to
stderr. Runs on Python 3.9 with apt or dnf.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

RECORD = Path("/var/lib/benchctl/packages.json")
POLICY = Path("/usr/sbin/policy-rc.d")
BACKUPS = Path("/var/lib/ucf")  # Debian's registry of configuration files leaves backups of itself here
SECONDS = 1800
ENV = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
    "UCF_FORCE_CONFFOLD": "1",
}
APT = ("apt-get", "-y", "-q", "-o", "DPkg::Lock::Timeout=120", "-o", "APT::Get::AutomaticRemove=0")
DNF = ("dnf", "-y", "-q", "--setopt=clean_requirements_on_remove=False")


class PackagesError(Exception):
    """What a person has to read."""


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

    def versions(self) -> dict:
        form = "${Package}\t${Version}\t${db:Status-Status}\n"
        rows = [line.split("\t") for line in run("dpkg-query", "-W", "-f", form).splitlines()]
        return {name: version for name, version, status in rows if status == "installed"}

    def refresh(self, *, strictly: bool = False) -> None:
        """Strictly: a repository that cannot be reached is an error, and not just passed over."""
        run(*APT, *(("-o", "APT::Update::Error-Mode=any") if strictly else ()), "update")

    def install(self, names: list) -> None:
        argv = (*APT, "install", "--no-install-recommends", *names)
        if not self._simulated(*argv):
            self.refresh()
        removed = [line.split()[1] for line in run(*argv, "-s").splitlines() if line.startswith("Remv ")]
        if removed:
            raise PackagesError(f"to install {names}, apt would remove {removed}; nothing was changed")
        if not run(*argv, fails=True):  # lists that are out of date name files that are gone
            self.refresh()
            run(*argv)

    def remove(self, names: list) -> None:
        argv = (*APT, "purge", *names)
        told = [
            line.split()[1] for line in run(*argv, "-s").splitlines() if line.startswith(("Purg ", "Remv "))
        ]
        strangers = sorted(set(told) - set(names))
        if strangers:
            raise PackagesError(
                f"{strangers}, which no role of benchctl installed, need these packages; nothing was changed"
            )
        run(*argv)

    def _simulated(self, *argv: str) -> bool:
        return bool(run(*argv, "-s", fails=True))


class Dnf:
    """Red Hat and what comes from it."""

    def versions(self) -> dict:
        lines = run("rpm", "-qa", "--qf", "%{NAME}\t%{EVR}\n").splitlines()
        return dict(line.split("\t", 1) for line in lines)

    def refresh(self, *, strictly: bool = False) -> None:
        run(*DNF, *(() if strictly else ("--setopt=skip_if_unavailable=True",)), "makecache")

    def install(self, names: list) -> None:
        run(*DNF, "--setopt=install_weak_deps=False", "install", *names)

    def remove(self, names: list) -> None:
        run("rpm", "--erase", *names)  # refuses when something else needs one of them


def manager() -> object:
    for program, kind in (("apt-get", Apt), ("dnf", Dnf)):
        if shutil.which(program, path=ENV["PATH"]):
            return kind()
    raise PackagesError("this host has neither apt-get nor dnf; take the source wheel or prefix")


def units(state: str) -> list:
    """Units that start by themselves (enabled) or run (active); none without systemd."""
    if not Path("/run/systemd/system").is_dir():
        return []
    verb = ("list-unit-files", "--state=enabled") if state == "enabled" else ("list-units", "--state=active")
    told = run("systemctl", *verb, "--no-legend", "--plain", fails=True)
    return [line.split()[0] for line in told.splitlines() if line.strip()]


def backups() -> list:
    return [path for path in BACKUPS.glob("*.[0-9]") if path.is_file()]


def snapshot(packages: object) -> dict:
    return {
        "versions": packages.versions(),
        "users": [entry.pw_name for entry in pwd.getpwall()],
        "groups": [entry.gr_name for entry in grp.getgrall()],
        "enabled": units("enabled"),
        "active": units("active"),
    }


def read_record() -> dict:
    empty = {
        "claims": {},
        "packages": [],
        "users": [],
        "groups": [],
        "files": [],
        "folders": [],
        "upgraded": {},
        "backups": None,
        "pending": None,
    }
    try:
        return {**empty, **json.loads(RECORD.read_text(encoding="utf-8"))}
    except FileNotFoundError:
        return empty


def write_record(record: dict) -> None:
    RECORD.parent.mkdir(mode=0o755, exist_ok=True)
    new = RECORD.with_suffix(".new")
    with new.open("w", encoding="utf-8") as file:
        json.dump(record, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    new.replace(RECORD)


def settle(record: dict, packages: object) -> None:
    """Take into the record what has changed since its snapshot, and keep new services from running."""
    before = record["pending"]
    if before is None:
        return
    after = snapshot(packages)
    record["packages"] = sorted({*record["packages"], *(set(after["versions"]) - set(before["versions"]))})
    for kind in ("users", "groups"):
        record[kind] = sorted({*record[kind], *(set(after[kind]) - set(before[kind]))})
    changed = {
        name: version
        for name, version in before["versions"].items()
        if name not in record["packages"] and after["versions"].get(name, version) != version
    }
    record["upgraded"] = {**changed, **record["upgraded"]}
    for state, verb in (("active", "stop"), ("enabled", "disable")):
        services = [name for name in after[state] if name not in before[state] and name.endswith(".service")]
        if services:
            run("systemctl", verb, *services)
    record["pending"] = None
    write_record(record)


def write_absent(files: dict, record: dict) -> None:
    for path, content in files.items():
        if not Path(path).exists():
            made = [str(folder) for folder in reversed(Path(path).parents) if not folder.exists()]
            record["files"].append(path)
            record["folders"] += made
            write_record(record)
            for folder in made:
                Path(folder).mkdir()
            Path(path).write_text(content, encoding="utf-8")


class Quiet:
    """While this holds, no package starts its service; what stood in the way of it comes back after."""

    def __enter__(self) -> None:
        self.own = POLICY.read_bytes() if POLICY.exists() else None
        self.mode = POLICY.stat().st_mode if self.own is not None else 0
        POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
        POLICY.chmod(0o755)

    def __exit__(self, *_: object) -> None:
        if self.own is None:
            POLICY.unlink()
        else:
            POLICY.write_bytes(self.own)
            POLICY.chmod(self.mode)


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
    if not lacking and (record["claims"].get(question["owner"]) == claim or not record["packages"]):
        return {"changed": False, "installed": [], "versions": chosen(wanted, packages)}
    record["claims"][question["owner"]] = claim
    if lacking:
        record["pending"] = snapshot(packages)
        if record["backups"] is None:
            record["backups"] = sorted(map(str, backups()))
    write_record(record)
    if lacking:
        fetch(question, lacking, record, packages)
    return {"changed": True, "installed": lacking, "versions": chosen(wanted, packages)}


def fetch(question: dict, lacking: list, record: dict, packages: object) -> None:
    repository = question.get("repository")
    with Quiet():
        write_absent(question.get("files") or {}, record)
        if repository:
            packages.install(repository["first"])
            write_absent(repository["files"], record)
            packages.refresh(strictly=True)
        packages.install(lacking)
    settle(record, packages)


def chosen(wanted: list, packages: object) -> dict:
    there = packages.versions()
    return {name: there.get(name, "") for name in wanted}


def remove(question: dict) -> dict:
    packages = manager()
    if not RECORD.exists():
        return {"changed": False, "removed": []}
    record = read_record()
    settle(record, packages)
    claimed = record["claims"].pop(question["owner"], None)
    if record["claims"]:
        write_record(record)
        return {"changed": claimed is not None, "removed": [], "kept_for": sorted(record["claims"])}
    there = packages.versions()
    names = [name for name in record["packages"] if name in there]
    if names:
        packages.remove(names)
    clean(record)
    return {"changed": True, "removed": names, "upgraded": record["upgraded"]}


def clean(record: dict) -> None:
    """Remove what the packages' own scripts leave, and the record as the last of it."""
    users = {entry.pw_name for entry in pwd.getpwall()}
    for name in record["users"]:
        if name in users:
            run("userdel", name)
    groups = {entry.gr_name for entry in grp.getgrall()}
    for name in record["groups"]:
        if name in groups:
            run("groupdel", name)
    before = set(map(Path, record["backups"] or ()))
    late = () if record["backups"] is None else set(backups()) - before
    for path in [*map(Path, record["files"]), *late]:
        path.unlink(missing_ok=True)
    for folder in map(Path, reversed(record["folders"])):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    if Path("/run/systemd/system").is_dir():
        run("systemctl", "daemon-reload")
    RECORD.unlink()
    if not any(RECORD.parent.iterdir()):
        RECORD.parent.rmdir()


def plan(question: dict) -> dict:
    """Tell what install would do; changes nothing and needs no root."""
    lacking = missing(question["packages"], manager())
    return {"changed": bool(lacking), "installed": lacking, "versions": {}}


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    try:
        json.dump({"install": install, "remove": remove, "plan": plan}[asked["verb"]](asked), sys.stdout)
    except (PackagesError, OSError, subprocess.TimeoutExpired) as error:
        sys.exit(str(error))
