"""codns beside unbound, dnsmasq and dnsdist: `python -m bench.resolver [--quick]`.

All of them forward to the same nsd and are up all the time; only one is asked at a time, in
turns (A B C A B C), and the median of the rounds counts. What is measured is checked: answers
are NOERROR, none are lost, hits do not move nsd's counter of queries and misses all do.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench import common, servers
from bench.common import BenchError, Load, Run
from bench.servers import Server, StartError

ZONE: Final = "bench.example."
FORWARDERS: Final = ("codns", "unbound", "dnsmasq", "dnsdist")
HOT: Final = 5_000  # names asked again and again
KEPT: Final = 100_000  # names for the memory row
CPU_RATE: Final = 50_000
SLOW: Final = f"slow.{ZONE}"
SLOW_S: Final = 3
SLOW_RATE: Final = 200  # a second, so that 600 of them are outstanding
OTHER_RATE: Final = 4_000

CPU_ROW: Final = f"cached at {CPU_RATE:,}/s, CPU µs each"
ISOLATION: Final = f"p99 beside {SLOW_S} s answers / without"

Row = dict[str, list[float]]


class Bench:
    """One run: the servers, the files of queries, the figures so far."""

    def __init__(self, stack: ExitStack, folder: Path, names: Sequence[str], quick: bool) -> None:
        """`names`: which forwarders take part."""
        self.stack, self.folder, self.names = stack, folder, names
        self.seconds, self.rounds = (2.0, 1) if quick else (5.0, 3)
        self.rows: dict[str, Row] = {}
        self.notes: list[str] = []
        zone = folder / "zone"
        zone.write_text(
            f"$ORIGIN {ZONE}\n$TTL 86400\n@ SOA ns hostmaster 1 3600 600 86400 900\n@ NS ns\n"
            "ns A 192.0.2.53\n* A 192.0.2.1\n"
        )
        # as recursive nameservers do: answers without the zone's NS, of one size for everybody
        options = ["minimal-responses: yes"]
        self.nsd = self.up(servers.nsd(folder, {ZONE: zone}, options=options))
        self.hot = [f"hot{i}-www-example-site.{ZONE}" for i in range(HOT)]
        packets = int(self.seconds * 100_000)
        self.files = {
            "plain": common.write_names(folder / "plain", self.hot),
            "COOKIE": common.write_cookies(folder / "cookies", self.hot, packets, 1),
            "case": common.write_cases(folder / "cases", self.hot, packets, 2),
        }
        self.warmers = {
            "plain": self.files["plain"],
            "COOKIE": common.write_cookies(folder / "cookies-before", self.hot, HOT, 3),
            "case": common.write_cases(folder / "cases-before", self.hot, HOT, 4),
        }

    def up(self, server: Server) -> Server:
        """Wait until it serves; it ends with the run."""
        return self.stack.enter_context(server).wait_ready(ZONE)

    def forwarder(self, name: str, upstream: Server, *, cache: int = 10_000) -> Server:
        """Start one of `FORWARDERS`."""
        folder, address = self.folder, upstream.address
        if name == "codns":
            return self.up(servers.codns(folder, [address]))
        if name == "unbound":
            return self.up(servers.unbound(folder, address))
        if name == "dnsmasq":
            return self.up(servers.dnsmasq(folder, address, cache=cache))
        return self.up(servers.dnsdist(folder, address, ZONE))

    def keep(self, row: str, name: str, value: float) -> None:
        """One more measurement."""
        self.rows.setdefault(row, {}).setdefault(name, []).append(value)

    def median(self, row: str, name: str) -> float:
        """Over the rounds."""
        return statistics.median(self.rows[row][name])

    def note(self, row: str, name: str, problems: Sequence[str]) -> None:
        """Say so if a figure should not be believed."""
        self.notes += [f"{row}, {name}: {problem}" for problem in problems]

    def in_turns(self, row: str, forwarders: dict[str, Server], measure: "Measure") -> None:
        """Each forwarder once a round."""
        for round_ in range(self.rounds):
            for name, server in forwarders.items():
                progress(f"{row}: round {round_ + 1} of {self.rounds}, {name}")
                measure(row, name, server, round_)

    def warm(self, server: Server, kind: str = "plain") -> None:
        """All hot names into its cache, gently."""
        binary = kind != "plain"
        load = Load(self.warmers[kind], once=True, outstanding=50, binary=binary)
        for _ in range(2):
            common.run_dnsperf(server, load, self.folder)

    def hits(self, kind: str) -> "Measure":
        """As fast as answers come, and nsd must not notice."""

        def measure(row: str, name: str, server: Server, _round: int) -> None:
            self.warm(server, kind)
            load = Load(self.files[kind], seconds=self.seconds, binary=kind != "plain")
            run, moved = self.flat_out(row, name, server, load)
            if moved > 0.01 * run.completed:
                self.note(row, name, [f"{moved:,} of {run.completed:,} were no hits"])

        return measure

    def misses(self, row: str, name: str, server: Server, round_: int) -> None:
        """Names never asked before, all of which nsd has to see."""
        file = self.folder / f"misses-{round_}"
        if not file.exists():
            count = int(self.seconds * 60_000)
            common.write_names(file, (f"miss{round_}-{i}-www.{ZONE}" for i in range(count)))
        run, moved = self.flat_out(row, name, server, Load(file, self.seconds, once=True))
        if moved < 0.99 * run.completed:
            self.note(row, name, [f"only {moved:,} of {run.completed:,} reached nsd"])

    def flat_out(self, row: str, name: str, server: Server, load: Load) -> tuple[Run, int]:
        """Answers a second and CPU time each; gives the run and how many queries nsd had."""
        queries, cpu = servers.nsd_queries(self.nsd), common.cpu_s(server)
        run = common.run_dnsperf(server, load, self.folder)
        cpu, queries = common.cpu_s(server) - cpu, servers.nsd_queries(self.nsd) - queries
        self.note(row, name, run.problems())
        self.keep(f"{row}, q/s", name, run.rate)
        self.keep(f"{row}, CPU µs each", name, cpu / run.completed * 1e6)
        return run, queries

    def cpu(self, row: str, name: str, server: Server, _round: int) -> None:
        """CPU time a hit, at a fixed rate."""
        self.warm(server)
        load = Load(self.files["plain"], seconds=self.seconds, rate=CPU_RATE)
        before = common.cpu_s(server)
        run = common.run_dnsperf(server, load, self.folder)
        self.keep(row, name, (common.cpu_s(server) - before) / run.completed * 1e6)
        if run.rate < 0.95 * CPU_RATE:
            self.note(row, name, [f"only {run.rate:,.0f}/s"])
        self.note(row, name, run.problems())

    def latency(self, rate: int) -> "Measure":
        """Hits at a fixed rate, whether answers come or not."""

        def measure(row: str, name: str, server: Server, _round: int) -> None:
            self.warm(server)
            load = Load(self.files["plain"], self.seconds, rate=rate, outstanding=20_000)
            times = self.timed(row, name, server, load)
            for percent in (50, 99):
                label = f"{row}, p{percent}, µs"
                self.keep(label, name, common.percentile(times, percent) * 1e6)

        return measure

    def timed(self, row: str, name: str, server: Server, load: Load) -> list[float]:
        """The latencies under a load."""
        output = self.folder / "timed.out"
        process = common.start_dnsperf(server, load, output, each=True)
        self.note(row, name, common.finish_dnsperf(process, output).problems())
        return common.latencies(output)

    def memory(self, row: str) -> None:
        """A fresh one of each, before and after 100,000 names, which have to be hits then."""
        file = common.write_names(
            self.folder / "kept", (f"kept{i}-www-example-site.{ZONE}" for i in range(KEPT))
        )
        load = Load(file, once=True, outstanding=100)
        for name in self.names:
            progress(f"{row}: {name}")
            with ExitStack() as self.stack:
                server = self.forwarder(name, self.nsd, cache=150_000)
                empty = common.memory(server)
                self.note(row, name, common.run_dnsperf(server, load, self.folder).problems())
                full = common.memory(server)
                before = servers.nsd_queries(self.nsd)
                common.run_dnsperf(server, load, self.folder)
                moved = servers.nsd_queries(self.nsd) - before
            if moved > 0.01 * KEPT:
                self.note(row, name, [f"{moved:,} of {KEPT:,} were not kept"])
            self.keep(f"{row}, PSS", name, full.pss)
            self.keep(f"{row}, of which before", name, empty.pss)

    def isolation(self, row: str) -> None:
        """p99 of others with and without names that take 3 s, in turns.

        Without them the same number of queries goes to names that are answered at once.
        """
        rules = [
            "slow = newSuffixMatchNode()",
            f'slow:add("{SLOW}")',
            f"addAction(SuffixMatchNodeRule(slow), DelayAction({SLOW_S * 1000}))",
        ]
        slow = self.up(servers.dnsdist(self.folder, self.nsd.address, ZONE, cache=0, rules=rules))
        forwarders = {name: self.forwarder(name, slow) for name in self.names}
        self.in_turns(row, forwarders, self.with_and_without)
        for name in self.names:
            ratio = self.median("p99 with, µs", name) / self.median("p99 without, µs", name)
            self.keep(row, name, ratio)

    def with_and_without(self, row: str, name: str, server: Server, round_: int) -> None:
        """Half of the others are hits and half misses."""
        self.warm(server)
        seconds = max(self.seconds, SLOW_S + 2)
        order = [("without", ZONE), ("with", SLOW)]
        if round_ % 2:
            order.reverse()  # the first of a forwarder's life is the quickest: not always the same
        for label, suffix in order:
            tag = f"{label}{round_}"
            half = range(int(seconds * OTHER_RATE / 2))
            pairs = [(f"{tag}-o{i}.{ZONE}", self.hot[i % HOT]) for i in half]
            others = [each for pair in pairs for each in pair]
            aside = [f"{tag}-s{i}.{suffix}" for i in range(int(seconds * SLOW_RATE))]
            load = Load(
                common.write_names(self.folder / "aside", aside),
                seconds, rate=SLOW_RATE, once=True, outstanding=10_000, clients=1,
            )  # fmt: skip
            output = self.folder / "aside.out"
            process = common.start_dnsperf(server, load, output, each=False)
            try:
                file = common.write_names(self.folder / "others", others)
                load = Load(file, seconds, rate=OTHER_RATE, once=True, outstanding=10_000)
                times = self.timed(row, name, server, load)
            finally:
                stop(process)
            self.keep(f"p99 {label}, µs", name, common.percentile(times, 99) * 1e6)


Measure = Callable[[str, str, Server, int], None]


def stop(process: "subprocess.Popen[bytes]") -> None:
    """The load aside has done its part; its slow answers may not have come yet."""
    process.terminate()
    process.wait(10)


def progress(text: str) -> None:
    """For whoever watches."""
    print(text, file=sys.stderr, flush=True)


def measure_all(bench: Bench) -> dict[str, str]:
    """Every row. Gives each forwarder's processes and threads."""
    forwarders = {name: bench.forwarder(name, bench.nsd) for name in bench.names}
    bench.in_turns("cached", forwarders, bench.hits("plain"))
    bench.in_turns("cached, random COOKIE", forwarders, bench.hits("COOKIE"))
    bench.in_turns("cached, random case", forwarders, bench.hits("case"))
    bench.in_turns("misses", forwarders, bench.misses)
    bench.in_turns(CPU_ROW, forwarders, bench.cpu)
    peers = [name for name in bench.names if name != "codns"] or bench.names
    rate = int(min(bench.median("cached, q/s", name) for name in peers) / 2)
    bench.in_turns(f"cached at {rate:,}/s", forwarders, bench.latency(rate))
    crews = {name: common.crew(server) for name, server in forwarders.items()}
    for server in forwarders.values():
        server.stop()
    bench.isolation(ISOLATION)
    bench.memory(f"{KEPT:,} cached A, MiB")
    return crews


