"""Three nodes on a wire that loses, doubles, reorders and delays, with somebody on it who replays,
alters and redirects whatever was ever sent, while nodes restart. Whatever happens:

    safety    a message is delivered at most once, to whom it was for, said to be from whom it is;
              never one sent before the receiver's present life began; never one of an earlier
              life of its sender after one of a later; nothing raises; no name is readable
    liveness  once the wire is only lossy, and then clean, everybody knows everybody
"""

from random import Random

import pytest
from peerwire import ALL, A, Sent, Wire, answer, link, query, source

from codns.core.messages import Query, QueryReply
from codns.peer.parts import PARTS_MAX
from codns.peer.seal import DATAGRAM_SIZE_MAX

STORM_S, LOSSY_S, CLEAN_S = 30.0, 36.0, 46.0


class Storm:
    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.lives = dict.fromkeys(ALL, 0)
        self.born = dict.fromkeys(ALL, 0.0)
        self.serial = 0
        self.facts: dict[int, tuple[str, str, int, float]] = {}  # sender, receiver, life, at
        self.wire = Wire({name: link(name, f"{seed} 0") for name in ALL}, self.fate)
        self.seed = seed
        for name in ALL:
            for other in ALL:
                if name != other:
                    self.heartbeats(name, other, self.rng.uniform(0.0, 2.0))
                    self.queries(name, other)
        for _ in range(5):
            self.wire.at(self.rng.uniform(1.0, STORM_S), self.restart)
        for n in range(600):
            self.wire.at(1.0 + n * (STORM_S - 1.0) / 600, self.attack)

    def fate(self, _sent: Sent) -> list[float]:
        if self.wire.now >= LOSSY_S:
            return [0.010]
        copies = self.rng.choices((0, 1, 2), (30, 60, 10))[0]
        return [self.rng.choice((0.01, 0.02, 0.3, 1.5)) for _ in range(copies)]

    def heartbeats(self, name: str, other: str, when: float) -> None:
        def beat() -> None:
            self.wire.beat(name, other)
            self.heartbeats(name, other, when + 2.0)

        if when < CLEAN_S:
            self.wire.at(when, beat)

    def queries(self, name: str, other: str) -> None:
        for _ in range(60):
            self.wire.at(self.rng.uniform(0.0, CLEAN_S), lambda: self.ask(name, other))

    def ask(self, name: str, other: str) -> None:
        self.serial += 1
        self.facts[self.serial] = (name, other, self.lives[name], self.wire.now)
        message = query(self.serial, f"n{self.serial}.secret.example.")
        if self.rng.random() < 0.3:
            message = answer(self.serial, self.rng.choice((100, 3000, 13_000)))
        self.wire.send(name, other, message)

    def restart(self) -> None:
        """Sometimes two at the same moment."""
        for name in self.rng.sample(ALL, self.rng.choice((1, 2))):
            self.lives[name] += 1
            self.born[name] = self.wire.now
            self.wire.nodes[name] = link(name, f"{self.seed} {self.lives[name]}")

    def attack(self) -> None:
        if not self.wire.sent:
            return
        sent = self.rng.choice(self.wire.sent)
        kind = self.rng.choice(("replay", "elsewhere", "spoof", "reflect", "flip", "cut"))
        datagram, sender, receiver = sent.datagram, sent.sender, sent.receiver
        if kind == "elsewhere":
            receiver = self.rng.choice(ALL)
        elif kind == "spoof":
            sender = self.rng.choice(ALL)
        elif kind == "reflect":
            sender, receiver = receiver, sender
        elif kind == "flip":
            at = self.rng.randrange(len(datagram))
            datagram = datagram[:at] + bytes((datagram[at] ^ 1 + self.rng.randrange(255),))
            datagram += sent.datagram[at + 1 :]
        elif kind == "cut":
            datagram = datagram[: self.rng.randrange(len(datagram))]
        self.wire.arrive(Sent(self.wire.now, sender, receiver, datagram))


@pytest.mark.parametrize("seed", range(12))
def test_storm(seed):
    storm = Storm(seed)
    wire = storm.wire
    delivered: set[tuple[type, int]] = set()
    latest: dict[tuple[str, str, int], int] = {}
    seen = 0
    while wire.now < CLEAN_S:
        wire.run(wire.now + 0.05)
        for got in wire.got[seen:]:
            if isinstance(got.message, Query | QueryReply):
                sender, receiver, life, at = storm.facts[got.message.id]
                assert (got.sender, got.receiver) == (sender, receiver)
                assert (type(got.message), got.message.id) not in delivered
                delivered.add((type(got.message), got.message.id))
                born = storm.born[receiver]
                assert at >= born or got.at <= born
                pair = (sender, receiver, storm.lives[receiver])
                assert life >= latest.get(pair, 0)
                latest[pair] = life
        seen = len(wire.got)

    assert all(wire.nodes[a].knows(b) for a in ALL for b in ALL if a != b)
    late = {serial for serial, fact in storm.facts.items() if LOSSY_S + 4 < fact[3] < CLEAN_S - 1}
    assert late <= {serial for _, serial in delivered}  # nothing is lost on a clean wire
    assert len(delivered) > 60
    assert max(len(sent.datagram) for sent in wire.sent) <= DATAGRAM_SIZE_MAX
    for sent in wire.sent:
        assert b"secret" not in sent.datagram
        assert sent.sender.encode() not in sent.datagram
    drops = [
        sum(node.drops[reason] for node in wire.nodes.values()) for reason in ("replay", "boot")
    ]
    assert all(drops)


def test_a_storm_is_the_same_twice():
    def transcript() -> list[object]:
        storm = Storm(3)
        storm.wire.run(20.0)
        return [storm.wire.sent, storm.wire.got, storm.wire.learned]

    assert transcript() == transcript()


def test_a_burst_of_greatest_answers_in_disorder():
    """64 answers of 12 parts, shuffled by as much as the window allows for."""
    rng = Random(1)
    a, b = link(A), link(ALL[1])
    wire = Wire({A: a, ALL[1]: b})
    wire.beat(A, ALL[1])
    wire.run(1.0)
    datagrams = [d for n in range(64) for d in a.seal(answer(n, 13_200), ALL[1], 1.0)]
    assert len(datagrams) == 64 * PARTS_MAX
    places = {id(d): n + rng.uniform(0, 300) for n, d in enumerate(datagrams)}
    datagrams.sort(key=lambda d: places[id(d)])
    got = [b.receive(datagram, source(A), 1.0) for datagram in datagrams]
    assert sorted(r.message.id for r in got if r is not None) == list(range(64))
    assert b.drops["replay"] == 0
