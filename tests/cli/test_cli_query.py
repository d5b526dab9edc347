"""`codns query` against the embedded nameserver."""

import json
import re
import socket

import dns.edns
import dns.message
import pytest

from codns.cli import describe


def body(result):
    """What was printed, less what differs from run to run."""
    text = re.sub(r"id \d+", "id N", result.stdout)
    text = re.sub(r"[\d.]+ ms", "T ms", text)
    return re.sub(r"127\.0\.0\.1:\d+", "HERE", text)


def test_positive(codns, nameserver):
    result = codns("query", "www.example", f"@{nameserver.at}")
    assert result.exit_code == 0, result.output
    assert body(result) == (
        ";; NOERROR, id N, flags qr aa rd ra\n"
        ";; EDNS 0, 1232 bytes\n"
        ";; question\n"
        ";www.example. IN A\n"
        ";; answer\n"
        "www.example.  300  IN  A  192.0.2.80\n"
        ";; T ms, 56 bytes, UDP, from HERE\n"
    )


@pytest.mark.parametrize(
    ("args", "code", "found"),
    [
        (["mail.example", "aaaa"], 0, "mail.example.  300  IN  AAAA  2001:db8::25"),
        (["example", "MX"], 0, "example.  300  IN  MX  20 mail2.example."),
        (["example", "ANY"], 0, "example.  300  IN  SOA  ns1.example."),
        (["alias.example", "CNAME"], 0, "alias.example.  300  IN  CNAME  www.example."),
        (["example", "TYPE65280"], 1, ";example. IN TYPE65280"),
        (["nowhere.example"], 1, ";; NXDOMAIN"),
        (["www.example", "MX"], 1, ";; authority\nexample.  60  IN  SOA"),  # NODATA
        (["alias.example", "MX"], 1, "CNAME"),  # the chain is there, the MX is not
        (["bücher.wild.example"], 0, "xn--bcher-kva.wild.example.  300  IN  A  192.0.2.42"),
        (["-x", "192.0.2.1"], 1, ";1.2.0.192.in-addr.arpa. IN PTR"),
        (["-x", "2001:db8::1"], 1, ".8.b.d.0.1.0.0.2.ip6.arpa. IN PTR"),
        (["www.example", "--tcp"], 0, "TCP, from HERE"),
        (["www.example", "--norecurse"], 0, "flags qr aa ra\n"),
        (["www.example", "--cd"], 0, "flags qr aa rd ra cd\n"),
        (["www.example", "--dnssec"], 0, "EDNS 0, 1232 bytes, do\n"),
        (["www.example", "--bufsize", "0"], 0, "45 bytes, UDP"),  # no OPT
        (["www.example", "--bufsize", "0", "--dnssec"], 0, ", do\n"),
    ],
)
def test_questions(codns, nameserver, args, code, found):
    result = codns("query", *args, f"@{nameserver.at}")
    assert result.exit_code == code, result.output
    assert found in body(result)
    assert result.stderr == ""


def test_truncated_is_asked_again_by_tcp(codns, nameserver):
    result = codns("query", "big.example", "TXT", f"@{nameserver.at}")
    assert result.exit_code == 0
    assert body(result).startswith(";; truncated over UDP, asked again by TCP\n;; NOERROR")
    assert result.stdout.count("\nbig.example.") == 16
    assert "TCP, from HERE" in body(result)


def test_json(codns, nameserver):
    for args in (["--json", "query"], ["query", "--json"]):
        result = codns(*args, "alias.example", f"@{nameserver.at}")
        said = json.loads(result.stdout)
        assert result.exit_code == 0
        assert said.pop("time_ms") > 0
        assert isinstance(said.pop("id"), int)
        assert said == {
            "server": nameserver.at,
            "transport": "udp",
            "size": 76,
            "truncated_udp": False,
            "rcode": "NOERROR",
            "flags": ["qr", "aa", "rd", "ra"],
            "edns": {"version": 0, "size": 1232, "do": False},
            "ede": [],
            "question": {"name": "alias.example.", "class": "IN", "type": "A"},
            "answer": [
                {
                    "name": "alias.example.",
                    "ttl": 300,
                    "class": "IN",
                    "type": "CNAME",
                    "data": "www.example.",
                },
                {
                    "name": "www.example.",
                    "ttl": 300,
                    "class": "IN",
                    "type": "A",
                    "data": "192.0.2.80",
                },
            ],
            "authority": [],
            "additional": [],
        }


