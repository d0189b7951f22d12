"""One trial from near as HTML: throughput and telemetry on one time axis, and how latencies are distributed.

Plain SVG and text, so that it can be seen without JavaScript, in the colours of the page and on a phone. All
text is escaped. Must not work out a result; many points become fewer by their means.
"""

from __future__ import annotations

import math
import re
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from benchctl.report import marks
from benchctl.report.findings import axis, unit
from benchctl.report.hosts import TOGETHER, label, trial_title
from benchctl.report.text import clean, number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from benchctl.model.comparison import TrialEvent
    from benchctl.model.measurement import Trial
    from benchctl.report.words import Names
    from benchctl.results.detail import Distribution, TrialDetail
    from benchctl.results.telemetry import Channel
    from benchctl.results.view import RunView

MOST_TRIALS = 8
MOST_HOSTS = 7  # as many colours as can be told apart
MOST_POINTS = 200  # of a line
_WIDTH, _HEIGHT = 1000, 100  # of a panel's own scale; the page stretches it
_EVENLY = (1, 2, 5)
# Bytes that pass a bridge or a container's card are counted at the host's own card too.
_CARDS = r"net\.(?!lo\.|veth|podman|docker|br-|virbr|cni|cali|flannel|tap|tun).+"

Points = list[tuple[float, float]]


class Line(NamedTuple):
    """A line of a panel: whose, what, and whether it is the second of two kinds."""

    host: str
    what: str
    points: Points
    second: bool = False


class Kind(NamedTuple):
    """A panel: its title, the channels of each of its kinds of lines, how numbers are written."""

    title: str
    channels: tuple[tuple[str, str], ...]  # (what, pattern of names); several that match are summed
    write: Callable[[float], str]
    top: float = 0.0  # the scale reaches at least so far


def _percent(value: float) -> str:
    return f"{value * 100:.3g} %"


def _bytes(value: float) -> str:
    return marks.size(value)


def _rate(value: float) -> str:
    return f"{marks.size(value)}/s"


PANELS = (
    Kind("CPU busy", (("", r"cpu\.busy"),), _percent, 1.0),
    Kind("CPUs used", (("DBMS", r"service\.cpu"), ("load generator", r"task\.cpu")), number),
    Kind("Memory of the DBMS's processes, summed", (("", r"service\.rss"),), _bytes),
    Kind("Disk", (("written", r"disk\..+\.write_bytes"), ("read", r"disk\..+\.read_bytes")), _rate),
    Kind("Network", (("sent", rf"{_CARDS}\.tx_bytes"), ("received", rf"{_CARDS}\.rx_bytes")), _rate),
    Kind("Waiting for a CPU", (("", r"pressure\.cpu"),), _percent, 0.1),
    Kind("Waiting for disk", (("", r"pressure\.io"),), _percent, 0.1),
    Kind("Waiting for memory", (("", r"pressure\.memory"),), _percent, 0.1),
    Kind("TCP retransmits", (("", r"tcp\.retransmits"),), lambda value: f"{number(value)}/s"),
)


def render(view: RunView, names: Names) -> str:
    """The trials that the view has details of; empty when there are none."""
    trials = {trial.ordinal: trial for trial in view.trials}
    shown = view.details[:MOST_TRIALS]
    parts = [_trial(view, names, trials[detail.ordinal], detail) for detail in shown]
    if len(view.details) > len(shown):
        parts.append(f'<p class="note">{len(view.details) - len(shown)} more treatments are not shown.</p>')
    return "\n".join(parts)


def _trial(view: RunView, names: Names, trial: Trial, detail: TrialDetail) -> str:
    hosts = _hosts(trial, detail)
    events = marks.by_trial(view).get(trial.ordinal, [])
    seconds = trial.window.seconds
    body = [f'<p class="note">{escape("; ".join(marks.told(events)))}.</p>'] if events else []
    found = [_throughput(trial), *(_lines(kind, detail.channels) for kind in PANELS)]
    drawn = [
        _panel(kind, [line for line in lines if line.host in {*hosts, ""}], hosts, events, seconds)
        for kind, lines in zip((_throughput_kind(view, names), *PANELS), found, strict=True)
        if any(value for line in lines for _, value in line.points)
    ]
    body.insert(0, _key(view, trial, hosts, whole=any(line.points for line in found[0]) or _merged(detail)))
    if drawn:
        body.append(f'<div class="panels">{"".join(drawn)}{_ticks(seconds)}</div>')
    if any(distribution.shares for distribution in detail.latencies):
        body.append(_distribution(names, detail.latencies, hosts))
    return (
        f'<article class="near">\n<h3>{escape(trial_title(trial, names))}</h3>\n'
        + "\n".join(body)
        + "</article>"
    )


