"""Those who ask: each arrival is a task with a socket of its own, from one of 250 addresses.

What is answered is checked: id, rcode, and for ordinary names the address that belongs to them. A
SERVFAIL or no answer within 5 s is a failure, which faults may cause; anything else that was not
expected is *wrong*, which nothing may cause. Latency is that of ordinary questions by UDP.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import trio

from bench.masking.load import traits, wire_name
from bench.soak.plan import NODES, Arrival

TIMEOUT_S: Final = 5.0
SOURCES: Final = 250  # client addresses: all have come by TCP, too, within the warm-up
IN_FLIGHT_MAX: Final = 4_000  # of our tasks; beyond it an arrival is counted as failed
QTYPE: Final = {"none": 28, "any": 255}
TYPES: Final = (15, 16, 65, 65_280)
ORDINARY: Final = ("popular", "unique", "alias", "inside", "cookie", "case")
PIPELINED: Final = 5
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5


@dataclass
class Counts:
    """Of one node's clients, since the last look."""

    asked: int = 0
    failed: int = 0
    wrong: int = 0
    times: list[float] = field(default_factory=list)


def number(draw: float, upto: int) -> int:
    """0 .. upto - 1."""
    return int(draw * upto) % upto


def edns(size: int, flags: int, option: bytes) -> bytes:
    """An OPT record."""
    head = b"\0\0\x29" + size.to_bytes(2, "big") + b"\0\0" + flags.to_bytes(2, "big")
    return head + len(option).to_bytes(2, "big") + option