def test_extended_errors_have_names():
    message = dns.message.make_query("www.example", "A", use_edns=0)
    response = dns.message.make_response(message)
    response.use_edns(
        0,
        options=[
            dns.edns.EDEOption(3),
            dns.edns.EDEOption(22, "no answer from 192.0.2.1"),
            dns.edns.EDEOption(4711),
        ],
    )
    response = dns.message.from_wire(response.to_wire())
    assert describe.header(response)[2:] == [
        ";; EDE 3 (Stale Answer)",
        ";; EDE 22 (No Reachable Authority): no answer from 192.0.2.1",
        ";; EDE 4711 (EDE4711)",
    ]
    assert describe.as_json(response)["ede"][1] == {
        "code": 22,
        "name": "No Reachable Authority",
        "text": "no answer from 192.0.2.1",
    }


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "what NAME?"),
        (["a", "A", "b"], "what is 'b'? The form is NAME [TYPE] [@SERVER]"),
        (["a..b"], "'a..b' is not a domain name: A DNS label is empty"),
        (["x" * 64], f"'{'x' * 64}' is not a domain name: A DNS label is > 63 octets long"),
        (["a", "BOGUS"], "'BOGUS' is not a record type; write A, MX or TYPE65280"),
        (["a", "TYPE99999"], "'TYPE99999' is not a record type; write A, MX or TYPE65280"),
        (["a", "AXFR"], "'AXFR' is not a type that a forwarder answers"),
        (
            ["a", "@ns.example"],
            (
                '@SERVER: "ns.example" is not an address; '
                "write it like 192.0.2.1:53 or [2001:db8::1]:53"
            ),
        ),
        (["a", "@127.0.0.1", "@127.0.0.2"], "more than one @SERVER"),
        (["-x", "1.2.3"], "-x: '1.2.3' is not an IP address"),
        (["-x", "192.0.2.1", "a"], "-x goes without a NAME"),
        (
            ["a", "--timeout", "5"],
            (
                "Invalid value for '--timeout': \"5\" is not a duration; "
                "write it like 200ms, 5s, 1h or 1d"
            ),
        ),
        (["a", "--timeout", "0"], "Invalid value for --timeout: 0 is too short"),
        (["a", "--tpc"], "no option --tpc; did you mean --tcp?"),
    ],
)
def test_usage(codns, args, said):
    result = codns("query", *args)
    assert result.stderr == f"codns query: {said} (see codns query --help)\n"
    assert result.exit_code == 2
    assert result.stdout == ""


def bound_to_one_port():
    """A UDP socket and one for TCP that does not listen; somebody may have a port for TCP."""
    while True:
        closed = socket.socket()
        closed.bind(("127.0.0.1", 0))
        taken = socket.socket(type=socket.SOCK_DGRAM)
        try:
            taken.bind(closed.getsockname())
        except OSError:
            taken.close()
            closed.close()
            continue
        return taken, closed


def test_nobody_listens(codns):
    taken, closed = bound_to_one_port()
    with taken, closed:
        port = taken.getsockname()[1]
        result = codns("query", "www.example", "@127.0.0.1", "-p", port, "--tcp")
        assert result.exit_code == 3
        assert result.stderr == (
            f"codns: 127.0.0.1:{port}: nobody listens there (TCP); is codns running? (codns run)\n"
        )
        result = codns("query", "www.example", f"@127.0.0.1:{port}", "--timeout", "20ms")
        assert result.exit_code == 3
        assert result.stderr == (
            f"codns: 127.0.0.1:{port}: no answer by UDP within 20ms; "
            "try --timeout or another @SERVER\n"
        )
    result = codns("query", "www.example", f"@127.0.0.1:{port}")
    assert result.exit_code == 3
    assert "nobody listens there (UDP)" in result.stderr


def test_an_answer_that_is_lost_is_asked_for_again(codns, nameserver):
    nameserver.loss = 0.5
    nameserver._rng.seed(1)  # loses the first, keeps the second
    result = codns("query", "www.example", f"@{nameserver.at}", "--timeout", "400ms")
    assert result.exit_code == 0
    assert nameserver.queries == 2
