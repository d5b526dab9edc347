"""What came out, for people and as JSON."""

from collections.abc import Sequence
from typing import Any, Final

from bench.common import table
from bench.soak import judge, plan, sampler
from bench.soak.judge import HOUR_S, WARM_SHARE, Key, Verdict

# A full run: what is shorter has too little time to warm up, and is a rehearsal
FULL_S: Final = 3600.0
SETTLE_S: Final = 10.0  # after a fault: a question asked in it may take 5 s to fail, a sample 5 s
SHARPNESS: Final = ("rss", "anon", "codns_memory_blocks", "fds")  # of masters
KIB: Final = 1024


def line(at: float, seconds: float, rows: Sequence[dict[str, Any]]) -> str:
    """Progress, of one sample."""
    masters = [row for row in rows if row["role"] == "master"]
    asked = [row for row in rows if row["role"] == "clients"]
    rss = " ".join(f"{row['rss'] / KIB:.1f}" for row in masters)
    fds = " ".join(str(row["fds"]) for row in masters)
    slow = max((row["p99"] or 0.0 for row in asked), default=0.0)
    failed, wrong = (sum(row[key] for row in asked) for key in ("failed", "wrong"))
    late = max((row["late"] or 0.0 for row in asked), default=0.0)
    return (
        f"{at / 60:5.1f} of {seconds / 60:.0f} min  RSS {rss} MiB  fds {fds}  "
        f"p99 {slow:.0f} ms  failed {failed}  wrong {wrong}  late {late:.0f} ms"
    )


class Report:
    """Of one run's lines."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        settings = [row["settings"] for row in rows if "settings" in row]
        self.settings: dict[str, Any] = settings[0]
        self.seconds = float(self.settings["seconds"])
        self.series = judge.floored(sampler.series(rows))
        self.verdicts = judge.verdicts(self.series, self.seconds)
        self.faults = [row for row in rows if "fault" in row]
        self.clients = [row for row in rows if row.get("role") == "clients"]
        told = [row["troubles"] for row in rows if "troubles" in row]
        self.troubles: list[str] = told[0] if told else ["the run was broken off"]
        self.growing = {key: found for key, found in self.verdicts.items() if found.growing}
        processes = {k: v for k, v in self.verdicts.items() if k.name == "rss"}
        judged = {(k.node, k.role, k.pid) for k, found in processes.items() if found.judged}
        everybody = {(k.node, k.role, k.pid) for k in processes}
        self.busy = sum(
            not found.judged for key, found in self.verdicts.items() if key.role == "clients"
        )
        self.judged, self.short = sorted(judged), sorted(everybody - judged)

    @property
    def rehearsal(self) -> bool:
        """Too short a run: growth is shown, and is no verdict."""
        return self.seconds < FULL_S

    @property
    def broken(self) -> bool:
        """Exit code 1."""
        return bool(self.troubles) or bool(self.growing and not self.rehearsal)

    def queries(self) -> float:
        """An hour and node."""
        return float(self.settings["rate"]) * HOUR_S

    def failures(self) -> tuple[int, int, int]:
        """Asked, failed, and failed while nothing was wrong there."""
        asked = sum(row["asked"] for row in self.clients)
        failed = sum(row["failed"] for row in self.clients)
        quiet = sum(row["failed"] for row in self.clients if not self.trouble_at(row))
        return asked, failed, quiet

    def trouble_at(self, row: dict[str, Any]) -> bool:
        """Whether a fault of this node could still be felt."""
        at = row["at"]
        return any(
            row["node"] in fault["nodes"] and fault["at"] <= at <= fault["end"] + SETTLE_S
            for fault in self.faults
        )

    def worst(self) -> dict[str, tuple[Key, Verdict]]:
        """Of each figure and role the series nearest to its limit, or beyond."""
        found: dict[str, tuple[Key, Verdict]] = {}
        for key, verdict in self.verdicts.items():
            name = f"{key.role}: {key.name}"
            if verdict.judged and (name not in found or rank(verdict) > rank(found[name][1])):
                found[name] = key, verdict
        return found

    def sharpness(self) -> dict[str, float]:
        """The least leak an hour that would have been found, in the worst of the masters."""
        found: dict[str, float] = {}
        for key, points in self.series.items():
            sharp = key.role == "master" and key.name in SHARPNESS
            if sharp and self.verdicts[key].judged:
                least = judge.sensitivity(points, judge.limit_of(key.name), self.seconds)
                found[key.name] = max(found.get(key.name, 0.0), least)
        return found

    def text(self) -> str:
        """All of it."""
        rows = [
            [name, f"{key.node + 1}", f"{v.level:,.4g}", f"{v.slope:+,.3g}", f"{v.limit:,.3g}",
             f"{v.chance:.2g}", "GROWS" if v.growing else "flat"]
            for name, (key, v) in sorted(self.worst().items())
        ]  # fmt: skip
        header = ["figure", "node", "level", "slope an hour", "limit", "chance", ""]
        asked, failed, quiet = self.failures()
        warm = WARM_SHARE * self.seconds
        lines = [
            (f"{self.seconds:g} s, judged from {warm:g} s after each process began, in cycles of"
            f" {plan.cycle_s(self.seconds):g} s; the worst of all processes of a kind:"),
            "", table(header, rows), "",
            f"clients: {asked:,} questions, {failed:,} failed, {quiet:,} of them with no fault",
            f"judged: {', '.join(map(who, self.judged)) or 'none'}",
            f"lived too short a time: {', '.join(map(who, self.short)) or 'none'}",
            *(["latencies of some nodes: not judged, the machine was too busy"] * bool(self.busy)),
            *self.sharp_lines(),
            *(f"GROWS: {key}: {v.slope:+,.3g} an hour at {v.level:,.4g}, limit {v.limit:,.3g},"
              f" chance {v.chance:.2g}" for key, v in sorted(self.growing.items())),
            *(f"TROUBLE: {each}" for each in self.troubles),
            f"verdict: {self.verdict()}",
        ]  # fmt: skip
        return "\n".join(lines)

    def verdict(self) -> str:
        """One line."""
        if self.broken:
            return "broken"
        if self.rehearsal or not self.judged:
            return "no trouble; growth is judged in a run of an hour"
        return "nothing grows"

    def sharp_lines(self) -> list[str]:
        """What a leak would have to be to stay unseen."""
        units = {
            "rss": ("bytes of RSS", KIB),
            "anon": ("bytes of anonymous memory", KIB),
            "codns_memory_blocks": ("objects", 1),
            "fds": ("descriptors", 1),
        }
        found = []
        for name, least in self.sharpness().items():
            unit, factor = units[name]
            each = least * factor / self.queries()
            found.append(f"would have been seen: {each:.2g} {unit} a query ({least:,.3g} an hour)")
        return found

    def document(self) -> dict[str, Any]:
        """For programs."""
        asked, failed, quiet = self.failures()
        return {
            "settings": self.settings,
            "verdict": self.verdict(),
            "broken": self.broken,
            "troubles": self.troubles,
            "clients": {"asked": asked, "failed": failed, "failed_without_fault": quiet},
            "seen": self.sharpness(),
            "series": [
                {**key._asdict(), **v._asdict(), "judged": v.judged, "growing": v.growing}
                for key, v in sorted(self.verdicts.items())
            ],
        }


def rank(verdict: Verdict) -> tuple[bool, float]:
    """How near to being growth."""
    return verdict.growing, verdict.slope / verdict.limit


def who(process: tuple[int, str, int]) -> str:
    """A process."""
    node, role, pid = process
    return f"node {node + 1} {role} {pid}"
