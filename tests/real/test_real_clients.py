"""Real clients ask codns: BIND's dig, Knot's kdig, and c-ares inside Node."""

import json
import re
import subprocess
from typing import NamedTuple

import pytest

from bench.servers import Server, program

ZONE = "plain.example"
COMPLAINTS = re.compile("warning|malformed|mismatch|trailing|extra|failed|error:", re.IGNORECASE)


class Reply(NamedTuple):
    """What dig or kdig printed, taken apart."""

    status: str
    flags: set[str]
    question: str
    answers: list[str]  # "TYPE data"
    text: str


def ask(tool: str, server: Server, *args: str) -> Reply:
    """Run it; anything it complains about fails, even if it got its answer."""
    flags = ["+tries=1" if tool == "dig" else "+retry=0", "+time=5"]
    command = [program(tool), f"@{server.host}", "-p", str(server.port), *flags, *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    lines = [line for line in text.splitlines() if "retrying" not in line]
    assert not [line for line in lines if line.startswith(";") and COMPLAINTS.search(line)], text
    section = text.partition("ANSWER SECTION:\n")[2].partition("\n\n")[0]
    records = [line.split(maxsplit=4) for line in section.splitlines()]
    status = re.search(r"status: (\w+)", text)
    flags_found = re.search(r"[Ff]lags: ([a-z ]*);", text)
    question = re.search(r"QUESTION SECTION:\n;;? ?(\S+)", text)
    return Reply(
        status[1] if status else "",
        set(flags_found[1].split()) if flags_found else set(),
        question[1] if question else "",
        [f"{record[3]} {record[4]}" for record in records],
        text,
    )


A = ["A 192.0.2.1", "A 192.0.2.2"]
CHAIN = [
    "CNAME chain-a-2.plain.example.",
    "CNAME chain-a-1.plain.example.",
    "CNAME h1.plain.example.",
]

BOTH = [  # arguments that both tools know: status, what the answer starts with
    (f"t-a.{ZONE}", "NOERROR", A),
    (f"t-a.{ZONE} +tcp", "NOERROR", A),
    (f"t-a.{ZONE} +noedns", "NOERROR", A),
    (f"t-a.{ZONE} +bufsize=512", "NOERROR", A),
    (f"t-a.{ZONE} +bufsize=4096", "NOERROR", A),
    (f"t-a.{ZONE} +cookie", "NOERROR", A),
    (f"t-a.{ZONE} +nocookie", "NOERROR", A),
    (f"t-a.{ZONE} +cookie +tcp", "NOERROR", A),
    (f"t-a.{ZONE} +subnet=198.51.100.0/24", "NOERROR", A),
    (f"t-a.{ZONE} +subnet=2001:db8::/56 +tcp", "NOERROR", A),
    (f"t-a.{ZONE} +dnssec", "NOERROR", A),
    (f"t-a.{ZONE} +dnssec +tcp", "NOERROR", A),
    (f"t-a.{ZONE} +cdflag +adflag", "NOERROR", A),
    (f"t-a.{ZONE} +ednsopt=65001:c0ffee", "NOERROR", A),
    (f"t-a.{ZONE} +nsid", "NOERROR", A),
    (f"t-mx.{ZONE} MX", "NOERROR", [f"MX 10 h1.{ZONE}."]),
    (f"t-https.{ZONE} HTTPS", "NOERROR", ["HTTPS 1 . "]),
    (f"t-type65400.{ZONE} TYPE65400", "NOERROR", [r"TYPE65400 \# "]),
    (f"chain-a-3.{ZONE}", "NOERROR", CHAIN),
    (f"x.dname.{ZONE} +tcp TXT", "NXDOMAIN", ["DNAME target.plain.example."]),
    (f"anything.wild.{ZONE} TXT", "NOERROR", ['TXT "wild"']),
    (f"txt-1000.{ZONE} TXT +noedns", "NOERROR", ['TXT "abc']),  # truncated, then by TCP
    (f"txt-16000.{ZONE} TXT", "NOERROR", ['TXT "abc']),
    (f"txt-64000.{ZONE} TXT +tcp", "NOERROR", ['TXT "abc']),
    (f"count-1025.{ZONE}", "NOERROR", ["A 10.0.0.1"]),
    (f"t-a.{ZONE} AAAA", "NOERROR", []),
    (f"nothing-there.{ZONE}", "NXDOMAIN", []),
    ("-x 56.78.1.3", "NOERROR", [f"PTR h3.{ZONE}."]),
    ("localhost", "NOERROR", ["A 127.0.0.1"]),
    ("localhost AAAA", "NOERROR", ["AAAA ::1"]),
    ("some.invalid", "NXDOMAIN", []),
    ("version.bind CH TXT", "REFUSED", []),
    (f"never-asked.{ZONE} +norecurse", "REFUSED", []),
]


@pytest.mark.parametrize("tool", [
    pytest.param("dig", marks=pytest.mark.real("nsd", "dig")),
    pytest.param("kdig", marks=pytest.mark.real("nsd", "kdig")),
])  # fmt: skip
@pytest.mark.parametrize(("args", "status", "answers"), BOTH)
def test_dig_and_kdig(
    plain_codns: Server, tool: str, args: str, status: str, answers: list[str]
) -> None:
    reply = ask(tool, plain_codns, *args.split())
    assert reply.status == status
    found = sorted(reply.answers) if answers == A else reply.answers
    assert bool(found) == bool(answers), reply.text
    for got, want in zip(found, answers, strict=False):
        assert got.startswith(want), reply.text
    assert {"qr"} <= reply.flags, reply.text
    assert "aa" not in reply.flags, reply.text


@pytest.mark.real("nsd", "dig")
def test_dig_is_told_why(plain_codns: Server) -> None:
    reply = ask("dig", plain_codns, f"not-cached.{ZONE}", "+norecurse")
    assert "EDE: 20" in reply.text


@pytest.mark.real("nsd", "dig")
@pytest.mark.parametrize("opcode", ["STATUS", "NOTIFY", "UPDATE", "15"])
def test_dig_other_opcodes_are_not_implemented(plain_codns: Server, opcode: str) -> None:
    assert ask("dig", plain_codns, f"t-a.{ZONE}", f"+opcode={opcode}").status == "NOTIMP"


@pytest.mark.real("nsd", "dig")
def test_dig_edns_version_1_is_badvers(plain_codns: Server) -> None:
    reply = ask("dig", plain_codns, f"t-a.{ZONE}", "+edns=1", "+noednsneg")
    assert reply.status == "BADVERS"


@pytest.mark.real("nsd", "dig")
def test_dig_zone_transfer_is_refused(plain_codns: Server) -> None:
    command = [program("dig"), f"@{plain_codns.host}", "-p", str(plain_codns.port), ZONE, "AXFR"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert "Transfer failed" in done.stdout


@pytest.mark.parametrize("tool", [
    pytest.param("dig", marks=pytest.mark.real("nsd", "dig")),
    pytest.param("kdig", marks=pytest.mark.real("nsd", "kdig")),
])  # fmt: skip
def test_truncation_is_left_alone_with_ignore(plain_codns: Server, tool: str) -> None:
    reply = ask(tool, plain_codns, f"txt-1500.{ZONE}", "TXT", "+ignore", "+notcp")
    assert "tc" in reply.flags
    assert reply.answers == []


@pytest.mark.real("nsd", "dig")
@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
def test_case_of_the_question_is_kept(plain_codns: Server, transport: str) -> None:
    for name in ("T-a.PLAIN.eXaMpLe.", "t-A.plaIN.ExAmPlE.", "t-a.plain.example."):
        reply = ask("dig", plain_codns, name, transport)
        assert reply.question == name
        assert sorted(reply.answers) == A


@pytest.mark.real("nsd", "kdig")
def test_kdig_keeps_the_connection_open(plain_codns: Server) -> None:
    names = [f"h{i}.{ZONE}" for i in range(20)]
    reply = ask("kdig", plain_codns, "+tcp", "+keepopen", *names)
    assert reply.text.count("status: NOERROR") == 20
    for name in names:
        assert f"\n{name}." in reply.text


NODE = """
const { Resolver } = require('node:dns').promises;
const r = new Resolver({ timeout: 5000, tries: 1 });
r.setServers([process.argv[1]]);
const calls = JSON.parse(process.argv[2]);
Promise.all(calls.map(([method, name]) =>
  r[method](name).then((value) => value, (error) => error.code)))
  .then((values) => console.log(JSON.stringify(values)));
"""

SRV = [
    {"name": f"h2.{ZONE}", "port": 5060, "priority": 0, "weight": 5},
    {"name": "elsewhere.example", "port": 443, "priority": 10, "weight": 0},
]
CARES: list[tuple[str, str, object]] = [
    ("resolve4", f"t-a.{ZONE}", ["192.0.2.1", "192.0.2.2"]),
    ("resolve6", f"t-aaaa.{ZONE}", ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:1"]),
    ("resolve4", f"T-A.{ZONE.upper()}", ["192.0.2.1", "192.0.2.2"]),
    ("resolve4", f"x.wild.{ZONE}", ["192.0.2.90"]),
    ("resolveTxt", f"t-spf.{ZONE}", "ENODATA"),
    ("resolveTxt", f"x.wild.{ZONE}", [["wild"]]),
    ("resolveSrv", f"t-srv.{ZONE}", SRV),
    ("resolveCname", f"chain-a-2.{ZONE}", [f"chain-a-1.{ZONE}"]),
    ("resolvePtr", "4.1.78.56.in-addr.arpa", [f"h4.{ZONE}"]),
    ("reverse", "56.78.1.5", [f"h5.{ZONE}"]),
    ("resolveNs", ZONE, [f"ns.{ZONE}", "ns2.elsewhere.example"]),
    ("resolve4", f"nothing-there.{ZONE}", "ENOTFOUND"),
    ("resolve6", f"t-a.{ZONE}", "ENODATA"),
    ("resolve4", f"chain-nx-3.{ZONE}", "ENOTFOUND"),
]


@pytest.mark.real("nsd", "node")
def test_c_ares(plain_codns: Server) -> None:
    """All at once, as a Node program does; the large ones make c-ares turn to TCP."""
    calls = [(method, name) for method, name, _ in CARES]
    large = [("resolve4", f"count-{count}.{ZONE}") for count in (100, 500, 1025)]
    large += [("resolveTxt", f"txt-{size}.{ZONE}") for size in (1500, 8000, 16_000)]
    address = f"{plain_codns.host}:{plain_codns.port}"
    command = [program("node"), "-e", NODE, address, json.dumps(calls + large)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    values = json.loads(done.stdout)
    for (method, name, want), got in zip(CARES, values, strict=False):
        order = json.dumps
        got_sorted = sorted(got, key=order) if isinstance(got, list) else got
        want_sorted = sorted(want, key=order) if isinstance(want, list) else want
        assert got_sorted == want_sorted, (method, name)
    sizes = [len(value) if len(value) > 1 else len("".join(value[0])) for value in values[-6:]]
    assert sizes == [100, 500, 1025, 1500, 8000, 16_000]
