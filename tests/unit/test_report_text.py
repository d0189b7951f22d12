"""Numbers, strings and sentences as people read them."""

from __future__ import annotations

import math
import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchctl.model.comparison import Comparison
from benchctl.report import text, words
from tests.unit.report_data import view


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (2961.4, "1/s", "2,961/s"),
        (1234567.0, "1/s", "1,234,567/s"),
        (0.012345, "ms", "0.01235 ms"),
        (5.0, "ms", "5 ms"),
        (20.661, "ms", "20.66 ms"),
        (0.0, "1", "0"),
        (-3.25, "ms", "\u22123.250 ms"),
        (1.5e-7, "s", "1.500e\u221207 s"),
        (None, "ms", "–"),
        (math.nan, "ms", "–"),
        (math.inf, "1", "–"),
    ],
)
def test_numbers_have_four_digits_and_their_unit(value: float | None, unit: str, shown: str) -> None:
    assert text.number(value, unit) == shown


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [(0.799, 0.907, "+85.2 %"), (0.4, 1.3, "+85 %"), (0.8514, 0.8522, "+85.180 %"), (None, None, "+85.2 %")],
)
def test_the_interval_decides_how_many_digits_an_effect_has(
    low: float | None, high: float | None, shown: str
) -> None:
    assert text.percent(0.8518, decimals=text.decimals_for(low, high), signed=True) == shown


@pytest.mark.parametrize(
    ("ratio", "shown"), [(0.02, "2 %"), (0.0729, "7.3 %"), (1.234, "120 %"), (None, "–")]
)
def test_limits_are_rounded(ratio: float | None, shown: str) -> None:
    assert text.about(ratio) == shown


@pytest.mark.parametrize(("p", "shown"), [(0.0000001, "< 0.001"), (0.0312, "0.031"), (1.0, "1"), (None, "–")])
def test_probabilities(p: float | None, shown: str) -> None:
    assert text.probability(p) == shown


@given(st.text())
def test_cleaned_text_has_nothing_that_a_terminal_obeys(given_text: str) -> None:
    cleaned = text.clean(given_text)
    assert not [c for c in cleaned if unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp", "Cs"}]
    cleaned.encode()


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("postgresql://me:s3cret@db/x", "postgresql://me:***@db/x"),
        ("--password=s3cret --scale=5", "--password=*** --scale=5"),
        ("PGPASSWORD: s3cret", "PGPASSWORD: ***"),
        ("password_encryption: scram-sha-256", "password_encryption: scram-sha-256"),
        ("password: {env: PGPASSWORD}", "password: {env: PGPASSWORD}"),
        ("scale: 5", "scale: 5"),
    ],
)
def test_secrets_are_hidden_and_nothing_else(given_text: str, shown: str) -> None:
    assert text.redact(given_text) == shown


def test_settings_are_hidden_by_their_name() -> None:
    assert text.setting("ssl_passphrase_command", "cat /x") == "***"
    assert text.setting("dbms.password_encryption", "scram-sha-256") == "scram-sha-256"


COMPARISON = Comparison(
    factor="dbms.settings.synchronous_commit",
    at={},
    baseline="on",
    contender="off",
    metric="throughput",
    unit="1/s",
    better="higher",
    verdict="faster",
    effect=0.852,
    low=0.799,
    high=0.907,
    p=0.00001,
    p_adjusted=0.00002,
    p_permutation=0.03,
    p_rank=0.03,
    n=6,
    detectable=0.061,
    delta=0.02,
    paired=True,
    validity="ok",
)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {},
            (
                "synchronous_commit=off is faster than on: throughput +85.2 % [95 % CI +79.9 %, +90.7 %],"
                " n = 6 pairs, p < 0.001."
            ),
        ),
        (
            {
                "verdict": "slower",
                "effect": -0.1,
                "low": -0.12,
                "high": -0.08,
                "at": {"workload.clients": "8"},
            },
            (
                "At workload.clients=8: synchronous_commit=off is slower than on: throughput \u221210.0 %"
                " [95 % CI \u221212.0 %, \u22128.0 %], n = 6 pairs, p < 0.001."
            ),
        ),
        (
            {"verdict": "faster", "metric": "errors", "p": 0.01, "p_adjusted": None},
            (
                "synchronous_commit=off is better than on: errors +85.2 % [95 % CI +79.9 %, +90.7 %],"
                " n = 6 pairs, p = 0.01."
            ),
        ),
        (
            {"verdict": "equivalent", "effect": 0.001, "low": -0.004, "high": 0.006, "paired": False},
            (
                "synchronous_commit=off and on are equivalent within ± 2 %: throughput +0.10 %"
                " [95 % CI \u22120.40 %, +0.60 %], n = 6 trials, unpaired, p < 0.001."
            ),
        ),
        (
            {"verdict": "inconclusive", "effect": 0.12, "low": None, "high": None, "n": 1},
            (
                "No verdict on synchronous_commit=off against on: throughput +12.0 % in one pair, which has"
                " no interval."
            ),
        ),
        (
            {"verdict": "inconclusive", "effect": None, "low": None, "high": None},
            "No verdict on synchronous_commit=off against on: throughput has no pairs that can be compared.",
        ),
    ],
)
def test_verdicts_are_sentences(change: dict[str, object], sentence: str) -> None:
    comparison = msgspec.structs.replace(COMPARISON, **change)
    assert words.verdict(comparison, words.Names(view("faster"))) == sentence


def test_only_an_inconclusive_comparison_gets_advice() -> None:
    assert words.advice(COMPARISON) == ""
    inconclusive = msgspec.structs.replace(COMPARISON, verdict="inconclusive")
    assert "a difference of 6.1 % or more" in words.advice(inconclusive)
    assert "Too few valid pairs" in words.advice(msgspec.structs.replace(inconclusive, detectable=None))


def test_names_stay_whole_where_their_last_parts_are_alike() -> None:
    names = words.FactorNames(["a.size", "b.size"])
    assert names.levels({"a.size": "1", "b.size": "2"}) == "a.size=1, b.size=2"
    assert words.FactorNames(["a.size", "b.count"]).factor("a.size") == "size"


@pytest.mark.parametrize(
    ("metric", "shown"),
    [
        ("latency_p999", "service time p99.9"),
        ("latency_p50", "service time p50"),
        ("schedule_lag_mean", "schedule lag mean"),
        ("throughput", "throughput"),
        ("p", "p"),
    ],
)
def test_metrics_have_names_that_can_be_read(metric: str, shown: str) -> None:
    assert words.Names(view("faster")).metric(metric) == shown
