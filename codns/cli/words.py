"""Numbers as people read them: times, counts, shares; quantiles of a histogram."""

from collections.abc import Sequence
from typing import Final

from codns.core.stats import LATENCY_BOUNDS_S

NOTHING: Final = "-"
BOUNDS_S: Final[tuple[float, ...]] = LATENCY_BOUNDS_S

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400


def took(seconds: float | None) -> str:
    """Return a short time: "0.3 ms", "24 ms", "1.25 s"."""
    if seconds is None:
        return NOTHING
    if seconds < 0.01:
        return f"{1000 * seconds:.1f} ms"
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.2f} s"


def lasted(seconds: float | None) -> str:
    """Return a long time in its two greatest units: "3 d 4 h", "12 min", "9 s"."""
    if seconds is None:
        return NOTHING
    whole = int(seconds)
    days, hours = divmod(whole // _HOUR, 24)
    minutes = whole // _MINUTE % 60
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min" if minutes else f"{whole} s"


def count(number: float) -> str:
    """Return a count: "999", "12.3 k", "4.56 M"."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e4)):
        if number >= size:
            value = number / (1e3 if unit == "k" else size)
            return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"
    return f"{number:.0f}"


def size(octets: float) -> str:
    """Return "12.3 MiB"."""
    for unit in ("B", "KiB", "MiB"):
        if octets < 1024:
            return f"{octets:.3g} {unit}" if octets < 1000 else f"{octets:.0f} {unit}"
        octets /= 1024
    return f"{octets:.3g} GiB"


def share(part: float, whole: float) -> str:
    """Return "12.3 %", or nothing of nothing."""
    return f"{100 * part / whole:.1f} %" if whole else NOTHING


def quantile(buckets: Sequence[int], q: float) -> float | None:
    """Return the q-quantile in seconds of counts by `BOUNDS_S`; None of nothing.

    Within a bucket the values are taken as spread evenly, as Prometheus does.
    """
    rank, below, low = q * sum(buckets), 0, 0.0
    for bound, number in zip((*BOUNDS_S, BOUNDS_S[-1]), buckets, strict=False):
        if number and below + number >= rank:
            return low + (bound - low) * max(0.0, rank - below) / number
        below, low = below + number, bound
    return None
