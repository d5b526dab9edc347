"""Random letters (DNS 0x20) before the nameservers people have: nothing changes for a client."""

from collections.abc import Callable
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import pytest
import real_ask
from real_zone import PLAIN, pool

from bench import servers
from bench.servers import Server, free_address

Start = Callable[[Server], Server]

pytestmark = pytest.mark.real("nsd", "setpriv")

QUESTIONS = 150
RANDOM = "case_randomization: true\nlog: {level: warning}\n"


def between(kind: str, folder: Path, nsd: Server, start: Start) -> Server:
    """The nameserver codns is to ask: nsd itself, or a resolver that forwards to it."""
    if kind == "nsd":
        return nsd
    return start(getattr(servers, kind)(folder, nsd.address)).wait_ready(PLAIN)


def wires() -> list[bytes]:
    """Questions with letters in the client's own case, half of them with EDNS."""
    names = [(name, rtype) for name, rtype in pool() if name.endswith(PLAIN)][::6][:QUESTIONS]
    assert len(names) == QUESTIONS
    return [
        dns.message.make_query(
            "".join(c.upper() if i % 3 == 0 else c for i, c in enumerate(name)),
            rtype,
            use_edns=0 if number % 2 else -1,
            payload=1232,
        ).to_wire()
        for number, (name, rtype) in enumerate(names)
        if "\\" not in name
    ]


@pytest.mark.parametrize("kind", ["nsd", "unbound", "dnsmasq"])
def test_the_same_answers_as_in_lower_case(
    kind: str, tmp_path: Path, plain_nsd: Server, start: Start
) -> None:
    servers.program(kind)
    nameserver = between(kind, tmp_path, plain_nsd, start)
    host, port = free_address()
    for start_at in range(0, QUESTIONS, 50):  # so that it says the same to both out of its cache
        for how in ("udp", "tcp"):  # dnsmasq closes a connection after 100 queries
            real_ask.exchange(nameserver.address, wires()[start_at : start_at + 50], how)
    answers, pages = [], []
    for number, text in enumerate(("log: {level: warning}\n", RANDOM)):
        config = tmp_path / f"{number}.yaml"
        config.write_text(text)
        options = ["-c", str(config), "--http", f"{host}:{port + number}", "--control", "off"]
        codns = start(servers.codns(tmp_path, [nameserver.address], options=options))
        codns.wait_ready(PLAIN)
        found = [real_ask.exchange(codns.address, wires(), how) for how in ("udp", "tcp")]
        answers.append([[real_ask.parse(wire) for wire in each] for each in found])
        for wire, answer in zip(wires(), found[0], strict=True):
            end = wire.index(b"\0", 12) + 5
            assert answer[12:end] == wire[12:end], "the question is the client's, byte for byte"
        pages.append(codns.said())
    lower, mixed = answers
    for plain, other in zip(lower, mixed, strict=True):
        for one, two in zip(plain, other, strict=True):
            assert (one.seen.rcode, one.seen.flags) == (two.seen.rcode, two.seen.flags)
            assert sorted(one.seen.answer) == sorted(two.seen.answer)
            own = set(str(two.message.question[0].name).split("."))
            for rrset in (*two.message.answer, *two.message.authority):
                for label in str(rrset.name).split("."):
                    assert label == label.lower() or label in own, "random letters got out"
    assert "does not keep the letters" not in pages[1]
