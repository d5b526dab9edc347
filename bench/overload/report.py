"""How the figures look: tables, aims, JSON."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bench.common import table
from bench.overload import flood, tcp
from bench.overload.figures import Kind

RATIO: Final = 0.9  # what was aimed at
RECOVERY_S: Final = 2.0
OUTSTANDING_MAX: Final = 8_192
GROWTH: Final = 1.1  # of memory, from the first second of overload to its last
UNAFFECTED: Final = 1.5  # p50 beside, to without; p99 gets twice that
REASONS: Final = ("queries_refused", "queries_dropped", "udp_kernel_drops", "tcp_")
HEADER: Final = (
    "a second",
    "offered",
    "answered",
    "told",
    "silence",
    "failed",
    "p50 ms",
    "p99 ms",
)


def row(name: str, kind: Kind) -> list[str]:
    """One line of the table."""
    rates = (kind.offered, kind.answered, kind.shed, kind.silent + kind.late, kind.failed)
    times = (kind.p50_s, kind.p99_s)
    return [name, *(f"{rate:,.0f}" for rate in rates), *(f"{1e3 * t:.1f}" for t in times)]


def verdict(well: bool, text: str) -> str:
    """Met or not."""
    return f"{'met  ' if well else 'MISSED'} {text}"


def counters(counted: Mapping[str, float]) -> list[str]:
    """codns's own word on what it did not serve."""
    return [
        f"  {name} {value:,.0f}"
        for name, value in counted.items()
        if value and any(f"codns_{reason}" in name for reason in REASONS)
    ]


def of_flood(result: flood.Result, lengths: flood.Lengths) -> list[str]:
    """Everything about the flood over UDP."""
    rows = [row(f"{rate:,.0f} unique", kind) for rate, kind in result.steps[-6:]]
    for name, (unique, cached) in result.phases.items():
        rows += [row(f"{name}, unique", unique), row(f"{name}, cached", cached)]
    start, end = lengths.normal + 1, lengths.normal + lengths.overload
    under = [sample for sample in result.samples if start <= sample.at_s <= end]
    waiting = [sample.waiting for sample in result.samples if sample.waiting is not None]
    growth = under[-1].pss / under[0].pss
    used = (under[-1].cpu_s - under[0].cpu_s) / (under[-1].at_s - under[0].at_s)
    cached = result.phases["overload"][1]
    recovery = "never" if result.recovery_s is None else f"{result.recovery_s:.1f} s"
    late = result.punctual
    left = (
        f"the client's queries left {1e3 * late.p50_s:.1f} ms late in the median, "
        f"{1e3 * late.p99_s:.1f} at p99, {1e3 * late.worst_s:.0f} at most; {late.lost} lost"
    )
    stopped = (
        f"codns used {used:.3f} of a core, and was stopped in {result.throttled[1]:,} of "
        f"{result.throttled[0]:,} periods"
    )
    return [
        table(HEADER, rows),
        "",
        f"peak: {result.peak:,.0f} unique names a second at {flood.SHARE:.0%} of a core",
        verdict(result.ratio >= RATIO, f"answered under overload / peak: {result.ratio:.2f}"),
        verdict(cached.share >= 0.99, f"cached names answered meanwhile: {cached.share:.1%}"),
        verdict(growth <= GROWTH, f"memory: PSS {under[0].pss:.0f} MiB, then {under[-1].pss:.0f}"),
        verdict(
            max(waiting) <= OUTSTANDING_MAX,
            f"in flight at most: {max(waiting):,.0f} of {OUTSTANDING_MAX:,}",
        ),
        verdict(
            result.recovery_s is not None and result.recovery_s <= RECOVERY_S,
            f"time until all is as before: {recovery}",
        ),
        *counters(result.counted),
        left,
        stopped,
        *doubts(result, used),
    ]


def doubts(result: flood.Result, used: float) -> list[str]:
    """Why the figures should not be believed; empty if they may."""
    found = []
    if result.punctual.p99_s > flood.LATE_S_MAX:
        found.append("doubtful: the client could not keep to its schedule")
    if used < 0.9 * flood.SHARE:
        found.append("doubtful: the machine was too busy to give codns its share")
    return found


def of_tcp(result: tcp.Result) -> list[str]:
    """Everything about the TCP connections."""
    rows = []
    for name, (unique, cached) in (("without", result.without), ("beside", result.beside)):
        rows += [row(f"{name}, unique", unique), row(f"{name}, cached", cached)]
    pairs = list(zip(result.without, result.beside, strict=True))
    p50 = max(beside.p50_s / without.p50_s for without, beside in pairs)
    p99 = max(beside.p99_s / without.p99_s for without, beside in pairs)
    lost = max(1 - beside.share for _, beside in pairs)
    pss = [sample.pss for sample in result.samples]
    words = ", ".join(f"{key} {value:,}" for key, value in result.crowd.items())
    grown = (
        f"codns: descriptors {result.files_before} before, {result.files} at most; "
        f"PSS {min(pss):.0f} to {max(pss):.0f} MiB"
    )
    return [
        table(HEADER, rows),
        "",
        verdict(p50 <= UNAFFECTED, f"UDP p50 beside / without: {p50:.2f}"),
        verdict(p99 <= 2 * UNAFFECTED, f"UDP p99 beside / without: {p99:.2f}"),
        verdict(lost <= 0.001, f"UDP queries not answered: {lost:.2%}"),
        f"the crowd: {words}",
        grown,
        *counters(result.counted),
    ]


def document(kind: str, result: flood.Result | tcp.Result, settings: Mapping[str, Any]) -> Any:
    """All figures for JSON."""
    return {"bench": f"overload {kind}", "settings": dict(settings), **plain(result)}


def plain(value: Any) -> Any:
    """NamedTuples as objects, all through."""
    if hasattr(value, "_asdict"):
        return {key: plain(item) for key, item in value._asdict().items()}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value
