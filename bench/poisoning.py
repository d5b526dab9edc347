"""Forged answers against the slave's exchange code: `python -m bench.poisoning [--forged N]`.

The exchange code runs here, in this process, on real sockets over loopback; the forger holds the
nameserver's own socket, so that it can do all that a spoofer of its address could.

wrong field   right in all but one of: id, port, question, source. None may be accepted, and the
              true answer behind them must be. 15 a name: at the 16th the name goes over TCP
              (RULES 9.2), and there is nothing left to forge.
blind         id and port guessed. One in 65,536 times some 28,000 could not be seen in any time,
              so ids and ports are made few (the code is the same: only its randomness is replaced)
              and the share of attacks that succeed stands beside the computed one.
birthday      the forger makes many clients ask the same at once. Equal questions share one
              lookup (RULES 4.1), so it gains nothing beyond the four forms (DO, CD) of a question.
"""

import argparse
import random
import resource
import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

from codns.core.model import Client, SendJob
from codns.core.node import Node
from codns.core.settings import Settings
from codns.slave.exchange import Exchanges
from codns.slave.guard import MISMATCHES
from codns.wire.batch import frames, pack_job, unpack_result
from codns.wire.build import upstream_query
from codns.wire.name import from_text, skip_name
from codns.wire.query import parse_query

FIELDS: Final = ("id", "port", "question", "source")
GUESSES: Final = MISMATCHES - 1  # one more and the name is asked over TCP
TRUE: Final = b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4\xc0\0\2\1"
FORGED: Final = b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4\xcb\0\x71\x42"
IDS: Final = 64  # of the blind attack, instead of 65,536
PORTS_FILE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


def reply(query: bytes, record: bytes) -> bytes:
    """An answer of one record to `query`, without OPT."""
    question = query[12 : skip_name(query, 12) + 4]
    return query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + question + record


def ask(name: str) -> bytes:
    return upstream_query(from_text(name), 1, 1, do=False, cd=False)


def few_ids(rng: random.Random) -> Iterator[tuple[bytes, int]]:
    while True:
        yield bytes((0, rng.randrange(IDS))), rng.randrange(65536)


@dataclass
class Outcome:
    """What came of forged answers: how many were sent, how many exchanges took one."""

    forged: int = 0
    attacks: int = 0
    accepted: int = 0
    true: int = 0
    computed: float = 0.0  # attacks that should have succeeded

    @property
    def share(self) -> float:
        return self.accepted / self.attacks

    @property
    def expected(self) -> float:
        return self.computed / self.attacks


class Rig:
    """Exchanges with one nameserver, whose socket is the forger's. `few`: few ids."""

    def __init__(self, seed: int = 1, *, few: bool = False, nofile: int = 0) -> None:
        self.rng = random.Random(seed)
        self.nameserver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.nameserver.bind(("127.0.0.1", 0))
        self.elsewhere = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.elsewhere.bind(("127.0.0.1", 0))
        self.epoll = select.epoll()
        limit = nofile or resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.exchanges = Exchanges(self.epoll, limit)
        if few:
            self.exchanges.ports.random = few_ids(self.rng).__next__
        port = self.nameserver.getsockname()[1]
        self.exchanges.ports.add_server(0, f"127.0.0.1#{port}")
        self.names = 0
        self._ports: list[tuple[str, int]] = []

    def close(self) -> None:
        for port in list(self.exchanges.ports.by_fd.values()):
            self.exchanges.ports.close(port)
        self.epoll.close()
        self.nameserver.close()
        self.elsewhere.close()

    def warm(self) -> None:
        """Let the set of ports fill."""
        server = self.exchanges.ports.servers[0]
        while not server.full:
            self.begin([self.name()])
            self.answer_all()
            self.exchanges.ports.grow(monotonic())

    def name(self) -> str:
        self.names += 1
        return f"n{self.names}.bank.example."

    def begin(self, names: list[str]) -> list[tuple[bytes, tuple[str, int]]]:
        """Ask; what the nameserver received: (query, from where)."""
        self._ports = []
        for job, name in enumerate(names):
            self.exchanges.take(pack_job(job, 0, 0, 20.0, ask(name)), 0)
        self.received = [self.nameserver.recvfrom(4096) for _ in names]
        return self.received

    def ports(self) -> list[tuple[str, int]]:
        """Where the slave listened when the last question was asked."""
        if not self._ports:
            live = self.exchanges.ports.servers[0].live
            self._ports = [port.sock.getsockname() for port in live]
        return self._ports

    def hear(self) -> None:
        """Let the slave take what has arrived."""
        while events := self.epoll.poll(0, 256):
            self.exchanges.ready(events)

    def answer_all(self) -> list[bytes]:
        """The true answers; the bodies of what the exchanges ended with, in order of the end."""
        for query, there in self.received:
            self.nameserver.sendto(reply(query, TRUE), there)
        self.hear()
        out, self.exchanges.out = self.exchanges.out, []
        buffer = b"".join(out)
        return [unpack_result(buffer, start).body for _, start, _ in frames(buffer)]


