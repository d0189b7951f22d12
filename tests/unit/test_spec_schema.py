"""The published JSON Schema says what the reader of experiments says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # its stubs are a package of their own
import pytest
from ruamel.yaml import YAML

from benchctl.spec import json_schema
from benchctl.spec.schema import PUBLISHED, publish, render
from benchctl.spec.share import shared

ROOT = Path(__file__).parents[2]
CASES = ROOT / "tests" / "cases" / "spec"
EXPERIMENTS = sorted(shared("experiments").glob("*.yml"))
BY_FORM_ALONE = (  # wrong in a way that a schema can see
    "unknown-keys", "missing-keys", "bare-version", "bare-duration", "bare-percent", "quoted-number",
    "number-as-name", "nothing-as-value", "yes-is-text", "tuning-wrong-form", "unknown-provider",
    "factors-not-a-mapping", "factor-no-levels", "many-at-once",
)  # fmt: skip


def read(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_shipped_experiments_fit(path: Path, validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(read(path))


@pytest.mark.parametrize("path", sorted(CASES.glob("valid-*.yml")), ids=lambda path: path.stem)
def test_valid_cases_fit(path: Path, validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(read(path))


@pytest.mark.parametrize("name", BY_FORM_ALONE)
def test_wrong_forms_do_not_fit(name: str, validator: jsonschema.Draft202012Validator) -> None:
    assert not validator.is_valid(read(CASES / f"{name}.yml"))


def test_a_role_of_one_s_own_may_have_any_option(validator: jsonschema.Draft202012Validator) -> None:
    workload = {"role": "pgbench"}
    validator.validate({"name": "x", "dbms": {"role": "mydb", "speed": 11}, "workload": workload})
    assert not validator.is_valid(
        {"name": "x", "dbms": {"role": "postgresql", "speed": 11}, "workload": workload}
    )


def test_published_schema_is_up_to_date() -> None:
    published = (ROOT / PUBLISHED).read_text(encoding="utf-8")
    assert published == render(), "run benchctl.spec.schema.publish (make docs)"


def test_publish_writes_below_the_root(tmp_path: Path) -> None:
    assert publish(tmp_path).read_text(encoding="utf-8") == render()
