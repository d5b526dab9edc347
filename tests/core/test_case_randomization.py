"""Which jobs ask for random letters: clients' lookups, and not what the node asks for itself."""

import random

import pytest

from codns.core.model import Client, SendJob
from codns.core.node import Node
from codns.core.settings import Settings
from codns.wire.batch import FLAG_FIRST_RRSET, FLAG_MIXED_CASE

A, ANY = 1, 255


def ask(node, number, qtype, now):
    head = bytes((0, number, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0))
    wire = head + b"\3WwW\7eXample\0" + bytes((0, qtype, 0, 1))
    client = Client("udp", b"\x7f\0\0\1", number, lambda _: None)
    return jobs(node.client_query(wire, client, now))


def jobs(effects):
    return [effect for effect in effects if isinstance(effect, SendJob)]


@pytest.mark.parametrize("on", [False, True])
def test_flags_of_jobs(on):
    settings = Settings(nameservers=("192.0.2.53#53",), case_randomization=on)
    node, mixed = Node(settings, random.Random(1), 0.0), FLAG_MIXED_CASE if on else 0
    (first,), (second,) = ask(node, 1, A, 0.0), ask(node, 2, ANY, 0.0)
    assert (first.flags, second.flags) == (mixed, mixed | FLAG_FIRST_RRSET)
    assert b"\3www\7example\0" in first.wire  # the letters are the slave's to throw
    (check,) = jobs(node.start(0.0))
    assert check.flags == 0  # 128 random bits of its own


def test_a_change_is_for_the_next_lookup():
    settings = Settings(nameservers=("192.0.2.53#53",))
    node = Node(settings, random.Random(1), 0.0)
    assert ask(node, 1, A, 0.0)[0].flags == 0
    changed = Settings(nameservers=("192.0.2.53#53",), case_randomization=True)
    node.configure(changed, 0.0)
    assert ask(node, 2, 28, 0.0)[0].flags == FLAG_MIXED_CASE
