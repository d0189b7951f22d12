"""The documentation says what the code says, and its links lead somewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from docs import generate, tuning_peers

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_generated_pages_are_what_the_code_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check"]) == 0, capsys.readouterr().err


def test_a_page_that_differs_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "pages", lambda: {tmp_path / "a.md": "new\n"})
    (tmp_path / "a.md").write_text("old\n")
    assert generate.main(["--check"]) == 1
    assert "a.md: not what the code says" in capsys.readouterr().err
    assert generate.main([]) == 0
    assert (tmp_path / "a.md").read_text() == "new\n"
    assert generate.main(["--check"]) == 0


def test_a_page_of_a_role_that_is_gone_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "pages", dict)
    page = tmp_path / "docs" / "reference" / "roles" / "mysql.md"
    page.parent.mkdir(parents=True)
    page.touch()
    assert generate.main(["--check"]) == 1
    assert "mysql.md: not what the code says" in capsys.readouterr().err
    assert generate.main([]) == 0
    assert not page.exists()


def test_benchctl_gives_all_back_in_the_recording_beside_its_peers() -> None:
    rows = json.loads(tuning_peers.RECORDED.read_text("utf-8"))["tools"]
    assert [row for row in rows if tuning_peers.is_wrong(row)] == []
    assert {row["host"] for row in rows if row["tool"] == tuning_peers.OURS} == {"defaults", "an owner's"}


def test_another_argument_is_refused() -> None:
    assert generate.main(["--force"]) == 2


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    local = [target.partition("#")[0] for target in targets if not target.startswith(("http", "#"))]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_verbs_in_examples_exist(page: Path) -> None:
    from benchctl.cli.main import VERBS

    blocks = re.findall(r"```(?:sh|bash)?\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    words = re.findall(r"^(?:\$ )?benchctl ([a-z]+)", "\n".join(blocks), flags=re.MULTILINE)
    assert [word for word in words if word not in VERBS] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_experiments_in_pages_are_valid(page: Path) -> None:
    from benchctl.spec.load import parse

    blocks = re.findall(r"```yaml\n(name: .*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for block in blocks:
        assert parse(block, page).experiment.metrics