def query_of(arrival: Arrival) -> bytes:
    """The whole message."""
    kind, draw = arrival.kind, arrival.draw
    qtype = QTYPE.get(kind, 1)
    qname = wire_name(arrival.name)
    flags, extra = 0x0100, b""
    bits = int(draw * 2**52)
    if kind == "types":
        qtype = TYPES[number(draw, len(TYPES))]
    elif kind == "local" and arrival.name.endswith("arpa."):
        qtype = 12
    elif kind == "cookie":
        extra = edns(1232, 0, b"\0\x0a\0\x08" + bits.to_bytes(8, "big"))
    elif kind == "ecs":
        extra = edns(1232, 0, bytes.fromhex("0008 0007 0001 1800 c63364"))
    elif kind == "case":
        upper = qname.upper()
        chosen = (upper[i] if bits >> i % 52 & 1 else qname[i] for i in range(len(qname)))
        qname = bytes(chosen)
    elif kind == "flags":
        flags = (0x0100, 0x0110, 0x0120, 0x0130, 0x0000)[bits % 5]
        extra = (b"", edns(4096, 0x8000, b""), edns(512, 0, b""))[bits // 5 % 3]
    ident = (bits & 0xFFFF).to_bytes(2, "big")
    head = ident + flags.to_bytes(2, "big") + b"\0\1\0\0\0\0" + bytes((0, len(extra) > 0))
    return head + qname + qtype.to_bytes(2, "big") + b"\0\1" + extra


def malformed(arrival: Arrival) -> bytes:
    """Something that is no question."""
    wire = query_of(arrival)
    bits = int(arrival.draw * 2**52)
    which = bits % 6
    if which == 0:
        return wire[: bits // 6 % len(wire)]
    if which == 1:
        return wire[:12] + bytes((0xC0, 12)) + wire[14:]  # a pointer to itself
    if which == 2:
        return wire[:4] + b"\xff\xff" + wire[6:]  # 65,535 questions
    if which == 3:
        return wire + b"\0" * 7
    if which == 4:
        return bytes((wire[0], wire[1], wire[2] | 0x80)) + wire[3:]  # an answer
    return bits.to_bytes(8, "big") * 64


def verdict(arrival: Arrival, wire: bytes) -> str:
    """`ok`, `failed` or `wrong`."""
    rcode, kind = wire[3] & 15, arrival.kind
    if kind == "broken" or rcode == SERVFAIL:
        return "ok" if kind == "broken" and rcode == SERVFAIL else "failed"
    if kind == "flags" and rcode == REFUSED:
        return "ok"  # RD=0 and not in the cache
    if kind == "no" or arrival.name.endswith("invalid."):
        return "ok" if rcode == NXDOMAIN else "wrong"
    if rcode != NOERROR:
        return "wrong"
    if kind in ("popular", "unique", "cookie", "case"):
        address = traits(wire_name(arrival.name)).address
        return "ok" if address in wire[12:] else "wrong"
    return "ok"


class Clients:
    """All of them."""

    def __init__(self, targets: Iterable[tuple[str, int]]) -> None:
        self.targets = list(targets)
        self.counts = [Counts() for _ in range(NODES)]
        self.late: list[float] = []
        self.wrong: list[str] = []  # the first of them, for people
        self.in_flight = 0

    def take(self) -> tuple[list[Counts], list[float]]:
        """What was counted since the last call."""
        found = self.counts, self.late
        self.counts, self.late = [Counts() for _ in range(NODES)], []
        return found

    async def run(self, arrivals: Iterable[Arrival], start: float) -> None:
        """All of one node."""
        async with trio.open_nursery() as nursery:
            for arrival in arrivals:
                await trio.sleep_until(start + arrival.at_s)
                self.late.append(trio.current_time() - start - arrival.at_s)
                if self.in_flight < IN_FLIGHT_MAX:
                    nursery.start_soon(self.one, arrival)
                else:
                    self.note(arrival, "failed", 0.0)

    def note(self, arrival: Arrival, outcome: str, took: float) -> None:
        """It is over."""
        counts = self.counts[arrival.node]
        counts.asked += 1
        counts.failed += outcome == "failed"
        counts.wrong += outcome == "wrong"
        if arrival.kind in ORDINARY:
            counts.times.append(took)

    async def one(self, arrival: Arrival) -> None:
        """One client."""
        self.in_flight += 1
        began = trio.current_time()
        outcome = "failed"
        try:
            with trio.move_on_after(TIMEOUT_S):
                outcome = await self.exchange(arrival)
        except (OSError, trio.BrokenResourceError):
            outcome = "failed"
        finally:
            self.in_flight -= 1
        self.note(arrival, outcome, trio.current_time() - began)

    async def exchange(self, arrival: Arrival) -> str:
        """As its kind does; returns the outcome."""
        target = self.targets[arrival.node]
        source = number(arrival.draw * 7919 % 1, SOURCES)
        host = f"127.200.7.{1 + source}"
        wire = query_of(arrival)
        if arrival.kind in ("tcp", "pipeline", "dangling"):
            return await self.stream(arrival, target, host, wire)
        with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
            await sock.bind((host, 0))
            await sock.connect(target)
            if arrival.kind == "malformed":
                await sock.send(malformed(arrival))
                return "ok"
            await sock.send(wire)
            if arrival.kind == "vanish":
                return "ok"
            answer = await sock.recv(4096)
            while len(answer) < 12 or answer[:2] != wire[:2]:
                answer = await sock.recv(4096)
        if answer[2] & 2:
            return await self.stream(arrival, target, host, wire)
        return self.checked(arrival, answer)

    async def stream(
        self, arrival: Arrival, target: tuple[str, int], host: str, wire: bytes
    ) -> str:
        """By TCP."""
        stream = await trio.open_tcp_stream(*target, local_address=host)
        async with stream:
            framed = len(wire).to_bytes(2, "big") + wire
            if arrival.kind == "dangling":
                with suppress(trio.BrokenResourceError):
                    await stream.send_all(framed[: len(framed) // 2])
                await trio.sleep(arrival.draw)
                return "ok"
            count = PIPELINED if arrival.kind == "pipeline" else 1
            idents = [(int.from_bytes(wire[:2]) + i) % 65_536 for i in range(count)]
            messages = [framed[:2] + ident.to_bytes(2) + framed[4:] for ident in idents]
            await stream.send_all(b"".join(messages))
            answers = [await message(stream) for _ in range(count)]
        if sorted(answer[:2] for answer in answers) != sorted(m[2:4] for m in messages):
            # in any order, but each once (RFC 7766 6.2.1.1)
            return self.told_wrong(arrival, b"".join(answer[:2] for answer in answers))
        outcomes = [self.checked(arrival, answer) for answer in answers]
        return next((outcome for outcome in outcomes if outcome != "ok"), "ok")

    def checked(self, arrival: Arrival, answer: bytes) -> str:
        """`verdict`; what is wrong is kept for people."""
        outcome = verdict(arrival, answer)
        return self.told_wrong(arrival, answer) if outcome == "wrong" else outcome

    def told_wrong(self, arrival: Arrival, answer: bytes) -> str:
        """Keep it: any of these breaks the run."""
        if len(self.wrong) < 20:
            self.wrong.append(f"{arrival}: {answer[:64].hex()}")
        return "wrong"


async def message(stream: trio.SocketStream) -> bytes:
    """The next one; OSError at the end of the stream."""
    received = b""
    while len(received) < 2 or len(received) < 2 + int.from_bytes(received[:2]):
        want = 2 if len(received) < 2 else 2 + int.from_bytes(received[:2])
        chunk = await stream.receive_some(want - len(received))
        if not chunk:
            raise ConnectionResetError("closed before the answer")
        received += chunk
    return received[2:]
