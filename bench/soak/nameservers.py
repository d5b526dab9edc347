"""The nameservers of a soak: `bench.masking.emulator` with more kinds of names and of faults.

`python -m bench.soak.nameservers SPEC`: prints `ready`, reads `start TIME`, answers until its
standard input ends. What it says of which name: `plan`. Nothing is written down of each query: an
hour's would be much.
"""

import gc
import heapq
import json
import os
import signal
import sys
import time
from bisect import bisect_right
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from bench.masking import emulator
from bench.masking.emulator import APEX, NS, OPT_RECORD, ROOT, SOA, SOA_DATA, A, Query, record
from bench.masking.load import Traits, traits, wire_name
from bench.soak import plan

TTLS: Final = (1, 5, 30, 60, 300, 3600)
CNAME, TXT, ANY = 5, 16, 255
UDP_MAX: Final = 1232
SLOW_NAME_S: Final = 0.300
SLOW_SERVER_S: Final = 0.400
LOSS: Final = 0.3
SIZES: Final = {"big": 4_000, "huge": 30_000}
CHUNK: Final = bytes((250,)) + bytes(250)  # a character-string of TXT


def kind_of(qname: bytes) -> str:
    """The letters its first label begins with."""
    label = qname[1 : 1 + qname[0]] if qname else b""
    return label.rstrip(b"0123456789-").decode("ascii", "replace")


def ttl_of(found: Traits) -> int:
    """By the name: short and long."""
    return TTLS[int(found.draw * len(TTLS))]


def _records(query: Query, kind: str, found: Traits) -> list[bytes]:
    """The answer section; empty for NODATA."""
    here, ttl = b"\xc0\x0c", ttl_of(found)
    if query.qname in (APEX, ROOT) and query.qtype in (SOA, NS):
        data = SOA_DATA if query.qtype == SOA else wire_name("ns.example.")
        return [record(here, query.qtype, 3600, data)]
    if not query.qname.endswith(APEX):
        return []
    if kind in SIZES and query.qtype == A:
        count = SIZES[kind] // 16
        return [record(here, A, ttl, bytes((198, 18, *divmod(i, 256)))) for i in range(count)]
    if kind == "alias" and query.qtype == A:
        target = wire_name(f"www{found.address[3] % plan.POPULAR}.site0.example.")
        return [record(here, CNAME, ttl, target), record(target, A, ttl, found.address)]
    if kind == "inside" and query.qtype == A:
        return [record(here, A, ttl, b"\x0a" + found.address[1:])]
    if query.qtype in (A, ANY):
        return [record(here, A, ttl, found.address)]
    return [record(here, TXT, ttl, CHUNK)] if query.qtype == TXT else []


def answer(query: Query, *, tcp: bool, servfail: bool) -> bytes:
    """The whole message, cut over UDP if it is too long."""
    kind, found = kind_of(query.qname), traits(query.qname)
    rcode, answers, authority = 0, [], b""
    if servfail or kind == "broken":
        rcode = 2
    elif kind != "no":
        answers = _records(query, kind, found)
    if rcode == 0 and not answers:
        inside = query.qname.endswith(APEX)
        rcode = 3 if kind == "no" or not (inside or query.qname == ROOT) else 0
        authority = record(APEX if inside else ROOT, SOA, 60, SOA_DATA)
    body = b"".join(answers)
    cut = not tcp and len(body) > UDP_MAX - 300
    if cut:
        answers, body = [], b""
    flags = bytes((0x80 | query.wire[2] & 0x79 | cut << 1, 0x80 | query.wire[3] & 0x10 | rcode))
    counts = (1, len(answers), len(authority) > 0, query.edns)
    head = query.wire[:2] + flags + b"".join(n.to_bytes(2, "big") for n in counts)
    extra = OPT_RECORD if query.edns else b""
    return head + query.wire[12 : query.end] + body + authority + extra


class Script:
    """The faults of one nameserver."""

    def __init__(self, site: int, seconds: float) -> None:
        kinds = ("silent", "all silent", "servfail", "slow", "lossy")
        self.faults = [
            fault for fault in plan.faults(seconds) if site in fault.nodes and fault.kind in kinds
        ]
        self.starts = [fault.start for fault in self.faults]

    def at(self, t: float) -> str | None:
        """What is wrong at `t`, if anything."""
        i = bisect_right(self.starts, t) - 1
        return self.faults[i].kind if i >= 0 and t < self.faults[i].end else None


class World(emulator.Emulator):
    """All nameservers in one loop."""

    def __init__(self, specs: list[emulator.Spec], seconds: float) -> None:
        super().__init__(specs, seconds)
        self.scripts = [Script(spec.site, seconds) for spec in specs]
        self.asked = 0

    def received(
        self,
        nameserver: emulator.Nameserver,
        wire: bytes,
        to: "emulator.Nameserver | emulator.Connection",
        address: Any,
    ) -> None:
        """One query: answered later, or never."""
        now = time.monotonic()
        query = Query.parse(wire)
        if query is None:
            return
        self.asked += 1
        draw = int.from_bytes(os.urandom(4), "big") / 2**32
        wrong = self.scripts[nameserver.index].at(now - nameserver.start)
        if wrong in ("silent", "all silent") or (wrong == "lossy" and draw < LOSS):
            return
        delay = emulator.MEDIAN_S * (0.5 + draw)
        delay += SLOW_NAME_S if kind_of(query.qname) == "slow" else 0.0
        delay += SLOW_SERVER_S if wrong == "slow" else 0.0
        tcp = isinstance(to, emulator.Connection)
        message = answer(query, tcp=tcp, servfail=wrong == "servfail")
        self.sent += 1
        heapq.heappush(self.due, (now + delay, self.sent, to, message, address))

    def send_due(self) -> None:
        super().send_due()
        del self.seen.late_s[:]


def main() -> None:
    """The process."""
    spec = json.loads(Path(sys.argv[1]).read_text())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the bench, which ends us
    world = World([emulator.Spec(*row) for row in spec["nameservers"]], spec["seconds"])
    with suppress(OSError):
        os.nice(-10)  # it stands for other machines, which this one's load does not slow down
    gc.disable()
    print("ready", flush=True)
    world.run()


if __name__ == "__main__":
    main()
