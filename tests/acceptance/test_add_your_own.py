"""docs/how-to/add-a-load-generator.md, followed word by word; and the scaffolds measured as they are."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.needs import need
from tests.plugins import Site

if TYPE_CHECKING:
    from tests.acceptance.conftest import Shell

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-load-generator.md"
BLOCK = re.compile(
    r"(?:^`(?P<path>[\w./-]+)`\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


def follow(page: str, project: Path) -> list[str]:
    """Do what the page says to files; return the lines that are left for a shell."""
    words: list[str] = []
    for block in BLOCK.finditer(page):
        if block["kind"] == "diff":
            text = block["text"].encode()
            subprocess.run(["git", "apply", "-"], cwd=project, input=text, check=True, timeout=60)
        elif block["path"]:
            file = project / block["path"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block["text"], encoding="utf-8")
        else:
            words += block["text"].splitlines()
            for line in block["text"].splitlines():
                if line.startswith("rm -r "):
                    shutil.rmtree(project / line.removeprefix("rm -r "))
    return words


def measured(shell: Shell, site: Site, project: Path) -> dict[str, object]:
    """Run the project's first.yml to its end; what --json says of it."""
    paths = os.pathsep.join(map(str, (site.folder, project)))
    done = shell.run(
        "run", str(project / "first.yml"), "--json", "--set=design.blocks=2", code={0, 4}, PYTHONPATH=paths
    )
    found: dict[str, object] = json.loads(done.stdout)
    shell.nothing_left()
    return found


def test_the_page_leads_to_a_load_generator_that_measures(cold_shell: Shell, tmp_path: Path) -> None:
    need("openssl", "apt-get install openssl", available=shutil.which("openssl", path="/usr/bin") is not None)
    cold_shell.run("init", "loader", "openssl_speed")
    project = cold_shell.workspace / "benchctl-openssl-speed"
    commands = follow(PAGE.read_text(encoding="utf-8"), project)
    assert commands[:2] == ["benchctl init loader openssl_speed", "cd benchctl-openssl-speed"]
    site = Site(tmp_path / "site")
    site.install(project)
    site.run(sys.executable, "-m", "pytest", "-q", ".", cwd=project)
    found = measured(cold_shell, site, project)
    trials = sorted((cold_shell.workspace / str(found["path"])).glob("trials/*/trial.json"))
    results = [json.loads(path.read_text())["result"] for path in trials]
    assert len(results) == 4
    assert {result["loader"] for result in results} == {"openssl_speed"}
    assert all(result["metrics"]["throughput"]["value"] > 1e6 for result in results)


def test_a_new_role_is_measured_before_anything_is_changed(cold_shell: Shell, tmp_path: Path) -> None:
    need("python3 in /usr/bin", "apt-get install python3", available=Path("/usr/bin/python3").exists())
    cold_shell.run("init", "role", "my_db")
    project = cold_shell.workspace / "benchctl-my-db"
    site = Site(tmp_path / "site")
    site.install(project)
    trials = measured(cold_shell, site, project)["trials"]
    assert isinstance(trials, dict)
    assert trials["ok"] + trials["suspect"] == 4