def _hosts(trial: Trial, detail: TrialDetail) -> dict[str, int]:
    """Host -> the number of its colour: the DBMS's first, then load generators, then others."""
    loads = [load.host for load in trial.loads]
    others = [channel.host for channel in detail.channels]
    known = list(dict.fromkeys([trial.host, *loads, *others]))
    return {host: number for number, host in enumerate(known[:MOST_HOSTS])}


def _merged(detail: TrialDetail) -> bool:
    return any(distribution.host == "" and distribution.shares for distribution in detail.latencies)


def _key(view: RunView, trial: Trial, hosts: dict[str, int], *, whole: bool) -> str:
    entries = [f'<span class="h{at}">{escape(label(view, host))}</span>' for host, at in hosts.items()]
    if len(trial.loads) > 1 and whole:
        entries.append(f'<span class="all">{TOGETHER}</span>')
    left = len({load.host for load in trial.loads} - set(hosts))
    more = f" {left} more load generators are in telemetry.parquet." if left else ""
    return f'<p class="key">{" ".join(entries)}{more}</p>'


def _throughput_kind(view: RunView, names: Names) -> Kind:
    title = axis(names.metric("throughput"), unit(view, "throughput"))
    return Kind(title[:1].upper() + title[1:], (), number)


def _throughput(trial: Trial) -> list[Line]:
    """The load generators' seconds, each value in the middle of its second."""
    results = {load.host: load.result for load in trial.loads} or {trial.host: trial.result}
    if len(results) > 1:
        results = {"": trial.result, **results}
    return [
        Line(
            host,
            "",
            [(at + 0.5, v) for at, v in enumerate(result.series.get("throughput", ())) if v is not None],
        )
        for host, result in results.items()
    ]


def _lines(kind: Kind, channels: Sequence[Channel]) -> list[Line]:
    lines = []
    for order, (what, pattern) in enumerate(kind.channels):
        chosen = [channel for channel in channels if re.fullmatch(pattern, channel.name)]
        for host in dict.fromkeys(channel.host for channel in chosen):
            points = _summed([channel for channel in chosen if channel.host == host])
            if kind.write is _percent:  # counted over a little more than the time between two samples
                points = [(at, min(value, 1.0)) for at, value in points]
            lines.append(Line(host, what, points, second=order > 0))
    return lines


def _summed(channels: Sequence[Channel]) -> Points:
    """Inside the window; a rate stands in the middle of the time that it was taken over."""
    totals: dict[float, float] = {}
    for channel in channels:
        level = channel.unit == "B"
        before = (
            channel.times[0] if level or len(channel.times) < 2 else 2 * channel.times[0] - channel.times[1]
        )
        for at, value in zip(channel.times, channel.values, strict=True):
            place = at if level else (before + at) / 2
            before = at
            if place >= 0:
                totals[round(place, 3)] = totals.get(round(place, 3), 0.0) + value
    return sorted(totals.items())


def _panel(
    kind: Kind, lines: Sequence[Line], hosts: dict[str, int], events: Iterable[TrialEvent], seconds: float
) -> str:
    largest = max([kind.top, *(value for line in lines for _, value in line.points)])
    top = min(_nice(largest), 1.0) if kind.write is _percent else _nice(largest)
    bands = "".join(_band(event, seconds) for event in events)
    paths = "".join(
        f'<path class="{_class(line, hosts)}" d="{_path(line.points, seconds, top)}"/>' for line in lines
    )
    said = "; ".join(_said(kind, line) for line in lines)
    return (
        f'<div class="panel"><p><b>{escape(kind.title)}</b> {escape(said)}</p>'
        f'<div class="plot"><span>{escape(kind.write(top))}</span>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(kind.title)}: {escape(said)}">{bands}{paths}</svg></div></div>'
    )