def disturbance(before: common.Machine, ours: float) -> list[str]:
    """What else went on here meanwhile."""
    now = common.machine()
    others = now.busy - before.busy - (common.ours_s() - ours)
    stolen = now.stolen - before.stolen
    found = [(others, "CPU time that others used"), (stolen, "CPU time that the host took")]
    busy = now.busy - before.busy
    return [f"{what}: {used / busy:.0%} of ours" for used, what in found if used > 0.1 * busy]


def report(bench: Bench, crews: dict[str, str]) -> str:
    """The table, and what to know about it."""
    lines = []
    for row, figures in bench.rows.items():
        higher = "q/s" in row
        medians = {name: bench.median(row, name) for name in figures}
        cells = [f"{value:,.2f}" if value < 100 else f"{value:,.0f}" for value in medians.values()]
        others = {name: value for name, value in medians.items() if name != "codns"}
        ratio = ""
        if "codns" in medians and others:
            best = (max if higher else min)(others, key=lambda name: others[name])
            ratio = f"{medians['codns'] / others[best]:.2f} ({best})"
            if "unbound" in others:
                ratio += f", {medians['codns'] / others['unbound']:.2f}"
        wide = max(common.spread(values) for values in figures.values())
        lines.append([row, *cells, ratio, wide if bench.rounds > 1 else ""])
    header = ["", *bench.names, "codns / best other, / unbound", "spread"]
    text = [common.table(header, lines), ""]
    text += [f"{name}: {crew}" for name, crew in crews.items()]
    text.append(f"medians of {bench.rounds} rounds of {bench.seconds:g} s; dnsperf takes a core")
    text += verdicts(bench)
    text += [f"CAREFUL: {note}" for note in bench.notes]
    return "\n".join(text)


