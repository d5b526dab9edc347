"""Forged answers against the slave's exchange code: `python -m bench.poisoning [--forged N]`.

The exchange code runs here, in this process, on real sockets over loopback; the forger holds the
nameserver's own socket, so that it can do all that a spoofer of its address could.

wrong field   right in all but one of: id, port, question, source. None may be accepted, and the
              true answer behind them must be. 15 a name: at the 16th the name goes over TCP
              (RULES 9.2), and there is nothing left to forge.
blind         id and port guessed. One in 65,536 times some 28,000 could not be seen in any time,
              so ids and ports are made few (the code is the same: only its randomness is replaced)
              and the share of attacks that succeed stands beside the computed one.
letters       the same with letters in random case (DNS 0x20, `case_randomization`): all right but
              the letters, and blind guesses at names of few letters, where chance can be seen. An
              answer that is wrong in its letters only moves the exchange to TCP, so it is the last
              of its attack: the computed share is that of hitting id and port, halved by each
              letter.
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
from codns.slave.guard import MISMATCHES, Guard
from codns.slave.letters import Mixer
from codns.wire.batch import FLAG_MIXED_CASE, RESULT, frames, pack_job, unpack_result
from codns.wire.build import upstream_query
from codns.wire.name import from_text, skip_name
from codns.wire.query import parse_query

FIELDS: Final = ("id", "port", "question", "source")
GUESSES: Final = MISMATCHES - 1  # one more and the name is asked over TCP
WAIT_S: Final = 10.0  # for what is there at once
TRUE: Final = b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4\xc0\0\2\1"
FORGED: Final = b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4\xcb\0\x71\x42"
IDS: Final = 64  # of the blind attack, instead of 65,536
LETTERS: Final = (1, 2, 4)  # of the names that are attacked blindly
NAME: Final = "www.bank.example."
PORTS_FILE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


def reply(query: bytes, record: bytes) -> bytes:
    """An answer of one record to `query`, without OPT."""
    question = query[12 : skip_name(query, 12) + 4]
    return query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + question + record


def letters(name: str) -> int:
    """How many bits random letters add to a name."""
    return sum(character.isalpha() for character in name)


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


def both() -> tuple[socket.socket, socket.socket]:
    """A UDP socket, and one that listens on the same port."""
    while True:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        try:
            listener = socket.create_server(udp.getsockname())
        except OSError:  # somebody has the same port for TCP
            udp.close()
        else:
            listener.settimeout(WAIT_S)
            return udp, listener


class Rig:
    """Exchanges with one nameserver, whose UDP socket is the forger's. `few`: few ids.

    `mixed`: random letters, and a nameserver that speaks TCP, where no forger has a part.
    """

    def __init__(
        self, seed: int = 1, *, few: bool = False, nofile: int = 0, mixed: bool = False
    ) -> None:
        self.rng = random.Random(seed)
        self.flags = FLAG_MIXED_CASE if mixed else 0
        self.nameserver, self.listener = both()
        self.elsewhere = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.elsewhere.bind(("127.0.0.1", 0))
        self.epoll = select.epoll()
        limit = nofile or resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.exchanges = Exchanges(self.epoll, limit)
        if few:
            self.exchanges.ports.random = few_ids(self.rng).__next__
            self.exchanges.mixer = Mixer(self.rng.randbytes)
        port = self.nameserver.getsockname()[1]
        self.exchanges.ports.add_server(0, f"127.0.0.1#{port}")
        self.names = 0
        self._ports: list[tuple[str, int]] = []

    def close(self) -> None:
        for port in list(self.exchanges.ports.by_fd.values()):
            self.exchanges.ports.close(port)
        self.epoll.close()
        self.nameserver.close()
        self.listener.close()
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
            self.exchanges.take(pack_job(job, 0, self.flags, 20.0, ask(name)), 0)
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
        while self.exchanges.tcp.waiting:
            self.answer_over_tcp()
        out, self.exchanges.out = self.exchanges.out, []
        buffer = b"".join(out)
        found = [start for kind, start, _ in frames(buffer) if kind == RESULT]
        return [unpack_result(buffer, start).body for start in found]

    def answer_over_tcp(self) -> None:
        """Let the next exchange have its answer, in the letters of its question."""
        self.exchanges.tcp.turn()
        connection, _ = self.listener.accept()
        with connection:
            connection.settimeout(WAIT_S)
            self.hear()
            query = connection.recv(4096)[2:]
            answer = reply(query, TRUE)
            connection.sendall(len(answer).to_bytes(2, "big") + answer)
            self.hear()


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


def wrong_letters(rig: Rig, forged: int) -> Outcome:
    """Answers with everything right but the case of one letter or more; one for each question."""
    outcome = Outcome(forged=forged, attacks=forged)
    rig.warm()
    for _ in range(forged):
        ((query, there),) = rig.begin([rig.name()])
        end = skip_name(query, 12)
        others = [at for at in range(12, end) if chr(query[at]).isalpha()]
        changed = bytearray(query)
        for at in rig.rng.sample(others, rig.rng.randrange(1, len(others) + 1)):
            changed[at] ^= 0x20
        rig.nameserver.sendto(reply(bytes(changed), FORGED), there)
        rig.hear()
        bodies = rig.answer_all()
        outcome.accepted += FORGED in bodies
        outcome.true += bodies == [TRUE]
    return outcome


def blind(rig: Rig, attacks: int, *, equal: int = 1, name: str = "") -> Outcome:
    """15 guesses of id and port against a question that is outstanding `equal` times.

    `name` is asked each time instead of a new one. The forger guesses its letters, too.
    """
    outcome = Outcome()
    rig.warm()
    mixer = Mixer(rig.rng.randbytes)
    for _ in range(attacks):
        rig.exchanges.guard = Guard()  # it is one name: an attack must not make the next harder
        name = name if rig.flags else rig.name()
        rig.begin([name] * equal)
        targets = {(query[:2], there) for query, there in rig.received}
        ports = sorted({*rig.ports(), *(there for _, there in rig.received)})
        for _ in range(GUESSES):
            query = bytes((0, rig.rng.randrange(IDS))) + ask(name)[2:]
            if rig.flags:
                query = mixer.mix(query)
            rig.nameserver.sendto(reply(query, FORGED), rig.rng.choice(ports))
        rig.hear()
        bodies = rig.answer_all()
        outcome.attacks += 1
        outcome.forged += GUESSES
        outcome.accepted += FORGED in bodies
        outcome.true += bodies == [TRUE] * equal
        hit = 1 - (1 - len(targets) / (len(ports) * IDS)) ** GUESSES
        outcome.computed += hit / 2 ** letters(name) if rig.flags else hit
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
    rig, begun = Rig(mixed=True), monotonic()
    done = wrong_letters(rig, said.forged // 40)
    rig.close()
    print(
        f"wrong letters  {done.forged:9,} forged, {done.accepted} accepted, "
        f"{done.true:,} of {done.attacks:,} true answers taken over TCP, "
        f"{monotonic() - begun:.0f} s",
        flush=True,
    )
    for count in LETTERS:
        rig = Rig(few=True, nofile=297, mixed=True)
        done = blind(rig, said.attacks, name="1" + "x" * count + ".1.")
        rig.close()
        print(
            f"letters   {done.attacks:,} attacks of {GUESSES} on a name of {count} of them: "
            f"accepted {done.share:.5f}, computed {done.expected:.5f}",
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
        f"{high - low + 1:,} ports {GUESSES} guesses succeed with {GUESSES * equal / whole:.1e}, "
        f"with random letters of {NAME} with {GUESSES * equal / whole / 2 ** letters(NAME):.1e}"
    )


if __name__ == "__main__":
    main()
