"""What every benchmark here needs: load from dnsperf, CPU time, memory, files of queries, tables.

dnsperf itself takes a whole core. On a small machine its figures are therefore those of client,
forwarder and nameserver together; ratios between forwarders, measured in turns within one run,
are what carries over.
"""

import os
import random
import re
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bench.servers import Server, program

TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """A measurement that measured something else than it should."""


class Load(NamedTuple):
    """What dnsperf is to do."""

    file: Path
    seconds: float | None = None  # at most
    once: bool = False  # one pass through the file at most
    rate: int | None = None  # queries a second; None: as fast as answers come
    clients: int = 8  # sockets
    outstanding: int = 150
    binary: bool = False  # the file holds TCP-framed messages, not text


class Run(NamedTuple):
    """What dnsperf counted."""

    sent: int
    completed: int
    lost: int
    noerror: int
    seconds: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.completed / self.seconds

    def problems(self) -> list[str]:
        """Why its figures should not be believed; empty if they may."""
        found = []
        if self.lost > 0.001 * self.sent:
            found.append(f"{self.lost:,} of {self.sent:,} lost")
        if self.noerror < 0.999 * self.completed:
            found.append(f"{self.completed - self.noerror:,} of {self.completed:,} not NOERROR")
        return found


def start_dnsperf(
    server: Server, load: Load, output: Path, *, each: bool
) -> "subprocess.Popen[bytes]":
    """Start it; `each`: a line for every answer, with its latency."""
    command = [program("dnsperf"), "-s", server.host, "-p", str(server.port), "-t", "5"]
    command += ["-d", str(load.file), "-c", str(load.clients), "-q", str(load.outstanding)]
    options = {
        "-l": load.seconds,
        "-n": 1 if load.once else None,
        "-Q": load.rate,
    }
    for option, value in options.items():
        command += [option, f"{value:g}"] if value is not None else []
    command += ["-B"] if load.binary else []
    command += ["-v"] if each else []
    with output.open("wb") as file:
        return subprocess.Popen(command, stdout=file, stderr=file)


def finish_dnsperf(process: "subprocess.Popen[bytes]", output: Path) -> Run:
    """Wait for it and read what it counted, at the end of what it printed."""
    code = process.wait(300)
    with output.open("rb") as file:
        file.seek(max(0, output.stat().st_size - 4096))
        text = file.read().decode("utf-8", "replace")
    if code != 0 or "Queries completed" not in text:
        raise BenchError(f"dnsperf ended with {code}:\n{text}")

    def number(pattern: str) -> float:
        found = re.search(pattern, text)
        return float(found[1]) if found else 0.0

    return Run(
        int(number(r"Queries sent:\s+(\d+)")),
        int(number(r"Queries completed:\s+(\d+)")),
        int(number(r"Queries lost:\s+(\d+)")),
        int(number(r"NOERROR (\d+)")),
        number(r"Run time \(s\):\s+([\d.]+)"),
    )


def run_dnsperf(server: Server, load: Load, folder: Path) -> Run:
    """Send this load."""
    output = folder / "dnsperf.out"
    return finish_dnsperf(start_dnsperf(server, load, output, each=False), output)


def latencies(output: Path) -> list[float]:
    """Of every answer, in seconds, ascending; from what dnsperf printed with `each`."""
    with output.open("rb") as file:
        times = [float(line.rsplit(b" ", 1)[1]) for line in file if line.startswith(b"> NOERROR")]
    times.sort()
    return times


def percentile(ascending: Sequence[float], percent: float) -> float:
    """Nearest rank."""
    return ascending[min(len(ascending) - 1, int(len(ascending) * percent / 100))]


def cpu_s(server: Server) -> float:
    """CPU time that its processes have used so far, user and system."""
    total = 0
    for pid in server.pids():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total * TICK_S


class Machine(NamedTuple):
    """CPU time since boot, in seconds: everybody's, and what the host took away."""

    busy: float
    stolen: float


def machine() -> Machine:
    """Now (proc(5): user nice system idle iowait irq softirq steal)."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split()[1:9]]
    stolen = fields[7]
    return Machine((sum(fields) - fields[3] - fields[4] - stolen) * TICK_S, stolen * TICK_S)


def ours_s() -> float:
    """CPU time of this process and of all that it has started and that have ended."""
    return sum(os.times()[:4])


class Memory(NamedTuple):
    """Of all processes together, in MiB. PSS counts shared pages once."""

    rss: float
    pss: float


def memory(server: Server) -> Memory:
    """What it takes now."""
    sums = {"Rss": 0, "Pss": 0}
    for pid in server.pids():
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            key, _, value = line.partition(":")
            if key in sums:
                sums[key] += int(value.split()[0])
    return Memory(sums["Rss"] / 1024, sums["Pss"] / 1024)


def crew(server: Server) -> str:
    """How many processes and threads it has."""
    pids = server.pids()
    threads = sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids)
    return f"{len(pids)} process{'es' if len(pids) > 1 else ''}, {threads} threads"


def write_names(file: Path, names: Iterable[str]) -> Path:
    """A dnsperf file that asks for A of each."""
    file.write_text("".join(f"{name} A\n" for name in names))
    return file


def question(name: str) -> bytes:
    """Question section for A IN of a plain host name."""
    labels = name.rstrip(".").encode("ascii").split(b".")
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0\0\1\0\1"


def write_cookies(file: Path, names: Sequence[str], count: int, seed: int) -> Path:
    """Messages as dig sends them: AD, OPT, and a client cookie that never comes twice."""
    chance = random.Random(seed)
    head = bytes.fromhex("0000 0120 0001 0000 0000 0001")
    opt = bytes.fromhex("00 0029 04d0 00000000 000c 000a 0008")
    asked = [head + question(name) + opt for name in names]
    with file.open("wb") as out:
        for i in range(count):
            message = asked[i % len(asked)] + chance.randbytes(8)
            out.write(len(message).to_bytes(2, "big") + message)
    return file


def write_cases(file: Path, names: Sequence[str], count: int, seed: int) -> Path:
    """Messages whose names have each letter in upper or lower case at random (0x20)."""
    chance = random.Random(seed)
    head = bytes.fromhex("0000 0100 0001 0000 0000 0000")
    upper = [name.upper() for name in names]
    with file.open("wb") as out:
        for i in range(count):
            k = i % len(names)
            bits = chance.getrandbits(len(names[k]))
            name = "".join(
                big if bits >> j & 1 else small
                for j, (small, big) in enumerate(zip(names[k], upper[k], strict=True))
            )
            message = head + question(name)
            out.write(len(message).to_bytes(2, "big") + message)
    return file


def spread(values: Sequence[float]) -> str:
    """Half the range over the median: how far rounds disagree."""
    middle = statistics.median(values)
    return f"±{(max(values) - min(values)) / 2 / middle:.0%}" if middle else ""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns: first to the left, others to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return f"| {' | '.join([first, *rest])} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(header), line(rule), *(line(row) for row in rows)])
