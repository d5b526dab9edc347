"""What a peer may say to a question it was asked: any fields, any body.

The other targets send replies to nothing, which are dropped by their number. Here the node has met
the peer, a client waits, and the nameserver is silent: whatever the reply says is what the client
would get. It is read by other means than codns's own (`dns.name`, record by record).
"""

import random
import struct

import dns.name
import dns.wire
from fuzz_targets import NODE
from peerwire import B

from codns.core.messages import HeartbeatReply, HeartbeatRequest, Query, QueryReply, Report, Status
from codns.core.model import Answer, Client, SendPeer
from codns.core.node import Node
from codns.core.settings import Settings
from codns.core.stats import REJECTED
from codns.peer.codec import PeerError, decode, encode
from codns.wire.outcome import Outcome

FIELDS = struct.Struct(">BBHIHHB")  # qtype, outcome, rcode, ttl, counts, octets of offsets
TYPES = (1, 5, 6, 15, 16, 28, 65280)
NAME = b"\3www\7example\0"
REPORT = Report(0.004, False, False, (b"another.",), 0, 32, "test")
TTL_MAX = 60
LATER_S = 1.5  # a second answer, from the cache, if there is one
A = b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4\xcb\0\x71\1"
SOA = b"\xc0\x10\0\6\0\1\0\0\1\x2c\0\x16\0\0" + struct.pack(">IIIII", 1, 2, 3, 4, 300)


def seed(qtype, outcome, rcode, body, ancount, nscount=0, offsets=b"\6\0"):
    """A reply as the target takes it."""
    fields = FIELDS.pack(qtype, outcome, rcode, 300, ancount, nscount, len(offsets))
    return fields + offsets + body


class Liars:
    """A reply to what was asked."""

    seeds = [
        seed(0, 0, 0, A, 1),
        seed(0, 0, 0, A + A, 2, offsets=b"\6\0\x16\0"),
        seed(0, 0, 0, A + SOA, 1, 1),
        seed(0, 1, 0, SOA, 0, 1),
        seed(0, 2, 3, SOA, 0, 1),
        seed(0, 2, 3, b"\xc0\x0c\0\5\0\1\0\0\1\x2c\0\2\xc0\x10" + SOA, 1, 1),
        seed(0, 0, 0, b"\7example\0" + A[2:] + A, 2),
        seed(0, 0, 0, b"\xc0\x0c\0\5\0\1\0\0\1\x2c\0\4\1b\xc0\x10\xc0\x29" + A[2:], 2),
    ]

    def feed(self, data):
        data = data.ljust(FIELDS.size, b"\0")
        kind, outcome, rcode, ttl, ancount, nscount, size = FIELDS.unpack_from(data)
        start = FIELDS.size + size
        said = QueryReply(
            0, Status.ANSWER, Outcome(outcome % 4), rcode & 0xFFF, bool(kind & 0x80), True,
            ttl & 0x7FFFFFFF, ancount, nscount, data[start : start + 14_000],
            data[FIELDS.size : start],
        )  # fmt: skip
        try:
            decode(encode(said))
        except PeerError as error:
            assert error.reason == "malformed"  # noqa: PT017
            return "malformed"
        question = NAME + TYPES[kind % len(TYPES)].to_bytes(2, "big") + b"\0\1"
        return self.told(question, said)

    def told(self, question, said):
        """Let a client ask and the peer answer; what the client gets is looked at."""
        settings = {"race_delay_s": 0.0, "race_delay_min_s": 0.0}
        node = Node(Settings(**NODE, **settings), random.Random(5), 0.0)
        answers, asked = [], []

        def take(effects, now):
            for effect in effects:
                if isinstance(effect, Answer):
                    answers.append(effect.wire)
                elif isinstance(effect, SendPeer) and isinstance(effect.message, Query):
                    asked.append(effect.message.id)
                elif isinstance(effect, SendPeer) and isinstance(effect.message, HeartbeatRequest):
                    reply = HeartbeatReply(effect.message.token, full=False, report=REPORT)
                    take(node.peer_message(reply, effect.peer, now), now)

        take(node.set_peers([B], 0.0), 0.0)
        take(node.handle_timeout(1.0), 1.0)
        for now in (2.0, 2.0 + LATER_S):
            wire = b"\0\7\1\0\0\1\0\0\0\0\0\0" + question
            client = Client("tcp", b"\x7f\0\0\1", now, lambda _: None)
            take(node.client_query(wire, client, now), now)
            take(node.handle_timeout(now), now)
            while asked:
                fields = {name: getattr(said, name) for name in said.__struct_fields__}
                take(node.peer_message(QueryReply(**{**fields, "id": asked.pop()}), B, now), now)
        for wire in answers:
            self.look(wire, question)
        state, fleet, _, _ = node.parts
        assert all(key[:-5] == NAME for key in state.cache._entries)
        (why, *_) = [why for why in REJECTED if fleet.counts.rejected[why]] or ["sound"]
        return f"{why} {len(answers)} {len(state.cache)}"

    @staticmethod
    def look(wire, question):
        """Owners are names, records end where the message does, nobody keeps it for longer."""
        assert wire[12 : 12 + len(question)] == question
        ancount, nscount = struct.unpack_from(">HH", wire, 6)
        parser = dns.wire.Parser(wire, 12 + len(question))
        for _ in range(ancount + nscount):
            dns.name.from_wire_parser(parser)
            _, _, ttl, size = parser.get_struct("!HHIH")
            assert ttl <= TTL_MAX
            parser.get_bytes(size)
        assert parser.remaining() == 0


LIAR_TARGETS = {"liars": Liars}
