"""What is noted every few seconds, one JSON object a line, so that a broken run is not lost.

Four kinds of lines, `at` in seconds since the load began:

  {"settings": {...}}                                                   the first one
  {"at", "node", "role", "pid", "rss", "pss", "anon", "fds", "threads", "cpu_s", "metrics"}
                      a process; KiB; `metrics` of masters only: tables, lag, questions
  {"at", "node", "asked", "failed", "wrong", "p50", "p99", "late"}      the clients of a node; ms.
                      `late`: how late they left, at the 99th percentile: what this machine did
  {"at", "fault" or "chore", ...}                                       what happened
"""

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import trio

from bench.common import TICK_S, percentile
from bench.soak import http
from bench.soak.client import Counts
from bench.soak.fleet import Fleet
from bench.soak.judge import Key

# Gauges of /metrics that are sizes of tables, and are judged
TABLES: Final = (
    "codns_memory_blocks", "codns_cache_entries", "codns_cache_bytes",
    "codns_failures_remembered", "codns_slow_domains", "codns_private_zones_learned",
    "codns_inflight_lookups", "codns_inflight_requests", "codns_remote_queries_inflight",
    "codns_served_inflight", "codns_served_waiting", "codns_slave_jobs",
    "codns_slave_jobs_waiting", "codns_tcp_connections_open", "codns_http_connections",
    "codns_peer_seats", "codns_rate_limit_clients", "codns_backlog_queries",
)  # fmt: skip
MEMORY: Final = {"Rss": "rss", "Pss": "pss", "Anonymous": "anon"}
LAG: Final = "codns_event_loop_lag_seconds"
QUESTIONS: Final = "codns_dns_questions_total"
LATE_MS_MAX: Final = 20.0  # beside a sample with more, times are those of a busy machine: not used


def process(pid: int) -> dict[str, float] | None:
    """Memory in KiB, descriptors, threads, CPU time; None: it has gone."""
    folder = Path(f"/proc/{pid}")
    with contextlib.suppress(OSError, ValueError):
        found: dict[str, float] = {}
        for line in (folder / "smaps_rollup").read_text().splitlines():
            key, _, value = line.partition(":")
            if key in MEMORY:
                found[MEMORY[key]] = int(value.split()[0])
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        found["fds"] = len(os.listdir(folder / "fd"))  # noqa: PTH208 - names are enough
        found["threads"] = int(fields[17])
        found["cpu_s"] = round((int(fields[11]) + int(fields[12])) * TICK_S, 2)
        return found if "rss" in found else None
    return None


def metrics(text: str) -> dict[str, float]:
    """Of a scrape: the tables (labels added up), lag and questions."""
    found: dict[str, float] = {}
    wanted = {*TABLES, QUESTIONS, f"{LAG}_sum", f"{LAG}_count"}
    for line in text.splitlines():
        name = line.partition(" ")[0].partition("{")[0]
        if name in wanted:
            found[name] = found.get(name, 0.0) + float(line.rpartition(" ")[2])
    return found


def clients(node: int, counts: Counts, late: list[float]) -> dict[str, Any]:
    """A line about those of one node."""
    times = sorted(counts.times)
    row: dict[str, Any] = {"node": node, "role": "clients", "pid": 0}
    row |= {"asked": counts.asked, "failed": counts.failed, "wrong": counts.wrong}
    for percent in (50, 99):
        value = percentile(times, percent) * 1000 if times else None
        row[f"p{percent}"] = value and round(value, 3)
    row["late"] = round(percentile(sorted(late), 99) * 1000, 3) if late else None
    return row


async def sample(fleet: Fleet) -> list[dict[str, Any]]:
    """A line for every process there is."""
    # in a thread: /proc takes longer than a client would like to wait
    rows = await trio.to_thread.run_sync(processes, fleet)
    for row in rows:
        if row["role"] == "master":
            answer = await http.ask(fleet.nodes[row["node"]].http, "/metrics")
            row["metrics"] = metrics(answer.body.decode()) if answer else {}
    return rows


def processes(fleet: Fleet) -> list[dict[str, Any]]:
    """Of all nodes; masters first of their own."""
    rows: list[dict[str, Any]] = []
    for node in fleet.nodes:
        for i, pid in enumerate(node.pids()):
            found = process(pid)
            role = "slave" if i else "master"
            rows += [{"node": node.index, "role": role, "pid": pid, **found}] if found else []
    return rows


def series(
    rows: Iterable[dict[str, Any]], *, quiet_only: bool = True
) -> dict[Key, list[tuple[float, float]]]:
    """What is judged and drawn: every figure of every process over time.

    Lag and CPU time are differences between two samples. With `quiet_only` times are left out
    where the machine was busy: `late` of the sample beside them.
    """
    found: dict[Key, list[tuple[float, float]]] = {}
    last: dict[tuple[int, int], dict[str, Any]] = {}
    busy: dict[float, bool] = {}
    rows = [row for row in rows if "role" in row]
    for row in rows:
        if row["role"] == "clients":
            late = row["late"] is None or row["late"] > LATE_MS_MAX
            busy[row["at"]] = busy.get(row["at"], False) or late

    def add(row: dict[str, Any], name: str, value: float | None) -> None:
        if value is not None:
            key = Key(row["node"], row["role"], row["pid"], name)
            found.setdefault(key, []).append((row["at"], value))

    for row in rows:
        quiet = not (quiet_only and busy.get(row["at"], False))
        if row["role"] == "clients":
            for name in ("p50", "p99"):
                add(row, f"{name}_ms", row[name] if quiet else None)
            continue
        for name in ("rss", "pss", "anon", "fds", "threads"):
            add(row, name, row[name])
        told = row.get("metrics", {})
        for name in TABLES:
            add(row, name, told.get(name))
        before = last.get((row["node"], row["pid"]))
        if before and quiet and told:
            add(row, "lag_ms", ratio(before, row, f"{LAG}_sum", f"{LAG}_count"))
            add(row, "cpu_ms_per_query", ratio(before, row, "cpu_s", QUESTIONS))
        last[row["node"], row["pid"]] = row
    return found


def ratio(before: dict[str, Any], row: dict[str, Any], above: str, below: str) -> float | None:
    """Growth of one counter over that of another, in thousandths; None: none."""

    def growth(name: str) -> float:
        new, old = ({**each, **each.get("metrics", {})} for each in (row, before))
        return float(new.get(name, 0.0) - old.get(name, 0.0))

    return growth(above) / growth(below) * 1000 if growth(below) > 0 else None


def read(file: Path) -> list[dict[str, Any]]:
    """All lines of a file; the last may be half written."""
    rows = []
    for line in file.read_text().splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            rows.append(json.loads(line))
    return rows
