"""Stub resolvers that behave like glibc's, all of them in one loop.

Every lookup has a socket of its own, as a glibc process has, on a port that the kernel draws. No
answer within 5 s: the same question with the same id from the same socket once more; 5 s later it
is given up (`timeout:5 attempts:2`). SERVFAIL ends it, as failed: glibc would ask the one
nameserver it has once more at once, which changes nothing for a resolver that has just given up.
ECONNREFUSED ends it too. The answer is checked: id, and the address that belongs to the name.

Latency counts from the first datagram's departure. How late that was, against the plan, is
written down: a client that is late measures itself.
"""

import gc
import select
import socket
import time
from array import array
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from bench.masking.load import Arrival, traits, wire_name

TIMEOUT_S: Final = 5.0
ATTEMPTS: Final = 2
FIRST_ID: Final = 1

ANSWER: Final = "answer"
SERVFAIL: Final = "servfail"
SILENCE: Final = "silence"
REFUSED: Final = "refused"  # ICMP: nobody listens
OTHER: Final = "other"  # another rcode, or not the address of that name


class Target(NamedTuple):
    """A fleet under load."""

    nodes: Sequence[tuple[str, int]]  # where each listens
    start: float  # when its load begins, monotonic


class Lookup(NamedTuple):
    """One that has ended."""

    fleet: int
    node: int
    name: str
    at_s: float  # since the load began
    latency_s: float
    outcome: str
    miss: bool  # not in the asking node's cache by name, TTL and answer times, nor in flight there
    retried: bool

    @property
    def failed(self) -> bool:
        """By the table's measure: too late, or no usable answer."""
        return self.outcome != ANSWER or self.latency_s >= TIMEOUT_S


class Flight:
    """One that has not."""

    __slots__ = ("address", "arrival", "attempts", "fleet", "miss", "sent", "sock", "wire")

    def __init__(
        self, fleet: int, arrival: Arrival, ident: int, wire: bytes, address: bytes
    ) -> None:
        self.fleet, self.arrival = fleet, arrival
        self.wire = ident.to_bytes(2, "big") + wire
        self.address = address
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sent = 0.0
        self.attempts = 0
        self.miss = False


class Name(NamedTuple):
    """What is known of a name before anybody asks."""

    wire: bytes  # the query, after the id
    address: bytes
    ttl: int


