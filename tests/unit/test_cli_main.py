"""What holds for all verbs: help, examples, start-up, and bad input."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from benchctl.cli.main import VERBS, cli, main
from benchctl.results.store import RunStore
from tests.builders import plan

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAVY = (
    "ansible_runner",
    "jinja2",
    "numpy",
    "pandas",
    "plotly",
    "pulumi",
    "pyarrow",
    "rich",
    "ruamel.yaml",
    "scipy",
)
GARBAGE = (
    "",
    " ",
    "-",
    "--",
    "..",
    "/dev/null",
    "../../../etc/passwd",
    "no-such-thing",
    "a\nb",
    "\x1b[31mred",
    "x" * 5000,
    "*",
    "{{ 1 }}",
)
TAKES_ONE = [
    ("run",),
    ("resume",),
    ("plan",),
    ("validate",),
    ("provision",),
    ("configure",),
    ("benchmark",),
    ("collect",),
    ("destroy",),
    ("report",),
    ("status",),
    ("logs",),
    ("runs", "show"),
    ("runs", "rm", "--yes"),
    ("runs", "export"),
    ("runs", "diff", "latest"),
    ("roles", "show"),
    ("compare", "latest"),
    ("loaders", "show"),
    ("completion",),
]


def commands(
    group: click.Group, context: click.Context, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, context, (*path, name))


ALL = dict(commands(cli, click.Context(cli, info_name="benchctl")))


def run_main(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["benchctl", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize("name", VERBS)
def test_the_table_of_contents_says_what_each_verb_says(name: str) -> None:
    first = (ALL[(name,)].help or "").splitlines()[0]
    assert VERBS[name].help == first


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_an_example_of_its_own(path: tuple[str, ...]) -> None:
    examples: tuple[str, ...] = getattr(ALL[path], "examples", ())
    wanted = f"benchctl {' '.join(path)}"
    assert any(wanted in example for example in examples)


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_parameter_is_explained(path: tuple[str, ...]) -> None:
    unexplained = [
        parameter.name
        for parameter in ALL[path].params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert unexplained == []


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["roles", "--help"], ["completion", "bash"]])
def test_help_starts_without_anything_heavy(words: list[str]) -> None:
    code = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print(*[n for n in {HEAVY} if n in sys.modules], file=sys.stderr))\n"
        f"sys.argv = ['benchctl', *{words}]\n"
        "from benchctl.cli import main\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout
    assert done.stderr.split() == []


@pytest.mark.parametrize("words", TAKES_ONE, ids=" ".join)
@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda g: ascii(g)[:20])
def test_garbage_is_a_clear_error(
    words: tuple[str, ...],
    garbage: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BENCHCTL_WORKSPACE", raising=False)
    code = run_main(monkeypatch, *words, garbage)
    shown = capsys.readouterr()
    assert code == 2, shown.err
    assert shown.out == ""
    assert "Traceback" not in shown.err
    assert "defect" not in shown.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["run", "status", "logs", "init"])
def test_bytes_that_are_no_text_are_a_clear_error(verb: str, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("benchctl")
    done = subprocess.run(
        [program, verb, b"\xff\xfe"], cwd=tmp_path, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 2, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"defect" not in done.stderr


def test_an_unknown_verb_is_met_with_the_nearest_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(monkeypatch, "valdate") == 2
    assert "Did you mean 'validate'?" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["schema"], ["roles", "list"], ["loaders", "show", "pgbench"]])
def test_a_reader_that_goes_away_is_no_error(words: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-c", "from benchctl.cli import main; main()", *words],
            stdout=write,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(write)
    assert done.stderr == b""
    assert done.returncode == 0


class TestCompletion:
    """The scripts of `benchctl completion`; bash is asked for real."""

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_there_is_a_script(
        self, shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run_main(monkeypatch, "completion", shell) == 0
        script = capsys.readouterr().out
        assert "_BENCHCTL_COMPLETE" in script
        assert f"{shell}_complete" in script

    @pytest.mark.parametrize(
        ("typed", "offered"),
        [
            (["benchctl", "val"], "validate"),
            (["benchctl", "runs", "ex"], "export"),
            (["benchctl", "run", "--key", "--ke"], "--keep"),
            (["benchctl", "completion", "z"], "zsh"),
            (["benchctl", "logs", "2026"], "20261121-1015-pg"),
            (["benchctl", "runs", "diff", "latest", "l"], "latest"),
            (["benchctl", "roles", "show", "pgb"], "pgbench"),
        ],
    )
    def test_bash_completes(self, typed: list[str], offered: str, tmp_path: Path) -> None:
        RunStore.create(tmp_path / "runs" / "20261121-1015-pg", experiment_text="name: test\n", plan=plan())
        program = str(Path(sys.executable).with_name("benchctl"))
        script = (
            f'source <("{program}" completion bash)\n'
            f"COMP_WORDS=({' '.join(typed)}); COMP_CWORD={len(typed) - 1}\n"
            f'_benchctl_completion "{program}"\n'
            'printf "%s\\n" "${COMPREPLY[@]}"\n'
        )
        environment = {**os.environ, "BENCHCTL_WORKSPACE": str(tmp_path)}
        done = subprocess.run(
            ["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stdout.split() == [offered]