def verdicts(bench: Bench) -> list[str]:
    """What is required of codns, and whether it is so."""
    others = [name for name in bench.names if name != "codns"]
    if "codns" not in bench.names or not others:
        return []

    def against(row: str, names: Sequence[str]) -> float:
        known = [bench.median(row, name) for name in names if name in bench.names]
        return bench.median(row, "codns") / max(known) if known else float("nan")

    isolation = bench.median(ISOLATION, "codns")
    found = [
        ("cached q/s, of the best other's, at least", 0.9, against("cached, q/s", others)),
        ("CPU a hit at 50,000/s, of unbound's, at most", 1.8, against(CPU_ROW, ["unbound"])),
        ("misses q/s, of unbound's, at least", 1.0, against("misses, q/s", ["unbound"])),
        ("p99 beside slow ones, of that without, at most", 1.2, isolation),
    ]
    return [
        f"{'yes' if (value >= limit) == text.endswith('least') else 'NO '}"
        f" {value:.2f}  {text} {limit}"
        for text, limit, value in found
    ]


def main() -> int:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.resolver", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of 2 s each")
    parser.add_argument("--only", default=",".join(FORWARDERS), help="e.g. codns,unbound")
    parser.add_argument("--codns", help="another build's executable, e.g. the compiled one's")
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    args = parser.parse_args()
    if args.codns:
        os.environ["CODNS_BENCH_EXECUTABLE"] = args.codns
    names = [name.strip() for name in args.only.split(",")]
    unknown = [name for name in names if name not in FORWARDERS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(FORWARDERS)}")
    try:
        with tempfile.TemporaryDirectory(prefix="codns-bench-") as folder, ExitStack() as stack:
            for tool in ("dnsperf", "nsd", *(name for name in names if name != "codns")):
                servers.program(tool)
            machine, ours = common.machine(), common.ours_s()
            bench = Bench(stack, Path(folder), names, args.quick)
            crews = measure_all(bench)
            stack.close()
            bench.note("all", "machine", disturbance(machine, ours))
            print(report(bench, crews))
            if args.json:
                figures = {"rows": bench.rows, "crews": crews, "notes": bench.notes}
                args.json.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    except (StartError, BenchError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