def wrong(rig: Rig, field: str, query: bytes, there: tuple[str, int]) -> None:
    """Send one answer that is right but for `field`."""
    rng, sock, to, asked = rig.rng, rig.nameserver, there, query
    if field == "id":
        ident = int.from_bytes(query[:2], "big") ^ rng.randrange(1, 65536)
        asked = ident.to_bytes(2, "big") + query[2:]
    elif field == "port":
        to = rng.choice([port for port in rig.ports() if port != there] or [there])
        assert to != there
    elif field == "question":
        at = rng.randrange(13, skip_name(query, 12) + 4)
        changed = query[at] ^ rng.choice((1, 2, 4, 8, 16))  # 32 is a letter's case
        asked = query[:at] + bytes((changed,)) + query[at + 1 :]
    else:
        sock = rig.elsewhere
    end = skip_name(query, 12) + 4  # of the question, which may be no question any more
    sock.sendto(reply(query, b"")[2:12].join((asked[:2], asked[12:end])) + FORGED, to)


def wrong_field(rig: Rig, field: str, forged: int) -> Outcome:
    """`forged` answers with one wrong field, 15 for each question, then the true one."""
    outcome = Outcome()
    rig.warm()
    while outcome.forged < forged:
        ((query, there),) = rig.begin([rig.name()])
        count = min(GUESSES, forged - outcome.forged)
        for _ in range(count):
            wrong(rig, field, query, there)
        rig.hear()
        bodies = rig.answer_all()
        outcome.attacks += 1
        outcome.forged += count
        outcome.accepted += FORGED in bodies
        outcome.true += bodies == [TRUE]
    return outcome


def blind(rig: Rig, attacks: int, *, equal: int = 1) -> Outcome:
    """15 guesses of id and port against a question that is outstanding `equal` times."""
    outcome = Outcome()
    rig.warm()
    for _ in range(attacks):
        name = rig.name()
        rig.begin([name] * equal)
        targets = {(query[:2], there) for query, there in rig.received}
        ports = sorted({*rig.ports(), *(there for _, there in rig.received)})
        for _ in range(GUESSES):
            query = bytes((0, rig.rng.randrange(IDS))) + ask(name)[2:]
            rig.nameserver.sendto(reply(query, FORGED), rig.rng.choice(ports))
        rig.hear()
        bodies = rig.answer_all()
        outcome.attacks += 1
        outcome.forged += GUESSES
        outcome.accepted += FORGED in bodies
        outcome.true += bodies == [TRUE] * equal
        outcome.computed += 1 - (1 - len(targets) / (len(ports) * IDS)) ** GUESSES
    return outcome


def asked_upstream(clients: int) -> int:
    """How many exchanges a node begins when so many clients ask the same in all its forms."""
    node = Node(Settings(nameservers=("192.0.2.53#53",), probe=False), random.Random(1), 0.0)
    question = b"\3www\4bank\7example\0\0\1\0\1"
    jobs = 0
    for number in range(clients):
        cd, do = number & 1, number >> 1 & 1
        head = number.to_bytes(2, "big") + bytes((1, cd << 4)) + b"\0\1\0\0\0\0\0\1"
        opt = b"\0\0\x29\4\xd0\0\0" + bytes((do << 7, 0)) + b"\0\0"
        wire = head + (question.upper()[:-4] + question[-4:] if number & 4 else question) + opt
        parse_query(wire)
        address = bytes((10, 0, number >> 8, number & 255))
        effects = node.client_query(wire, Client("udp", address, number, lambda _: None), 0.0)
        jobs += sum(isinstance(effect, SendJob) for effect in effects)
    return jobs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--forged", type=int, default=1_000_000)
    parser.add_argument("--attacks", type=int, default=20_000)
    said = parser.parse_args()
    for field in FIELDS:
        rig, begun = Rig(), monotonic()
        done = wrong_field(rig, field, said.forged // len(FIELDS))
        rig.close()
        print(
            f"wrong {field:9} {done.forged:9,} forged, {done.accepted} accepted, "
            f"{done.true:,} of {done.attacks:,} true answers taken, {monotonic() - begun:.0f} s",
            flush=True,
        )
    equal = asked_upstream(1000)
    for kind, times in (("blind", 1), ("birthday", equal)):
        rig = Rig(few=True, nofile=297)
        done = blind(rig, said.attacks, equal=times)
        ports = len(rig.ports())
        rig.close()
        print(
            f"{kind:9} {done.attacks:,} attacks of {GUESSES} on {times} equal of {IDS} ids and "
            f"{ports} ports: accepted {done.share:.5f}, computed {done.expected:.5f}",
            flush=True,
        )
    low, high = map(int, PORTS_FILE.read_text().split())
    whole = 65536 * (high - low + 1)
    print(
        f"1,000 clients asking the same begin {equal} exchanges; with all ids and "
        f"{high - low + 1:,} ports {GUESSES} guesses succeed with {GUESSES * equal / whole:.1e}"
    )


if __name__ == "__main__":
    main()
