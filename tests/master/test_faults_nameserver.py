"""What a client sees when the nameserver answers garbage, or is not there. No peers."""

import random
import threading

import dns.edns
import dns.message
import dns.query
import dns.rcode
import pytest
from daemon_rig import WAIT_S, FakeNameserver, running
from peer_world import free_port

from bench.chaos.nameservers import GARBAGE, WELL, respond

CONFIG = "log: {format: json}\nprobe: off\nslaves: 1\n"
PATIENCE_S = 4.5  # RULES 4.2
SILENCE = ("random", "wrong-id", "wrong-question")  # none of it is an answer: as if nothing came


class Spoiling(FakeNameserver):
    """Answers as the chaos bench's nameservers do, in one of their modes."""

    def __init__(self, mode):
        self.mode = mode
        self.chance = random.Random(mode)
        self.said = 0
        super().__init__()

    def _answer(self, query, source):
        self.sock.sendto(respond(query.to_wire(), self.mode, self.chance), source)
        self.said += 1


def ask(codns, name):
    query = dns.message.make_query(name, "A", use_edns=0)
    host, port = codns.addresses[0]
    return dns.query.udp(query, host, WAIT_S, port)


def reasons(message):
    return {int(o.code) for o in message.options if isinstance(o, dns.edns.EDEOption)}


def all_at_once(codns, names):
    """Ask in as many threads; return {name: response}."""
    answers = {}
    threads = [
        threading.Thread(target=lambda n=name: answers.update({n: ask(codns, n)}))
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    return answers


@pytest.fixture
def spoiling():
    made = {mode: Spoiling(mode) for mode in (*GARBAGE, WELL)}
    yield made
    for nameserver in made.values():
        nameserver.close()


def test_garbage_is_never_an_answer(spoiling, tmp_path):
    """Each mode is the nameserver of a zone: SERVFAIL at 4.5 s at the latest."""
    zones = "".join(f"  {m}.example: {{nameservers: ['{spoiling[m].text}']}}\n" for m in GARBAGE)
    config = tmp_path / "codns.yaml"
    config.write_text(f"{CONFIG}nameservers: ['{spoiling[WELL].text}']\nzones:\n{zones}")
    with running(config=config) as codns:
        names = [f"www{n}.{mode}.example" for n in range(3) for mode in GARBAGE]
        answers = all_at_once(codns, names)
        assert set(answers) == set(names)
        for name, answer in answers.items():
            assert answer.rcode() == dns.rcode.SERVFAIL, name
            assert not answer.answer, name
            if name.split(".")[1] in SILENCE:
                assert reasons(answer) & {22, 23}, (name, answer.to_text())
            assert answer.time < PATIENCE_S + 1.0, name  # the stub's 5 s are not over
        assert all(spoiling[mode].said >= 3 for mode in GARBAGE)
        assert ask(codns, "www.example").answer  # all others are well
        assert not any(line.get("level") == "error" for line in codns.log)


@pytest.mark.parametrize("mode", GARBAGE)
def test_a_second_nameserver_makes_up_for_garbage(mode, spoiling, tmp_path):
    config = tmp_path / "codns.yaml"
    servers = [spoiling[mode].text, spoiling[WELL].text]
    config.write_text(f"{CONFIG}nameservers: {servers}\n")
    with running(config=config) as codns:
        answers = all_at_once(codns, [f"www{n}.example" for n in range(20)])
        assert len(answers) == 20
        assert all(answer.answer for answer in answers.values()), answers
        assert spoiling[mode].said


def test_a_closed_port(tmp_path):
    """ICMP port unreachable: SERVFAIL with "network error"; and who listens again is asked."""
    port = free_port()
    config = tmp_path / "codns.yaml"
    config.write_text(f"{CONFIG}nameservers: ['127.0.0.1:{port}']\n")
    with running(config=config) as codns:
        answer = ask(codns, "www.example")
        assert answer.rcode() == dns.rcode.SERVFAIL
        assert reasons(answer) == {23}
        nameserver = FakeNameserver(port=port)
        try:
            assert ask(codns, "later.example").answer
        finally:
            nameserver.close()
