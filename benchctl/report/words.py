"""What a run's findings are called and said in plain sentences.

Must not compute: every figure in a sentence stands in the records already.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from benchctl.model.comparison import GOING_ON
from benchctl.report.text import NOTHING, about, clean, decimals_for, join_words, percent, probability

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from benchctl.model.comparison import Comparison
    from benchctl.results.view import RunView

GRADES = {
    "A": "bare metal, every knob applied that it has",
    "B": "bare metal, not tuned or some knobs not applied",
    "C": "dedicated virtual machine",
    "D": "shared virtual machine or container: compare inside this run, not across machines",
}
_SPEED = re.compile(r"throughput|latency|duration|time|rate$|per_second")
_PERCENTILE = re.compile(r"p(\d{2})(\d*)")


class FactorNames:
    """Factors by their last part (`work_mem`) where that is unambiguous, else whole."""

    def __init__(self, factors: Iterable[str]) -> None:
        """Take the names of all factors of an experiment."""
        names = list(factors)
        short = {name: name.rpartition(".")[2] for name in names}
        self._factors = short if len(set(short.values())) == len(names) else {}

    def factor(self, name: str) -> str:
        return clean(self._factors.get(name, name))

    def levels(self, levels: Mapping[str, str]) -> str:
        """`clients=8, work_mem=64MB`; a dash where nothing varies."""
        return ", ".join(f"{self.factor(name)}={clean(label)}" for name, label in levels.items()) or NOTHING


class Names(FactorNames):
    """The names of metrics, factors and treatments in one run."""

    def __init__(self, view: RunView) -> None:
        """Work out from the trials whether latency means service time here."""
        super().__init__(factor.name for factor in view.plan.factors)
        loops = {trial.result.open_loop for trial in view.trials}
        self.latency = "service time" if loops == {False} else "latency"
        self.mixed = len(loops) > 1

    def metric(self, name: str) -> str:
        """`latency_p999` -> `service time p99.9` in a closed loop."""
        words = [self.latency if word == "latency" else _percentile(word) for word in name.split("_")]
        return clean(" ".join(words))

    def sides(self, comparison: Comparison) -> str:
        factor = self.factor(comparison.factor)
        at = f" at {self.levels(comparison.at)}" if comparison.at else ""
        return f"{factor}={clean(comparison.contender)} against {clean(comparison.baseline)}{at}"


def _percentile(word: str) -> str:
    match = _PERCENTILE.fullmatch(word)
    if match is None:
        return word
    return f"p{match[1]}.{match[2]}" if match[2] else word


def verdict(comparison: Comparison, names: Names) -> str:
    """One sentence that says what was found, with its interval, number of pairs and p."""
    if comparison.effect is None or comparison.low is None:
        metric = names.metric(comparison.metric)
        return f"No verdict on {names.sides(comparison)}: {metric} {_too_few(comparison)}."
    claim = {
        "faster": _claim(comparison, names, ("faster", "better")),
        "slower": _claim(comparison, names, ("slower", "worse")),
        "equivalent": f"{_subject(comparison, names)} and {clean(comparison.baseline)} are equivalent"
        f" within ± {about(comparison.delta)}",
        "inconclusive": f"No verdict on {names.sides(comparison)}",
    }[comparison.verdict]
    return f"{claim}: {names.metric(comparison.metric)} {evidence(comparison)}."


def advice(comparison: Comparison) -> str:
    """What an inconclusive comparison would need; empty for the other verdicts."""
    if comparison.verdict != "inconclusive":
        return ""
    if comparison.detectable is None:
        return "Too few valid pairs to say what could be found: run more blocks."
    return (
        f"As noisy as it was, this run mostly finds a difference of {about(comparison.detectable)} or more."
        " More blocks, longer trials or a quieter host find smaller ones."
    )


def evidence(comparison: Comparison) -> str:
    """`+85.2 % [95 % CI +79.9 %, +90.7 %], n = 6 pairs, p < 0.001`."""
    p = probability(comparison.p if comparison.p_adjusted is None else comparison.p_adjusted)
    sign = "" if p.startswith("<") else "= "
    kind = "pairs" if comparison.paired else "trials, unpaired"
    return f"{effect(comparison)} [95 % CI {interval(comparison)}], n = {comparison.n} {kind}, p {sign}{p}"


def effect(comparison: Comparison) -> str:
    return percent(comparison.effect, decimals=decimals_for(comparison.low, comparison.high), signed=True)


def interval(comparison: Comparison) -> str:
    if comparison.low is None:
        return NOTHING
    places = decimals_for(comparison.low, comparison.high)
    low, high = (percent(x, decimals=places, signed=True) for x in (comparison.low, comparison.high))
    return f"{low}, {high}"


def standing(view: RunView) -> str:
    """The run's validity; while it goes on, `running: 2 of 6 trials`."""
    summary = view.summary
    if summary.state in GOING_ON or summary.validity is None:
        return f"{summary.state}: {len(view.trials)} of {summary.trials.planned} trials"
    return summary.validity


def counts(view: RunView) -> str:
    """How many trials were planned, how many of a make-up block came to them, and how they ended."""
    trials = view.summary.trials
    shown = {"ok": trials.ok, "suspect": trials.suspect, "invalid": trials.invalid, "failed": trials.failed}
    parts = [f"{count} {name}" for name, count in shown.items() if count]
    more = sum(shown.values()) - trials.planned
    planned = f"{trials.planned} trials planned" + (f" and {more} made up" if more > 0 else "")
    return f"{planned}: {join_words(parts) if parts else 'none finished'}"


def grade(view: RunView) -> str:
    letter = clean(view.summary.grade)
    return f"{letter} ({GRADES[letter]})" if letter in GRADES else letter


def tunings(view: RunView) -> list[str]:
    """What became of the knobs: `repeatable: 41 applied, 12 already`; hosts that are alike together."""
    alike: dict[str, list[str]] = {}
    for one in view.summary.tuning:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in one.counts.items()) or "no knobs"
        alike.setdefault(f"{clean(one.profile)}: {counts}", []).append(clean(one.host))
    several = len(view.fingerprints) > 1
    return [f"{text} ({join_words(hosts)})" if several else text for text, hosts in alike.items()]


def band(comparison: Comparison) -> tuple[float, float]:
    """The ends of what counts as equivalent, as ratios minus one: alike for both sides, so not symmetric."""
    return (1 / (1 + comparison.delta) - 1, comparison.delta)


def _too_few(comparison: Comparison) -> str:
    if comparison.effect is None:
        return "has no pairs that can be compared"
    return f"{effect(comparison)} in one pair, which has no interval"


def _subject(comparison: Comparison, names: Names) -> str:
    at = f"At {names.levels(comparison.at)}: " if comparison.at else ""
    return f"{at}{names.factor(comparison.factor)}={clean(comparison.contender)}"


def _claim(comparison: Comparison, names: Names, words: tuple[str, str]) -> str:
    word = words[0] if _SPEED.search(comparison.metric) else words[1]
    return f"{_subject(comparison, names)} is {word} than {clean(comparison.baseline)}"
