"""Each file of tests/cases/spec gives exactly the message of the .txt beside it; without one it is valid."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchctl.errors import SpecError
from benchctl.spec import load, read_role
from benchctl.spec.share import roles_in, shared

CASES = Path(__file__).parents[1] / "cases" / "spec"
SHIPPED = [read_role(name, [shared("roles")]) for name in roles_in([shared("roles")])]
NAMES = sorted(path.stem for path in CASES.glob("*.yml"))


@pytest.mark.parametrize("name", NAMES)
def test_case(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES)
    expected = Path(f"{name}.txt")
    if not expected.exists():
        assert load(Path(f"{name}.yml")).experiment.name == "case"
        return
    with pytest.raises(SpecError) as caught:
        load(Path(f"{name}.yml"))
    text = expected.read_text(encoding="utf-8")
    for words, kind in (("<systems>", "dbms"), ("<load generators>", "loader")):
        text = text.replace(words, ", ".join(meta.name for meta in SHIPPED if meta.kind == kind))
    assert caught.value.detail + "\n" == text
    assert caught.value.exit_code == 2


def test_every_message_has_its_case() -> None:
    assert {path.stem for path in CASES.glob("*.txt")} <= set(NAMES)
