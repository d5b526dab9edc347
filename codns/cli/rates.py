"""What happened between two looks at the daemon, as rates."""

from typing import Any, NamedTuple

from codns.cli.words import quantile

Told = dict[str, Any]


class Rates(NamedTuple):
    """`answers` and the others a second; times in seconds, None where nothing was answered."""

    seconds: float
    queries: float
    answers: dict[str, float]
    p50_s: float | None
    p99_s: float | None
    remote: float
    remote_won: float
    refused: float


def between(before: Told, after: Told) -> Rates:
    """Return the rates between two summaries.

    The quantiles are of all answers, those from the cache counting as no time at all. A daemon
    that was started anew in between counts from 0.
    """
    seconds = after["uptime_s"] - before["uptime_s"]
    if seconds <= 0:
        before, seconds = _zeroed(after), max(after["uptime_s"], 0.001)
    answers = {
        source: max(0, number - before["answers"].get(source, 0)) / seconds
        for source, number in after["answers"].items()
    }
    buckets = [0] * 17
    for source, histogram in after["durations"].items():
        old = before["durations"].get(source, histogram)["buckets"]
        for index, number in enumerate(histogram["buckets"]):
            buckets[index] += max(0, number - old[index])
    buckets[0] += round((answers.get("cache", 0.0) + answers.get("special", 0.0)) * seconds)
    then, now = _remote(before), _remote(after)
    refused = sum(after["refusals"].values()) - sum(before["refusals"].values())
    return Rates(
        seconds=seconds,
        queries=sum(answers.values()),
        answers=answers,
        p50_s=quantile(buckets, 0.5),
        p99_s=quantile(buckets, 0.99),
        remote=(now[0] - then[0]) / seconds,
        remote_won=(now[1] - then[1]) / seconds,
        refused=max(0, refused) / seconds,
    )


def _remote(told: Told) -> tuple[int, int]:
    said = told["cooperation"]
    return (0, 0) if said is None else (said["remote"]["sent"], said["remote"]["won"])


def _zeroed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _zeroed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_zeroed(inner) for inner in value]
    return 0 if isinstance(value, int | float) and not isinstance(value, bool) else value
