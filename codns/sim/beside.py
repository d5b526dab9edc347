"""Simulated figures set beside those that somebody measured (a scenario's `compare`).

metric           what is simulated
mean_factor      least and most of the nodes' means under `stub` divided by those here
means            least and most of the nodes' means
over_1s, time_over_1s, won, sent    as in the report, of all nodes together
median_sent      the median node's remote queries a miss
sent_range, won_range, over_1s_range    least and most of the nodes
nodes_over_99, nodes_over_99_9      shares of nodes with that availability
first_peer       share of remote wins that the peer contacted first had
unanswered       share of remote queries
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

Report = dict[str, Any]


class Beside(NamedTuple):
    """One figure: what was measured, and what the simulation gives, both as text."""

    policy: str
    metric: str
    measured: str
    simulated: str


def beside(reports: Sequence[Report]) -> list[Beside]:
    """Return all figures that the scenario names."""
    stub = next((report for report in reports if report["policy"] == "stub"), None)
    return [
        Beside(report["policy"], metric, measured, simulated(metric, report, stub))
        for report in reports
        for metric, measured in report["compare"].items()
    ]


def simulated(metric: str, report: Report, stub: Report | None) -> str:
    """Return a figure as text; "-" where there is none."""
    values, nodes = report["groups"]["all"], report["by_node"]
    if metric == "mean_factor":
        if stub is None or nodes is None:
            return "-"
        pairs = zip(stub["by_node"]["mean"], nodes["mean"], strict=True)
        return _range([there / here for there, here in pairs if there and here], "{:.2f}")
    if metric in ("over_1s", "time_over_1s"):
        return _percent(values[metric])
    if metric in ("won", "sent", "median_sent", "first_peer"):
        return _percent(values["remote"][metric])
    if metric == "unanswered":
        sent = values["remote"]["sent"]
        return _percent(values["remote"]["unanswered"] / sent if sent else None)
    if nodes is None:
        return "-"
    if metric == "means":
        return _range([1000 * mean for mean in nodes["mean"] if mean], "{:.0f} ms")
    if metric.endswith("_range"):
        kind = metric.removesuffix("_range")
        return _range([100 * share for share in nodes[kind] if share is not None], "{:.1f} %")
    mark = {"nodes_over_99": 0.99, "nodes_over_99_9": 0.999}[metric]
    return _percent(sum(each > mark for each in nodes["available"]) / len(nodes["available"]))


METRICS: Final = (
    "mean_factor", "means", "over_1s", "time_over_1s", "won", "sent", "median_sent", "sent_range",
    "won_range", "over_1s_range", "nodes_over_99", "nodes_over_99_9", "first_peer", "unanswered",
)  # fmt: skip


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _range(values: Sequence[float], form: str) -> str:
    if not values:
        return "-"
    low, high = form.format(min(values)), form.format(max(values))
    return f"{low.partition(' ')[0]} - {high}"