def _said(kind: Kind, line: Line) -> str:
    values = [value for _, value in line.points]
    who = " ".join(filter(None, (clean(line.host) or TOGETHER, line.what)))
    return f"{who} {kind.write(sum(values) / len(values))}" if values else f"{who} nothing"


def _class(line: Line, hosts: dict[str, int]) -> str:
    return ("all" if line.host == "" else f"h{hosts[line.host]}") + (" second" if line.second else "")


def _path(points: Points, seconds: float, top: float) -> str:
    step = -(-len(points) // MOST_POINTS)
    groups = [points[i : i + step] for i in range(0, len(points), step)]
    means = [[sum(part) / len(group) for part in zip(*group, strict=True)] for group in groups]
    places = [
        f"{min(at / seconds, 1) * _WIDTH:.0f} {_HEIGHT - value / top * _HEIGHT:.1f}" for at, value in means
    ]
    if len(places) == 1:  # one value for the whole window
        places = [f"0 {places[0].split()[1]}", f"{_WIDTH} {places[0].split()[1]}"]
    return f"M{'L'.join(places)}"


def _band(event: TrialEvent, seconds: float) -> str:
    if event.at is None or event.at >= seconds:
        return ""
    end = seconds if event.seconds is None else event.at + event.seconds
    if end < 0:
        return ""
    start = max(event.at, 0.0)
    width = max((min(end, seconds) - start) / seconds * _WIDTH, 3)
    title = f"<title>{escape(marks.words(event))}</title>"
    return f'<rect x="{start / seconds * _WIDTH:.0f}" width="{width:.0f}" height="{_HEIGHT}">{title}</rect>'


def _ticks(seconds: float) -> str:
    step = _nice(seconds / 5) if seconds > 5 else 1.0
    count = math.floor(seconds / step + 1e-9)
    marks_ = [(n * step, f"{n * step:g}") for n in range(count + 1)]
    spans = "".join(f'<span style="left:{at / seconds * 100:.2f}%">{text}</span>' for at, text in marks_)
    return f'<div class="ticks">{spans}</div><p class="axis">seconds since the start of the window</p>'


def _distribution(names: Names, found: Sequence[Distribution], hosts: dict[str, int]) -> str:
    """The share of requests that took no longer, over time on a logarithmic scale."""
    known = [d for d in found if d.shares and (d.host in hosts or d.host == "")]
    low = min(max(d.milliseconds[0], 1e-4) for d in known)
    high = max(*(d.milliseconds[-1] for d in known), low * 1.01)
    width = math.log(high / low)

    def across(milliseconds: float) -> float:
        return math.log(max(milliseconds, low) / low) / width

    paths = "".join(
        f'<path class="{_class(Line(d.host, "", []), hosts)}" d="M'
        + "L".join(
            f"{across(ms) * _WIDTH:.0f} {(1 - share) * _HEIGHT:.1f}"
            for share, ms in zip(d.shares, d.milliseconds, strict=True)
        )
        + '"/>'
        for d in known
    )
    ticks = "".join(
        f'<span style="left:{across(ms) * 100:.2f}%">{ms:g}</span>' for ms in _log_ticks(low, high)
    )
    counted = ", ".join(f"{clean(d.host) or TOGETHER} {d.requests:,}" for d in found)
    title = f"{names.latency.capitalize()} of single requests"
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none"'
    below = "milliseconds, as far as the sample carries them"
    return (
        f'<div class="panels ecdf"><div class="panel"><p><b>{escape(title)}</b>'
        f" share that took no longer; requests: {escape(counted)}</p>"
        f'<div class="plot"><span>100 %</span><svg {size}'
        f' role="img" aria-label="{escape(title)}">{paths}</svg></div></div>'
        f'<div class="ticks">{ticks}</div><p class="axis">{below}</p></div>'
    )


def _log_ticks(low: float, high: float) -> Iterator[float]:
    """1, 2, 5 in each power of ten; only the powers where there are many."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    digits = _EVENLY if last - first < 3 else (1,)
    for power in range(first, last + 1):
        for digit in digits:
            at = float(f"{digit}e{power}")
            if low <= at <= high:
                yield at


def _nice(value: float) -> float:
    """The next of 1, 2, 5 and 10 times a power of ten; the top of a scale for people."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(
        float(f"{step * power:.12g}") for step in (*_EVENLY, 10) if step * power >= value * (1 - 1e-9)
    )
