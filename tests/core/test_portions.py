"""Many who wait for one answer get it in portions of a millisecond's work."""

import random

import pytest
from node_world import World, answers, failing, records, silent, until

from codns.core.messages import Query, Status
from codns.core.model import SendJob
from codns.core.node import Node
from codns.core.portions import ANSWER_SIZE, PAUSE_S, PORTION_SIZE, SEALED_SIZE
from codns.core.settings import PeerSettings, Settings
from codns.wire.batch import Result
from codns.wire.outcome import Outcome

SERVER = "192.0.2.53#53"
NAME = "www.name.example"
FEW = PORTION_SIZE // (ANSWER_SIZE + 16)  # of the smallest answers


def asked(world, count, at=0.0, **options):
    for ident in range(1, count + 1):
        world.ask(NAME, at=at, client=f"c{ident // 64}", ident=ident, **options)


def portions(world):
    """How many answers came at which time."""
    counts = {}
    for got in world.got:
        counts[got.at] = counts.get(got.at, 0) + 1
    return counts


@pytest.mark.parametrize("many", [FEW, FEW + 1, 1000])
def test_a_thousand_waiters_are_answered_a_portion_a_millisecond(many):
    w = World({SERVER: answers(0.01)})
    asked(w, many)
    w.run(1.0)
    whole, rest = divmod(many, FEW)
    sizes = [FEW] * whole + [rest] * (rest > 0)
    assert portions(w) == {
        round(0.01 + PAUSE_S * number, 6): size for number, size in enumerate(sizes)
    }
    assert [got.message.id for got in w.got] == list(range(1, many + 1))  # first come ...
    assert {got.rcode for got in w.got} == {"NOERROR"}
    assert w.node.outstanding == 0
    assert w.node.stats.rcodes["local"][0] == many


def test_of_large_answers_a_portion_is_a_mebibyte():
    lines = [f'{NAME}. 300 IN TXT "{number:03}{"x" * 240}"' for number in range(200)]
    w = World({SERVER: records(0.01, *lines)})
    asked(w, 60, rdtype="TXT", transport="tcp")
    w.run(1.0)
    size = len(w.got[0].message.to_wire(max_size=65535))
    assert size > 50_000
    at_once = PORTION_SIZE // (ANSWER_SIZE + size - 34)
    assert next(iter(portions(w).values())) == at_once < 20
    assert len(w.got) == 60


def test_who_asks_between_two_portions_is_answered_at_once():
    w = World({SERVER: answers(0.01)})
    asked(w, 1000)
    w.ask(NAME, at=0.0105, client="late", ident=9999)
    w.run(1.0)
    assert [got.at for got in w.got if got.client == "late"] == [0.0105]
    assert len(w.got) == 1001
    assert len([text for _, _, text in w.jobs if text.startswith(NAME)]) == 1


@pytest.mark.parametrize(("behaviour", "at"), [(failing(0.01), 0.01), (silent, 4.5)])
def test_a_failure_is_told_in_portions_too(behaviour, at):
    w = World({SERVER: behaviour}, {"cache_stale_s": 0})
    asked(w, 300)
    w.run(6.0)
    assert {got.rcode for got in w.got} == {"SERVFAIL"}
    assert list(portions(w)) == [at, at + PAUSE_S, at + 2 * PAUSE_S]
    assert len(w.got) == 300
    assert w.node.outstanding == 0


def test_stale_answers_are_given_in_portions():
    w = World({SERVER: until(1.0, answers(0.01, ttl=10), silent)})
    w.ask(NAME)
    w.run(20.0)
    asked(w, 300, at=20.0)
    w.run(30.0)
    assert len(w.got) == 301
    times = portions(w)
    assert list(times) == [0.01, 21.8, 21.801, 21.802]
    assert times[21.8] == FEW
    assert {got.ede for got in w.got[1:]} == {None}  # no OPT in these queries
    assert {got.ttl for got in w.got[1:]} == {10}


def test_peers_that_wait_for_one_lookup_are_told_in_portions():
    peers = [f"192.0.2.{number}:7353" for number in range(2, 66)]
    node = Node(
        Settings(nameservers=(SERVER,), peers=PeerSettings("192.0.2.1:7353"), probe=False),
        random.Random(1),
        0.0,
    )
    name, jobs = b"\3www\7example\3com\0", []
    for ident, peer in enumerate(peers):
        effects = node.peer_message(Query(ident, name, 16, 1, False, False), peer, 0.0)
        jobs += [effect.job for effect in effects if isinstance(effect, SendJob)]
    (job,) = jobs
    record = b"\xc0\x0c\0\x10\0\1\0\0\1\x2c\0\xc8" + b"\xc7" + bytes(199)
    body, offsets = record * 50, b"".join((212 * n + 6).to_bytes(2, "little") for n in range(50))
    kept = (False, True, False, 50, 0, 300, 0.01, body, offsets, b"")
    told, now = [node.job_done(Result(job, Outcome.ANSWER, 0, *kept), 0.01)], 0.01
    while sum(map(len, told)) < len(peers):
        now += PAUSE_S
        told.append(node.handle_timeout(now))
    assert [len(effects) for effects in told[:-1]] == [
        PORTION_SIZE // (ANSWER_SIZE + SEALED_SIZE * len(body))
    ] * (len(told) - 1)
    replies = [(effect.peer, effect.message) for effects in told for effect in effects]
    assert [peer for peer, _ in replies] == peers
    assert [reply.id for _, reply in replies] == list(range(64))
    assert {(reply.status, reply.body) for _, reply in replies} == {(Status.ANSWER, body)}


def test_a_lookup_begun_anew_between_two_portions_of_a_failure_is_tried_as_ever():
    w = World({SERVER: silent})
    asked(w, 300)
    w.ask(NAME, at=4.5005, client="late", ident=9999)
    w.run(9.2)
    assert list(portions(w)) == [4.5, 4.501, 4.502, 9.0005]
    again = [at for at, _ in w.asked if at > 4.5]
    assert again == [4.5005, 4.9005, 6.1005, 7.7005]


def test_of_many_crowds_too_there_is_a_portion_a_millisecond():
    w = World({SERVER: answers(0.01)})
    for crowd in range(20):
        for ident in range(1, 201):
            w.ask(f"n{crowd}.example", at=0.0, client=f"c{crowd}", ident=ident)
    w.run(1.0)
    counts = list(portions(w).items())
    assert max(count for _, count in counts) == FEW
    assert [at for at, _ in counts] == [round(0.01 + PAUSE_S * turn, 6) for turn in range(40)]
    assert len(w.got) == 4_000
    assert w.node.outstanding == 0
