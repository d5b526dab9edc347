"""Every parser of bytes that somebody else wrote, as something that takes any bytes.

A target has `seeds` (sound inputs) and `feed(data)`, which returns what came of it in a word:
that word is what the fuzzer collects inputs by. `feed` lets nothing leave but a failure: the one
exception each parser may raise is caught here by its name, and what it returns is checked.
"""

import random
import sys
from itertools import count
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "peer"), str(TESTS / "wire")]

from peerwire import A, B, answer, heartbeat, link, query, sealed, source  # noqa: E402
from wire_samples import ask, header, opt_record, option, question, response  # noqa: E402

from codns.config.document import DEPTH_MAX  # noqa: E402
from codns.config.load import parse as parse_config  # noqa: E402
from codns.config.problems import ConfigError  # noqa: E402
from codns.config.resolvconf import parse as parse_resolvconf  # noqa: E402
from codns.core.model import Answer, Client, SendJob, SendPeer  # noqa: E402
from codns.core.node import Node  # noqa: E402
from codns.core.settings import PeerSettings, Settings  # noqa: E402
from codns.master.statefile import parse as parse_state  # noqa: E402
from codns.peer.codec import PeerError, decode, encode  # noqa: E402
from codns.peer.frame import Frame, pack  # noqa: E402
from codns.wire.batch import Result, frames, pack_job, unpack_result  # noqa: E402
from codns.wire.digest import digest, matches  # noqa: E402
from codns.wire.errors import WireError  # noqa: E402
from codns.wire.outcome import Outcome  # noqa: E402
from codns.wire.plain import plain_result  # noqa: E402
from codns.wire.query import parse_query  # noqa: E402
from codns.wire.tcp import Framer, frame  # noqa: E402

RENEWED = 2000  # inputs after which a target starts with a new node: growth is another test's
STEP_S = 0.013  # virtual time between inputs

NODE = {
    "nameservers": ("192.0.2.53#53",),
    "probe": False,
    "peers": PeerSettings(me=A, heartbeat_s=2.0),
}


def result(job, wire, elapsed=0.004):
    """What a slave would tell of this answer (None: of silence)."""
    if wire is None or not matches(job.wire, wire):
        return Result(
            job.job, Outcome.TIMEOUT, 0, False, False, False, 0, 0, 0, elapsed, b"", b"", b""
        )
    try:
        d = digest(job.wire, wire)
    except WireError:
        return result(job, None)
    return Result(
        job.job,
        d.outcome,
        d.rcode,
        d.ad,
        d.cacheable,
        d.soa,
        d.ancount,
        d.nscount,
        d.ttl,
        elapsed,
        d.body,
        d.offsets,
        d.derived,
    )


class Surroundings:
    """A node with peers whose effects are checked; its nameserver answers every other query."""

    def __init__(self):
        self.now = 0.0
        self.turn = count()
        self.fed = 0
        self.renew()

    def renew(self):
        self.node = Node(Settings(**NODE), random.Random(5), self.now)
        self.link = link(A)
        self.answers = 0
        self.take(self.node.set_peers([A, B], self.now))
        self.take(self.node.start(self.now))

    def turned(self):
        """One input more: time passes, and the node is a new one now and then."""
        self.fed += 1
        if self.fed % RENEWED == 0:
            self.renew()
        self.now += STEP_S
        timeout = self.node.next_timeout()
        if timeout is not None and timeout <= self.now:
            self.take(self.node.handle_timeout(self.now))

    def take(self, effects):
        for effect in effects:
            match effect:
                case Answer():
                    assert 12 <= len(effect.wire) <= 65535
                    assert effect.wire[2] & 0x80
                    self.answers += 1
                case SendJob():
                    assert effect.timeout_s > 0
                    pack_job(effect.job, 0, effect.flags, effect.timeout_s, effect.wire)
                    good = None
                    if next(self.turn) % 2:
                        good = reply_to(effect.wire)
                    self.take(self.node.job_done(result(effect, good), self.now))
                case SendPeer():
                    encode(effect.message)
                    try:
                        self.link.seal(effect.message, effect.peer, self.now)
                    except PeerError as error:
                        assert error.reason == "too large"  # noqa: PT017

    def client(self, wire, transport="udp"):
        """A datagram or message of a client, as the pump gives it to the node."""
        before = self.answers
        if len(wire) >= 12 and not wire[2] & 0x80:
            tail = self.node.cached(wire[2:], transport, self.now)
            if tail is not None:
                assert tail[0] & 0x80
                return "cached"
        self.take(
            self.node.client_query(
                wire, Client(transport, b"\x7f\0\0\1", self.fed, lambda _: None), self.now
            )
        )
        return "answered" if self.answers > before else "quiet"