class Client:
    """All lookups of all fleets."""

    def __init__(self, targets: Sequence[Target], plan: Sequence[Arrival]) -> None:
        """The same plan for each."""
        self.targets, self.plan = targets, plan
        self.poll = select.epoll()
        self.flights: dict[int, Flight] = {}
        self.waits: list[deque[tuple[float, int, Flight]]] = [deque() for _ in range(ATTEMPTS)]
        self.names: dict[str, Name] = {}
        self.fresh_until: dict[tuple[int, int, str], float] = {}
        self.in_flight: dict[tuple[int, int, str], int] = {}
        self.ended: list[Lookup] = []
        self.late_s = array("d")
        self.count = 0

    def run(self) -> None:
        """Until every lookup has ended."""
        order = sorted(range(len(self.targets)), key=lambda k: self.targets[k].start)
        cursors = [0] * len(self.targets)
        collecting = gc.isenabled()
        gc.disable()  # nothing here is cyclic, and a collection takes longer than an answer
        try:
            while self.flights or any(cursor < len(self.plan) for cursor in cursors):
                upcoming = [
                    self.targets[k].start + self.plan[cursors[k]].at_s
                    for k in order
                    if cursors[k] < len(self.plan)
                ]
                due = [queue[0][0] for queue in self.waits if queue]
                wait = min([*upcoming, *due], default=0.0) - time.monotonic()
                select.select([self.poll.fileno()], [], [], max(0.0, wait))
                for fd, _ in self.poll.poll(0):
                    self.readable(fd)
                self.overdue(time.monotonic())
                for k in order:
                    cursors[k] = self.depart(k, cursors[k])
        finally:
            self.poll.close()
            if collecting:
                gc.enable()

    def depart(self, fleet: int, cursor: int) -> int:
        """Send what is due for this fleet."""
        start = self.targets[fleet].start
        while cursor < len(self.plan):
            arrival = self.plan[cursor]
            now = time.monotonic()
            if start + arrival.at_s > now:
                break
            self.late_s.append(now - start - arrival.at_s)
            self.begin(fleet, arrival)
            cursor += 1
        return cursor

    def known(self, name: str) -> Name:
        """Its query and its traits, made once."""
        known = self.names.get(name)
        if known is None:
            qname = wire_name(name)
            found = traits(qname)
            wire = bytes.fromhex("0100 0001 0000 0000 0000") + qname + b"\0\1\0\1"
            known = self.names[name] = Name(wire, found.address, found.ttl)
        return known

    def begin(self, fleet: int, arrival: Arrival) -> None:
        """A new lookup."""
        known = self.known(arrival.name)
        self.count += 1
        ident = FIRST_ID + self.count * 40_503 % 65_500  # spread; sockets tell lookups apart
        flight = Flight(fleet, arrival, ident, known.wire, known.address)
        flight.sock.connect(self.targets[fleet].nodes[arrival.node])
        fd = flight.sock.fileno()
        self.flights[fd] = flight
        self.poll.register(fd, select.EPOLLIN)
        now = flight.sent = time.monotonic()
        where = (fleet, arrival.node, arrival.name)
        waiting = self.in_flight.get(where, 0)
        flight.miss = not waiting and self.fresh_until.get(where, -1.0) <= now
        self.in_flight[where] = waiting + 1
        self.attempt(fd, flight, now)

    def attempt(self, fd: int, flight: Flight, now: float) -> None:
        """Send it, for the first or the last time."""
        self.waits[flight.attempts].append((now + TIMEOUT_S, fd, flight))
        flight.attempts += 1
        with suppress(OSError):  # a pending ICMP error; it comes again when reading
            flight.sock.send(flight.wire)

    def overdue(self, now: float) -> None:
        """Whoever has waited 5 s."""
        for queue in self.waits:
            while queue and queue[0][0] <= now:
                _, fd, flight = queue.popleft()
                if self.flights.get(fd) is not flight:
                    continue
                if flight.attempts < ATTEMPTS:
                    self.attempt(fd, flight, now)
                else:
                    self.end(fd, flight, SILENCE)

    def readable(self, fd: int) -> None:
        """An answer, or an error."""
        flight = self.flights[fd]
        try:
            wire = flight.sock.recv(4096)
        except ConnectionRefusedError:
            return self.end(fd, flight, REFUSED)
        except OSError:
            return None
        if wire[:2] != flight.wire[:2] or len(wire) < 12:
            return None
        rcode = wire[3] & 15
        if rcode == 0 and flight.address in wire[12:]:
            return self.end(fd, flight, ANSWER)
        return self.end(fd, flight, SERVFAIL if rcode == 2 else OTHER)

    def end(self, fd: int, flight: Flight, outcome: str) -> None:
        """It is over."""
        now = time.monotonic()
        del self.flights[fd]
        flight.sock.close()  # leaves the epoll set too
        arrival = flight.arrival
        where = (flight.fleet, arrival.node, arrival.name)
        self.in_flight[where] -= 1
        if outcome == ANSWER:
            until = flight.sent if not flight.miss else now + self.names[arrival.name].ttl
            self.fresh_until[where] = max(self.fresh_until.get(where, 0.0), until)
        self.ended.append(
            Lookup(
                fleet=flight.fleet,
                node=arrival.node,
                name=arrival.name,
                at_s=arrival.at_s,
                latency_s=now - flight.sent,
                outcome=outcome,
                miss=flight.miss,
                retried=flight.attempts > 1,
            )
        )


def run(targets: Sequence[Target], plan: Sequence[Arrival]) -> tuple[list[Lookup], list[float]]:
    """All lookups in order of their time, and how late each left, ascending."""
    client = Client(targets, plan)
    client.run()
    client.ended.sort(key=lambda lookup: lookup.at_s)
    return client.ended, sorted(client.late_s)
