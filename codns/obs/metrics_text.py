"""Metric families, made and written: prometheus_client's values in Prometheus' text format 0.0.4.

prometheus_client's own writer looks at each name and label anew on each scrape: 7 us a sample,
9 ms for a large node, during which nobody gets an answer. Names and labels never change here, so
the head of a line (all but its value) is made once and kept; that writes a sample in 1 us. A test
holds what is written against what prometheus_client writes.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import inf, isnan
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from codns.core.stats import LATENCY_BOUNDS_S, Histogram

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
HEADS_MAX: Final = 8_192  # lines remembered: five times those of one scrape, as peers come and go

_BOUNDS: Final = (*(repr(bound) for bound in LATENCY_BOUNDS_S), "+Inf")

Rows = Iterable[tuple[Sequence[str], float]]


def counter(name: str, text: str, value: float) -> Metric:
    """Return a counter without labels. `name` ends in _total."""
    return CounterMetricFamily(name, text, value=value)


def gauge(name: str, text: str, value: float | None) -> Metric:
    """Return a gauge without labels; None, unknown now, is NaN."""
    return GaugeMetricFamily(name, text, value=_known(value))


def counters(name: str, text: str, labels: Sequence[str], rows: Rows) -> Metric:
    """Return a counter with a sample for each (label values, value)."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def gauges(
    name: str,
    text: str,
    labels: Sequence[str],
    rows: Iterable[tuple[Sequence[str], float | None]],
) -> Metric:
    """Return a gauge with a sample for each (label values, value)."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in rows:
        family.add_metric(values, _known(value))
    return family


def by(counts: Mapping[str, float]) -> Rows:
    """Return rows for one label, its values being the keys."""
    return [((key,), value) for key, value in counts.items()]


def histograms(
    name: str,
    text: str,
    labels: Sequence[str],
    rows: Iterable[tuple[Sequence[str], Histogram, int]],
) -> Metric:
    """Return a histogram for each (label values, what was timed, how many took no time)."""
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, histogram, at_once in rows:
        family.add_metric(values, _cumulative(histogram, at_once), histogram.total)
    return family


def histogram(name: str, text: str, values: Histogram) -> Metric:
    """Return a histogram without labels."""
    return HistogramMetricFamily(name, text, _cumulative(values, 0), values.total)


def _cumulative(histogram: Histogram, at_once: int) -> list[tuple[str, float]]:
    buckets, total = [], at_once
    for bound, count in zip(_BOUNDS, histogram.counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets


def _known(value: float | None) -> float:
    return float("nan") if value is None else value


class Writer:
    """Writes families; remembers heads of lines."""

    def __init__(self) -> None:
        self._heads: dict[tuple[str, ...], str] = {}

    def write(self, family: Metric) -> str:
        """Return the lines of a family."""
        name, kind = family.name, family.type
        if kind == "counter":
            name += "_total"
        help_text = family.documentation.replace("\\", r"\\").replace("\n", r"\n")
        lines = [f"# HELP {name} {help_text}\n# TYPE {name} {kind}\n"]
        heads = self._heads
        for sample in family.samples:
            labels, value = sample.labels, sample.value
            key = (sample.name, *labels.values())
            head = heads.get(key)
            if head is None:
                head = self._head(key, labels)
            if type(value) is float and not value.is_integer():
                lines.append(f"{head}{_float(value)}\n")
            else:
                lines.append(f"{head}{int(value)}\n")
        return "".join(lines)

    def _head(self, key: tuple[str, ...], labels: Mapping[str, str]) -> str:
        name = key[0]
        inner = ",".join(f'{label}="{_escaped(value)}"' for label, value in labels.items())
        head = f"{name}{{{inner}}} " if inner else f"{name} "
        if len(self._heads) >= HEADS_MAX:
            self._heads.clear()
        self._heads[key] = head
        return head


def _float(value: float) -> str:
    if isnan(value):
        return "NaN"
    if value in (inf, -inf):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
