"""The tables, the verdicts against what is aimed at, and the JSON."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bench import common
from bench.masking.faults import FAULTY
from bench.masking.figures import Figures, Interval
from bench.masking.fleet import Cell, Quality
from bench.masking.systems import System
from bench.masking.told import counts

P99_S: Final = 0.030
P999_S: Final = 0.250
UPSTREAM: Final = {"none": 1.15, "periodic": 1.15, "continuous": 1.25, "sporadic": 1.15}
ELSEWHERE_FACTOR: Final = 1.1
ELSEWHERE_MORE_S: Final = 0.002
REMOTE_SHARE: Final = 0.05

Rows = Mapping[System, Mapping[str, Figures]]

HEADER: Final = (
    "ms", "p50", "p99 (95 % interval)", "p99.9", "max", "p99 of misses", "failed",
    "upstream a miss", "p99 nodes 2-4",
)  # fmt: skip


def ms(seconds: float) -> str:
    """Three digits at most where they matter."""
    value = seconds * 1000
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def between(found: Interval) -> str:
    """A figure and its interval."""
    return f"{ms(found.value)} ({ms(found.low)}-{ms(found.high)})"


def row(system: System, found: Figures) -> list[str]:
    """One line of the table."""
    failed = f"{found.failed / found.lookups:.1%}" if found.failed else "0"
    if found.failed_elsewhere:
        failed += f" (+{found.failed_elsewhere} at 2-4)"
    return [
        system.label,
        ms(found.p50),
        between(found.p99),
        ms(found.p999),
        ms(found.most),
        between(found.p99_misses),
        failed,
        f"{found.upstream:.2f}",
        ms(found.p99_elsewhere),
    ]


def tables(rows: Rows, faults: Sequence[str]) -> str:
    """One for each fault."""
    text = []
    for fault in faults:
        lines = [row(system, found[fault]) for system, found in rows.items() if fault in found]
        if lines:
            text += [f"**{fault}**", "", common.table(HEADER, lines), ""]
            text += [*ratios(rows, fault), ""]
    return "\n".join(text)


def ratios(rows: Rows, fault: str) -> list[str]:
    """Our p99 over the best alternative's, for each kind of alternative."""
    ours = {s: f[fault] for s, f in rows.items() if s.program == "codns" and fault in f}
    text = []
    for variant in ("one site", "all sites"):
        others = {s: f[fault] for s, f in rows.items() if s.variant == variant and fault in f}
        if not ours or not others:
            continue
        best = min(others, key=lambda system: others[system].p99.value)
        than = others[best]
        parts = [
            f"{system.variant} {found.p99.value / than.p99.value:.3g} x"
            for system, found in ours.items()
        ]
        text.append(
            f"p99 against the best with {variant} ({best.program}: {ms(than.p99.value)} ms, "
            f"{than.failed / than.lookups:.1%} failed, {than.upstream:.2f} upstream a miss): "
            + ", ".join(parts)
        )
    return text


class Verdict(NamedTuple):
    """Something aimed at, and what came of it."""

    aim: str
    got: str
    met: bool

    def __str__(self) -> str:
        return f"{'yes' if self.met else 'NO '}  {self.aim}: {self.got}"


def verdicts(rows: Rows) -> list[Verdict]:
    """For the default policy, adaptive."""
    found = rows.get(System("codns", "adaptive"), {})
    said = []
    healthy = found.get("none")
    for fault in FAULTY:
        got = found.get(fault)
        if got is None:
            continue
        limit = UPSTREAM[fault]
        said += [
            Verdict(f"{fault} p99 <= {ms(P99_S)} ms", between(got.p99), got.p99.value <= P99_S),
            Verdict(f"{fault} p99.9 <= {ms(P999_S)} ms", ms(got.p999), got.p999 <= P999_S),
            Verdict(f"{fault} failed 0", f"{got.failed} of {got.lookups:,}", not got.failed),
            Verdict(
                f"{fault} upstream a miss <= {limit}", f"{got.upstream:.3f}", got.upstream <= limit
            ),
        ]
        if healthy is not None:
            most = healthy.p99_elsewhere * ELSEWHERE_FACTOR + ELSEWHERE_MORE_S
            met = got.p99_elsewhere <= most
            aim = f"{fault} p99 of nodes 2-4 <= {ms(most)} ms"
            said.append(Verdict(aim, ms(got.p99_elsewhere), met))
    if healthy is not None and healthy.asked_elsewhere is not None:
        share = healthy.asked_elsewhere
        aim = f"all healthy, misses that also went to a peer <= {REMOTE_SHARE:.0%}"
        said.append(Verdict(aim, f"{share:.1%}", share <= REMOTE_SHARE))
    return said


def own_counts(cells: Sequence[Cell]) -> list[str]:
    """What the codns fleets tell of themselves, if they do."""
    lines = []
    for cell in cells:
        found = counts(cell.told)
        if found is not None:
            misses = sum(lookup.miss for lookup in cell.lookups)
            lines.append(
                [
                    f"{cell.system.variant}, {cell.fault}",
                    f"{found.remote / misses:.3f}",
                    *(f"{found[i]:,}" for i in range(8)),
                    f"{found.saved_s:,.1f}",
                    found.path,
                ]
            )
    if not lines:
        return []
    header = (
        "codns counts itself", "remote a miss", "remote", "won", "busy", "lost", "denied",
        "retransmitted", "probes", "prefetched", "saved, s", "node 1's path at the end",
    )  # fmt: skip
    return [common.table(header, lines), ""]


def quality(found: Mapping[str, Quality]) -> list[str]:
    """How far each batch may be believed."""
    text = ["99.9th percentiles of lateness, ms, and processors in use:"]
    for label, q in found.items():
        mark = "VOID " if q.void else "CAREFUL " if q.doubtful else ""
        late = f"echo {ms(q.echo_s)}, client {ms(q.client_late_s)}"
        late += f", nameservers {ms(q.emulator_late_s)}"
        used = f"{q.cpu:.2f} in use, {q.stolen:.2f} taken by the host"
        text.append(f"{mark}{label}: {late}; {used}")
    return text


def document(
    rows: Rows, found: Mapping[str, Quality], settings: Mapping[str, object]
) -> dict[str, object]:
    """For machines."""
    cells = [
        {"system": system.label, "fault": fault, **_plain(figures)}
        for system, by_fault in rows.items()
        for fault, figures in by_fault.items()
    ]
    return {
        "settings": dict(settings),
        "cells": cells,
        "quality": {label: {**q._asdict(), "void": q.void} for label, q in found.items()},
        "verdicts": [verdict._asdict() for verdict in verdicts(rows)],
    }


def _plain(figures: Figures) -> dict[str, object]:
    """Intervals too as objects."""
    return {
        key: value._asdict() if isinstance(value, Interval) else value
        for key, value in figures._asdict().items()
    }


def write_json(file: Path, content: Mapping[str, object]) -> None:
    """Pretty, for diffs."""
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