def reply_to(wire):
    """A plain answer (one A record) to a query of ours."""
    end = 12
    while wire[end]:
        end += 1 + wire[end]
    asked = wire[12 : end + 5]
    rdata = b"\xc0\x0c" + asked[-4:-2] + b"\0\1\0\0\0\x3c\0\4\xc0\0\2\1"
    return wire[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + asked + rdata


ECS = option(8, b"\0\1\x18\0\xc0\0\2")
QUERIES = [
    header() + question(),
    header(counts=(1, 0, 0, 1)) + question() + opt_record(),
    header(counts=(1, 0, 0, 1)) + question() + opt_record(options=option(10, b"12345678") + ECS),
    header() + b"\x09localhost\0\0\1\0\1",
    header() + b"\x03www\x07example\0\0\xff\0\1",
]
SOA = "example. 900 IN SOA ns.example. host.example. 1 3600 600 86400 300"
RESPONSES = [
    response(ask(), ["www.example. 300 IN A 192.0.2.1"]),
    response(ask(), ["www.example. 60 IN CNAME cdn.example.", "cdn.example. 30 IN A 192.0.2.9"]),
    response(ask(), ["example. 9 IN DNAME other.", "www.other. 9 IN A 192.0.2.1"], edns=False),
    response(ask(), [], [SOA], rcode=3),
    response(ask(), [], ["other. 9 IN NS ns.other.", SOA]),
    response(ask(), [], [], rcode=2),
]


class Clients(Surroundings):
    """A datagram of a client: the exact cache, the parser, the node."""

    seeds = QUERIES

    def feed(self, data):
        self.turned()
        said = self.client(data)
        try:
            parse_query(data)
        except WireError as error:
            assert error.rcode in {None, 1, 4, 5, 16}  # noqa: PT017
            return f"{said} {error.args[0][:40]}"
        return said


class Streams(Surroundings):
    """A TCP stream of a client, cut where the first bytes say."""

    seeds = [
        b"\1" + frame(QUERIES[0]),
        b"\7" + frame(QUERIES[1]) + frame(QUERIES[2]),
        b"\xff" + b"".join(map(frame, QUERIES)),
    ]

    def feed(self, data):
        self.turned()
        step = data[0] % 40 + 1 if data else 1
        stream = data[1:]
        pieces = [stream[i : i + step] for i in range(0, len(stream), step)]
        cut, cut_error = self.messages(pieces)
        whole, whole_error = self.messages([stream])
        assert cut_error == whole_error
        assert whole_error or cut == whole
        said = {self.client(message, "tcp") for message in cut}
        return f"{min(len(cut), 3)} {cut_error} {sorted(said)}"

    @staticmethod
    def messages(pieces):
        framer, out = Framer(4096), []
        try:
            for piece in pieces:
                out += framer.feed(piece)
                assert framer.pending <= 4098
        except WireError as error:
            assert error.rcode is None  # noqa: PT017
            return out, True
        return out, False


class Nameservers(Surroundings):
    """An answer of a nameserver: the straight way and the thorough one, then the node's cache."""

    seeds = RESPONSES

    def feed(self, data):
        self.turned()
        asked = ask()
        if len(data) > 2 and data[2] & 1:  # the slave finds the exchange by the id: mostly right
            data = asked[:2] + data[2:]
        fast = plain_result(1, asked, data, 10) if data[:2] == asked[:2] else None
        if not matches(asked, data):
            assert fast is None
            return "no match"
        try:
            d = digest(asked, data)
        except WireError as error:
            assert fast is None
            return error.args[0][:40]
        if fast is not None:
            (_, start, _) = next(frames(fast))
            plain = unpack_result(fast, start)
            same = (plain.outcome, plain.rcode, plain.ttl, plain.body, plain.offsets)
            assert same == (d.outcome, d.rcode, d.ttl, d.body, d.offsets)
        self.look_up(data)
        return f"{d.outcome.name} {min(d.ancount, 3)} {d.cacheable} {bool(d.derived)}"

    def look_up(self, data):
        """The same as an answer to the node's own query."""
        node = Node(Settings(nameservers=NODE["nameservers"], probe=False), random.Random(1), 0.0)
        client = Client("udp", b"\x7f\0\0\1", 1, lambda _: None)
        effects = node.client_query(header() + question(), client, 0.0)
        for job in [e for e in effects if isinstance(e, SendJob)]:
            if matches(job.wire, job.wire[:2] + data[2:]):
                for effect in node.job_done(result(job, job.wire[:2] + data[2:]), 0.004):
                    assert not isinstance(effect, Answer) or effect.wire[2] & 0x80


def greeted():
    """Two links that know each other."""
    a, b = link(A), link(B)
    for datagram in b.seal(heartbeat(1), A, 0.0):
        received = a.receive(datagram, source(B), 0.0)
        for reaction in received.datagrams:
            back = b.receive(reaction, source(A), 0.0)
            for last in back.datagrams if back else []:
                a.receive(last, source(B), 0.0)
    return a, b


class Strangers(Surroundings):
    """A datagram at the peer port, before anything is known of it."""

    def __init__(self):
        super().__init__()
        self.near, far = greeted()
        messages = [heartbeat(2), query(3), answer(4, 100)]
        self.seeds = [d for m in messages for d in far.seal(m, A, 0.0)]

    def feed(self, data):
        before = dict(self.near.drops)
        received = self.near.receive(data, source(B), 0.0)
        new = [r for r, n in self.near.drops.items() if n != before[r]]
        assert received is not None or new, "a datagram left no trace"
        return " ".join(new) or "taken"


class Insiders(Surroundings):
    """What is under the seal of a peer: any body, any payload, and on to the node."""

    def __init__(self):
        super().__init__()
        self.near, self.far = greeted()
        self.counter = count(10_000)
        messages = [heartbeat(2), query(3), answer(4, 100)]
        self.seeds = [b"\0" + encode(message) for message in messages]
        body = Frame(self.far._boot, 9_000, bytes(16), b"", 0, 0, encode(query(5)))
        self.seeds.append(b"\1" + pack(body))

    def feed(self, data):
        self.turned()
        if data[:1] == b"\1":
            body = data[1:]
        else:
            body = pack(Frame(self.far._boot, next(self.counter), b"", b"", 0, 0, data[1:900]))
        try:
            message = decode(data[1:])
        except PeerError as error:
            assert error.reason in {"kind", "malformed"}  # noqa: PT017
        else:
            self.take(self.node.peer_message(message, B, self.now))
        before = dict(self.near.drops)
        datagram = sealed(self.far, A, body[:1100])
        received = self.near.receive(datagram, source(B), self.now)
        if received is None or received.message is None:
            return " ".join(r for r, n in self.near.drops.items() if n != before[r])
        self.take(self.node.peer_message(received.message, B, self.now))
        return type(received.message).__name__


class Configurations:
    """The text of a configuration file."""

    seeds = [
        b"listen: [127.0.0.1:5353]\nnameservers: [192.0.2.1]\n",
        b"zones:\n  corp.example: {nameservers: [10.0.0.1], peers: false}\n",
        b'log: {level: "debug"}\ncache: {entries: 10, stale: 1d}\nallow: ["::1", 127.0.0.0/8]\n',
        b"peers:\n  nodes: [192.0.2.7:7353]\n  key_file: /etc/codns/key\n",
        b"a: " + b"[" * (DEPTH_MAX + 1),
        b"x: &a [1]\ny: *a\nz: !!int q\n",
    ]

    def feed(self, data):
        text = data.decode("utf-8", "replace")
        try:
            parse_config(text)
        except ConfigError as error:
            return str(error.problems[0].text)[:12]
        return "sound"


class ResolvConfs:
    """The text of /etc/resolv.conf."""

    seeds = [
        b"nameserver 192.0.2.1\nnameserver fe80::1%eth0\nsearch a.example b.example\n",
        b"options timeout:1 attempts:2 rotate edns0\n; x\n# y\ndomain z\n",
    ]

    def feed(self, data):
        parse_resolvconf(data.decode("utf-8", "replace"))
        return "read"


class StateFiles(Surroundings):
    """peers.json, and the zones in it."""

    seeds = [
        b'{"nodes": {"srv:_c._udp.x.": ["192.0.2.7:7353"]}, "zones": {"corp.example.": {}}}',
        b'{"nodes": {}, "zones": {"corp.example.": {"seconds": 86000, "why": "x"}}}',
        b'{"nodes": {}, "zones": {"a.": 1, "..": {"seconds": -1e300}}}',
    ]

    def feed(self, data):
        self.turned()
        try:
            state = parse_state(data)
        except ValueError:
            return "refused"
        taught = self.node.load_learned_zones(state.zones, self.now)
        return f"{min(len(state.nodes), 2)} {min(taught, 3)}"


TARGETS = {
    "clients": Clients,
    "streams": Streams,
    "nameservers": Nameservers,
    "strangers": Strangers,
    "insiders": Insiders,
    "configurations": Configurations,
    "resolvconfs": ResolvConfs,
    "statefiles": StateFiles,
}
