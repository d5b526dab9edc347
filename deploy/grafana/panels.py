"""What a panel is, and the expressions that many of them share."""

from typing import Final, Literal, NamedTuple

Kind = Literal["stat", "timeseries", "heatmap", "state-timeline", "table"]
Words = tuple[tuple[int, str, str], ...]

UP: Final[Words] = ((1, "up", "green"), (0, "down", "red"))
PATH: Final[Words] = ((0, "healthy", "green"), (1, "recovering", "yellow"), (2, "failing", "red"))


class Panel(NamedTuple):
    """One panel. `queries` are (expression, legend); `steps` where its colour changes."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: Kind = "timeseries"
    width: int = 8
    about: str = ""
    stacked: bool = False
    least: float | None = 0
    steps: tuple[float, ...] = ()
    worse: Literal["higher", "lower"] = "higher"
    words: Words = ()


def rate(metric: str, by: str = "", labels: str = "") -> str:
    """Return the rate of a counter, summed."""
    chosen = f"{labels}, SELECTED" if labels else "SELECTED"
    return f"sum{_by(by)}(rate({metric}{{{chosen}}}[$__rate_interval]))"


def quantile(share: float, histogram: str, by: str = "", labels: str = "") -> str:
    """Return a quantile of a histogram."""
    inner = rate(f"{histogram}_bucket", f"le, {by}" if by else "le", labels)
    return f"histogram_quantile({share}, {inner})"


def value(metric: str, by: str = "", how: str = "sum") -> str:
    """Return a gauge, put together over nodes."""
    return f"{how}{_by(by)}({metric}{{SELECTED}})"


def ratio(part: str, whole: str) -> str:
    """Return one of the other."""
    return f"{part} / {whole}"


def judged(state: str) -> str:
    """Return 1 for the nodes that think this of their own nameservers."""
    return f'max by (instance) (codns_local_path_state{{state="{state}", SELECTED}})'


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""


NODE: Final = "instance"
DURATION: Final = "codns_dns_request_duration_seconds"
MISSES: Final = 'source=~"local|peer|stale|error"'
RESPONSES: Final = "codns_dns_responses_total"
SERVED: Final = rate("codns_served_queries_total", "instance")
