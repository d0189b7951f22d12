"""Roles and modules of other packages: found, named, and harmless when they are broken."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from benchctl.cli.scaffold import KINDS, scaffold
from benchctl.errors import UsageError
from tests.plugins import Site

if TYPE_CHECKING:
    from pathlib import Path

EXPERIMENT = "name: x\nworkload: {role: NAME, duration: 1s}\nfactors: {side: {a: {}, b: {}}}\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


@pytest.mark.parametrize(("kind", "name"), [("loader", "my_load"), ("role", "my_db")])
def test_what_init_writes_passes_the_contract_and_is_found(
    kind: str, name: str, here: Path, site: Site
) -> None:
    project = here / scaffold(kind, name)
    site.install(project)
    assert "passed" in site.run(sys.executable, "-m", "pytest", "-q", str(project), cwd=here).stdout
    listed = json.loads(site.benchctl("roles", "list", "--json", cwd=here).stdout)["roles"]
    (found,) = [role for role in listed if role["name"] == name]
    assert found["origin"] == f"package {project.name} 0.1.0"
    assert {role["origin"] for role in listed if role["name"] != name} == {"benchctl"}
    site.benchctl("validate", "first.yml", cwd=project)
    texts = [
        path.read_text() for path in project.rglob("*") if path.is_file() and "__pycache__" not in str(path)
    ]
    assert [text for text in texts if KINDS[kind].name in text] == []


MISTAKES = {  # file below the package: what stands there, what stands there then, what the contract says
    "a program that the role does not find": (
        "benchctl_my_load/loader.py", '["python3"]', '["pyhton3"]', "command: 'pyhton3' is neither in the",
    ),
    "a word that is no string": (
        "benchctl_my_load/loader.py", 'str(found["loops"])', 'found["loops"]', "command: [20000] are no",
    ),
    "another program": (
        "benchctl_my_load/loader.py", 'descriptor["binaries"]["python3"]', '"sh"', "command: sh is none of",
    ),
    "another unit": (
        "benchctl_my_load/loader.py", 'unit="ms"', 'unit="us"',
        "latency_min: the parser's unit is us, that of meta/bench.yml is ms",
    ),
    "a metric that the role lacks": (
        "benchctl_my_load/roles/my_load/meta/bench.yml", "name: latency_min", "name: latency_mni",
        "latency_min: the parser reports it, and metrics of meta/bench.yml lacks it",
    ),
    "another default": (
        "benchctl_my_load/roles/my_load/meta/bench.yml", "default: 20000", "default: 2000",
        "loops: its default is 20000 in DEFAULTS, 2000 in meta/bench.yml",
    ),
    "an unknown option": (
        "tests/cases/my_load/first/workload.json", '"size"', '"sise"', "sise: no option of meta/bench.yml",
    ),
    "a field that there is not": (
        "tests/cases/my_load/first/expected.json", '"requests"', '"requsts"', "requsts: no field of",
    ),
    "a metric that is not found": (
        "tests/cases/my_load/first/expected.json", '"latency_min"', '"latency_mni"',
        "metrics.latency_mni: in one of expected and found only",
    ),
    "another number": (
        "tests/cases/my_load/first/expected.json", "60000", "6000", "requests: expected 6000, found 60000",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_contract_names_a_mistake(mistake: str, here: Path, site: Site) -> None:
    file, old, new, message = MISTAKES[mistake]
    project = here / scaffold("loader", "my_load")
    text = (project / file).read_text()
    assert old in text
    (project / file).write_text(text.replace(old, new, 1))
    site.install(project)
    chosen = ("-k", "test_its or test_a_recorded or test_metrics or test_defaults_are")
    done = site.run(sys.executable, "-m", "pytest", "-q", *chosen, str(project), cwd=here, code=1)
    assert message in " ".join(done.stdout.split())


def test_assertions_of_the_contract_show_their_values(here: Path, site: Site) -> None:
    project = here / scaffold("loader", "my_load")
    module = project / "benchctl_my_load" / "loader.py"
    module.write_text(module.read_text().replace('loader="my_load"', 'loader="other"'))
    site.install(project)
    done = site.run(sys.executable, "-m", "pytest", "-q", str(project), cwd=here, code=1)
    assert "assert 'other' == 'my_load'" in done.stdout


def test_init_refuses_what_is_there_and_what_cannot_be(here: Path) -> None:
    scaffold("loader", "my_load")
    (here / "benchctl-my-load" / "README.md").write_text("mine")
    with pytest.raises(UsageError, match="benchctl-my-load is there already"):
        scaffold("loader", "my_load")
    assert (here / "benchctl-my-load" / "README.md").read_text() == "mine"
    for name in ("My", "9x", "a-b", "", "class", "a/b", "../x", "bench_common", "x" * 50):
        with pytest.raises(UsageError, match="cannot be the name"):
            scaffold("role", name)
    with pytest.raises(UsageError, match="there is a role redis already"):
        scaffold("role", "redis")
    assert [path.name for path in here.iterdir()] == ["benchctl-my-load"]


@pytest.mark.parametrize(
    "arguments", [("loader",), ("role", "a", "b"), ("loader", "a", "--force"), ("a", "b")]
)
def test_init_takes_one_name(arguments: tuple[str, ...], here: Path, site: Site) -> None:
    assert "To do: " in site.benchctl("init", *arguments, cwd=here, code=2).stderr
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import nothing_like_this\n", "ModuleNotFoundError: No module named 'nothing_like_this'"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
        ("def names(: pass\n", "SyntaxError"),
        (
            "ENDS_ITSELF = True\ndef names(w): return None\n",
            "the module lacks prepare, command, null_run, parse",
        ),
    ],
)
def test_a_broken_module_names_its_package_and_breaks_nothing_else(
    source: str, message: str, here: Path, site: Site
) -> None:
    project = here / scaffold("loader", "my_load")
    (project / "benchctl_my_load" / "loader.py").write_text(source)
    site.install(project)
    (here / "x.yml").write_text(EXPERIMENT.replace("NAME", "my_load"))
    said = site.benchctl("validate", "x.yml", cwd=here, code=3).stderr
    assert "package benchctl-my-load 0.1.0, entry point my_load = benchctl_my_load.loader" in said
    assert message in said
    assert "Traceback" not in said
    listed = site.benchctl("loaders", "list", cwd=here)
    assert message in listed.stderr
    assert "pgbench" in listed.stdout
    site.benchctl("validate", "quickstart", cwd=here)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("nothing_like_this.roles", "ModuleNotFoundError"),
        ("json", "no folder with roles"),
        ("benchctl_clash.roles", "benchctl itself has the roles redis"),
    ],
)
def test_a_broken_folder_of_roles_names_its_package_and_breaks_nothing_else(
    value: str, message: str, here: Path, site: Site
) -> None:
    site.record("benchctl-clash", "2.0", {"benchctl.roles": {"clash": value}})
    meta = site.folder / "benchctl_clash" / "roles" / "redis" / "meta" / "bench.yml"
    meta.parent.mkdir(parents=True)
    meta.write_text("name: redis\nkind: dbms\ndoc: Not ours.\n")
    listed = site.benchctl("roles", "list", cwd=here)
    assert f"package benchctl-clash 2.0, entry point clash = {value}" in listed.stderr
    assert message in listed.stderr
    assert "Not ours" not in listed.stdout
    (here / "x.yml").write_text(EXPERIMENT.replace("NAME", "clash"))
    assert message in site.benchctl("validate", "x.yml", cwd=here, code=2).stderr


def test_two_packages_with_one_load_generator_are_both_named(here: Path, site: Site) -> None:
    site.install(here / scaffold("loader", "my_load"))
    site.record("benchctl-other", "3.0", {"benchctl.loaders": {"my_load": "benchctl_my_load.loader"}})
    (here / "x.yml").write_text(EXPERIMENT.replace("NAME", "my_load"))
    said = site.benchctl("validate", "x.yml", cwd=here, code=3).stderr
    assert "benchctl-my-load 0.1.0" in said
    assert "benchctl-other 3.0" in said


def test_packages_are_looked_at_only_where_benchctl_has_none(here: Path) -> None:
    code = (
        "import sys\nfrom benchctl.cli.main import cli\nfrom benchctl.spec import load\n"
        "load('quickstart'); cli(['--help'], standalone_mode=False)\n"
        "assert 'importlib.metadata' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=here, capture_output=True)
