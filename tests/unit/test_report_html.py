"""The HTML report: alone, small enough, harmless, and the same with JavaScript off."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from benchctl.report import render
from benchctl.report.figures import Figure
from benchctl.report.to_html import inline_json
from tests.unit.report_data import CASES, Case, FactorCase, view

MOST_BYTES = 6_000_000
_FETCHING = {"src", "href", "action", "data", "poster", "srcset", "background", "formaction", "xlink:href"}
_VOID = {"meta", "br"}


class Page(HTMLParser):
    """What a browser would see: elements, their attributes, and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            self.scripts[-1] += data
        else:
            self.text.append(data)

    def attributes(self, name: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.elements if name in attrs]


@pytest.mark.parametrize("case", CASES)
def test_the_page_is_well_formed_and_fetches_nothing(case: str) -> None:
    text = render(view(case), "html")
    page = Page(text)
    assert len(text.encode()) < MOST_BYTES
    assert [
        name for _, attrs in page.elements for name in attrs if name in _FETCHING or name.startswith("on")
    ] == []
    assert {tag for tag, _ in page.elements} & {
        "link",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "img",
    } == set()
    assert "url(" not in text.partition("</style>")[0]


@pytest.mark.parametrize("case", ["faster", "hostile"])
def test_only_the_two_scripts_of_the_page_may_run(case: str) -> None:
    page = Page(render(view(case), "html"))
    assert len(page.scripts) == 3
    policy = next(
        attrs["content"] or "" for tag, attrs in page.elements if tag == "meta" and "http-equiv" in attrs
    )
    assert policy.startswith("default-src 'none'; ")
    for script in page.scripts[1:]:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]


@pytest.mark.parametrize("case", CASES)
def test_every_figure_has_a_place_and_a_table_in_its_section(case: str) -> None:
    text = render(view(case), "html")
    page = Page(text)
    figures: dict[str, Any] = json.loads(page.scripts[0])
    assert set(figures) <= set(page.attributes("id"))
    for name in figures:
        section = text[: text.index(f'<div id="{name}"')].rpartition("<section")[2]
        whole = (section + text[text.index(f'<div id="{name}"') :]).partition("</section>")[0]
        assert "<table>" in whole, name


def test_outside_text_in_figures_is_escaped_for_plotly() -> None:
    page = Page(render(view("hostile"), "html"))
    texts = re.findall(r'"(?:name|text)":"([^"]*)"', page.scripts[0])
    labels = [json.loads(f'"{text}"') for text in texts if "alert" in text]
    assert labels
    assert [label for label in labels if "<script" in label] == []


def test_data_cannot_end_the_element_it_stands_in() -> None:
    data = inline_json({"order": [Figure("a", "", [{"text": "</script><!-- & \u2028"}], {})]})
    assert not set(data) & set("<>&\u2028")
    assert json.loads(data)["a"]["data"][0]["text"] == "</script><!-- & \u2028"


def test_a_forest_shows_effect_interval_and_band() -> None:
    run = view("faster")
    first = run.summary.comparisons[0]
    figure = json.loads(Page(render(run, "html")).scripts[0])["forest"]
    trace = figure["data"][0]
    assert first.effect is not None
    assert first.low is not None
    assert trace["x"][0] == pytest.approx(math.log1p(first.effect), rel=1e-5)
    assert trace["x"][0] - trace["error_x"]["arrayminus"][0] == pytest.approx(math.log1p(first.low), rel=1e-4)
    bands = [(shape["x0"], shape["x1"]) for shape in figure["layout"]["shapes"][:2]]
    assert bands == [pytest.approx((-math.log(1 + d), math.log(1 + d)), rel=1e-4) for d in (0.02, 0.05)]


def test_series_and_order_show_each_trial_where_it_ran() -> None:
    run = view("troubled")
    figures = json.loads(Page(render(run, "html")).scripts[0])
    assert len(figures["series"]["data"]) == len(run.trials)
    assert figures["series"]["data"][0]["x"][0] == 1
    shown = sorted(x for trace in figures["order"]["data"][:2] for x in trace["x"])
    assert shown == [trial.ordinal for trial in run.trials]
    assert [trace["name"] for trace in figures["order"]["data"][2:]] == ["suspect", "invalid"]


def test_a_long_run_stays_small_and_says_what_it_left_out() -> None:
    case = Case(factors=(FactorCase("workload.clients", {str(n): 1.0 for n in range(8)}, "run"),), blocks=60)
    run = view(case)
    long = tuple(_stretched(trial, 120) for trial in run.trials)
    text = render(run._replace(trials=long), "html")
    assert len(text.encode()) < MOST_BYTES
    assert "One block in 2 is shown" in text


def _stretched(trial: Any, seconds: int) -> Any:
    from msgspec.structs import replace

    values = (trial.result.series["throughput"] * seconds)[:seconds]
    return replace(trial, result=replace(trial.result, series={"throughput": values}))
