"""Random letters (DNS 0x20): what is sent, what is taken, and nameservers that fold them.

Policy and codec first, alone; then exchanges of a slave process.
"""

import os
import random

import pytest
from slave_rig import Nameserver, query, read_tcp, record, reply, write_tcp

from codns.slave.letters import FOLDS, HOLD_S, WINDOW_S, Letters, Mixer, repeats, without_mixed
from codns.wire.batch import FLAG_MIXED_CASE, FOLDED, GUARDED, UNMATCHED, WRONG_CASE
from codns.wire.name import from_text
from codns.wire.outcome import Outcome

FORGED = record(bytes((203, 0, 113, 66)))
NAME = "www.example.org."


def swapped(message):
    """The same message, the letters of its question the other way round."""
    end = message.index(b"\0", 12)
    return message[:12] + message[12:end].swapcase() + message[end:]


# -- the coin -----------------------------------------------------------------------------------


def test_only_letters_of_the_name_change_and_each_does():
    asked = query("a1-Z.x_y.[@`{.example.org.")
    mixer, seen = Mixer(random.Random(1).randbytes), set()
    for _ in range(64):
        mixed = mixer.mix(asked)
        assert mixed.lower() == asked.lower()
        assert mixed[:12] == asked[:12]
        assert mixed[-15:] == asked[-15:]  # the root, type, class and OPT
        seen.update(enumerate(mixed))
    both = {at for at, _ in seen if sum(a == at for a, _ in seen) == 2}
    assert both == {at for at in range(12, len(asked) - 15) if chr(asked[at]).isalpha()}


def test_each_letter_is_a_fair_coin_of_its_own():
    mixer = Mixer(random.Random(2).randbytes)
    names = [mixer.mix(query())[12:29] for _ in range(4000)]
    assert len(set(names)) > 3000  # of 8,192
    for at in (1, 2, 3, 5, 6, 11, 13, 15):
        assert 1850 < sum(name[at] < 0x60 for name in names) < 2150  # 4 sigma and more


def test_the_kernels_randomness_is_what_it_takes():
    assert Mixer()._random is os.urandom
    taken = []
    fresh = Mixer(lambda size: taken.append(size) or b"\xff" * size)
    assert fresh.mix(query())[13:16] == b"WWW"
    assert taken == [16384]
    for _ in range(2000):  # a new block when one is used up
        fresh.mix(query())
    assert len(taken) == 2


@pytest.mark.parametrize("name", [".", "1.2.3.4.", r"\000abc.Example.", "X." * 127])
def test_odd_names(name):
    mixed = Mixer().mix(query(name))
    assert mixed.lower() == query(name).lower()
    assert repeats(mixed, reply(mixed))


def test_what_repeats():
    mixed = Mixer(random.Random(3).randbytes).mix(query())
    assert repeats(mixed, reply(mixed, record()))
    assert not repeats(mixed, reply(query(), record()))
    for at in range(13, 28):
        flipped = bytes((mixed[at] ^ 0x20,))
        if chr(mixed[at]).isalpha():
            assert not repeats(mixed, reply(mixed[:at] + flipped + mixed[at + 1 :]))


def test_owners_written_out_are_lower_case_again():
    qname = from_text("wWw.ExamPLE.org.")
    pieces = [
        qname + record()[2:],
        record(),  # points to the question
        from_text("ExamPLE.org.") + record(b"\3wWw\0", rtype=16)[2:],
        from_text("Other.Org.") + record(qname, rtype=5)[2:],  # not ours; nor is RDATA
    ]
    offsets, at = b"", 0
    for piece in pieces:
        owner = 2 if piece[0] >= 0xC0 else piece.index(0) + 1
        offsets += (at + owner + 4).to_bytes(2, "little")
        at += len(piece)
    pieces[0] = from_text("www.example.org.") + record()[2:]
    expected = list(pieces)
    pieces[0] = qname + record()[2:]
    expected[2] = from_text("example.org.") + record(b"\3wWw\0", rtype=16)[2:]
    assert without_mixed(b"".join(pieces), offsets, qname) == b"".join(expected)
    assert without_mixed(record(), b"\6\0", qname) == record()


# -- who folds ----------------------------------------------------------------------------------


def test_four_in_a_minute_are_enough():
    letters = Letters()
    assert [letters.lost(n * 10.0) for n in range(FOLDS)] == [False] * 3 + [True]
    assert letters.until == 30.0 + HOLD_S


def test_slower_ones_are_not():
    letters = Letters()
    assert not any(letters.lost(n * WINDOW_S / 2) for n in range(20))


def test_letters_kept_over_tcp_clear_the_record():
    letters = Letters()
    for _ in range(3):
        assert not any(letters.lost(1.0) for _ in range(FOLDS - 1))
        letters.kept()


def test_later_one_failure_is_enough_until_letters_are_kept():
    letters = Letters()
    assert [letters.lost(0.0) for _ in range(FOLDS)][-1]
    assert not letters.lost(1.0)  # out since before
    after = HOLD_S + 1
    assert letters.lost(after)
    letters.kept()
    after = letters.until + 1
    assert [letters.lost(after) for _ in range(FOLDS)] == [False] * 3 + [True]


# -- exchanges ----------------------------------------------------------------------------------


def mixed_job(slave, number=1, name=NAME, **options):
    slave.job(number, query(name), flags=FLAG_MIXED_CASE, **options)


def over_tcp(nameserver, change=lambda message: message, data=record):
    """Answer what comes over TCP; the query."""
    with nameserver.accept() as connection:
        asked = read_tcp(connection)
        write_tcp(connection, change(reply(asked, data())))
    return asked


def receive_mixed(nameserver):
    """The next query over UDP, which is `query()` in some letters."""
    asked, client = nameserver.receive()
    assert asked[12:29].lower() == query()[12:29]
    return asked, client


def test_asked_in_random_letters_and_the_answer_is_plain(slave, nameserver):
    seen = set()
    for number in range(20):
        mixed_job(slave, number)
        asked, client = receive_mixed(nameserver)
        seen.add(asked[12:29])
        nameserver.send(reply(asked, record()), client)
        result = slave.result()
        assert (result.outcome, result.body) == (Outcome.ANSWER, record())
    assert len(seen) > 15  # of 8,192: three the same would be one in millions


def test_without_the_flag_nothing_changes(slave, nameserver):
    slave.job(1)
    asked, client = nameserver.receive()
    assert asked[2:] == query()[2:]
    nameserver.send(swapped(reply(asked, record())), client)
    assert slave.result().body == record()


def test_right_but_for_its_letters_is_not_taken(own_slave, nameserver):
    """The forger has id, port, source and question; the nameserver's own word is over TCP."""
    slave = own_slave
    for number in range(3 * FOLDS):
        mixed_job(slave, number, f"n{number}.bank.example.")
        asked, client = nameserver.receive()
        nameserver.send(swapped(reply(asked, FORGED)), client)
        assert over_tcp(nameserver)[12:] == asked[12:]
        result = slave.result()
        assert (result.outcome, result.body) == (Outcome.ANSWER, record())
    mixed_job(slave)  # however often: a nameserver that keeps letters over TCP gets them
    asked, client = receive_mixed(nameserver)
    nameserver.send(reply(asked, record()), client)
    assert slave.result().body == record()
    slave.wait_event(WRONG_CASE, 3 * FOLDS)
    assert slave.events[FOLDED] == 0


def test_the_true_answer_after_it_is_late_and_no_forgery(small_slave, nameserver):
    """With several exchanges on each port, so that it is still open for the second."""
    slave, count = small_slave, 40
    for number in range(count):
        mixed_job(slave, number, f"n{number}.bank.example.")
    for asked, client in [nameserver.receive() for _ in range(count)]:
        nameserver.send(swapped(reply(asked, FORGED)), client)
        nameserver.send(reply(asked, record()), client)
    for _ in range(count):
        over_tcp(nameserver)
    assert [slave.result().body for _ in range(count)] == [record()] * count
    slave.wait_event(WRONG_CASE, count)
    assert slave.events[UNMATCHED] == 0


def test_a_nameserver_that_folds_letters_is_asked_in_lower_case(own_slave, nameserver):
    slave = own_slave
    for number in range(FOLDS):
        mixed_job(slave, number)
        asked, client = receive_mixed(nameserver)
        nameserver.send(swapped(reply(asked, record())), client)
        over_tcp(nameserver, swapped)
        assert slave.result().outcome is Outcome.ANSWER
    for number in range(5):
        mixed_job(slave, number)
        asked, client = nameserver.receive()
        assert asked[2:] == query()[2:]
        nameserver.send(swapped(reply(asked, record())), client)
        assert slave.result().outcome is Outcome.ANSWER
    assert slave.events[FOLDED] == 1


def test_one_that_folds_and_has_no_tcp(own_slave):
    """Three questions fail; the fourth, and all after it, go over UDP in lower case."""
    server = Nameserver()  # nobody listens on its TCP port
    slave, outcomes = own_slave, []
    slave.server(server, 1)
    for number in range(FOLDS + 2):
        slave.job(number, query(), number=1, flags=FLAG_MIXED_CASE)
        asked, client = receive_mixed(server)
        server.send(swapped(reply(asked, record())), client)
        if number == FOLDS - 1:  # this one is asked again
            again, client = server.receive()
            assert again[2:] == asked[2:]
            server.send(swapped(reply(again, record())), client)
        outcomes.append(slave.result().outcome)
    assert outcomes == [Outcome.UNREACHABLE] * (FOLDS - 1) + [Outcome.ANSWER] * 3
    assert slave.events[FOLDED] == 1
    server.close()


def test_without_edns_it_is_asked_in_letters_thrown_anew(slave, nameserver):
    mixed_job(slave)
    asked, client = receive_mixed(nameserver)
    nameserver.send(reply(asked, rcode=1, opt=False), client)
    plain, client = receive_mixed(nameserver)
    assert plain[10:12] == b"\0\0"
    nameserver.send(swapped(reply(plain, FORGED)), client)
    over_tcp(nameserver)
    assert slave.result().body == record()


def test_a_failure_in_wrong_letters_is_not_taken_either(slave, nameserver):
    mixed_job(slave)
    asked, client = receive_mixed(nameserver)
    nameserver.send(swapped(reply(asked, rcode=2)), client)
    over_tcp(nameserver)
    assert slave.result().outcome is Outcome.ANSWER


def test_a_truncated_answer_goes_over_tcp_in_the_same_letters(slave, nameserver):
    mixed_job(slave)
    asked, client = receive_mixed(nameserver)
    nameserver.send(reply(asked, flags=0x8380), client)
    assert over_tcp(nameserver)[12:] == asked[12:]
    assert slave.result().outcome is Outcome.ANSWER


def test_wrong_letters_count_towards_the_names_guard(own_slave, nameserver):
    slave = own_slave
    for number in range(16):
        mixed_job(slave, number)
    received = [receive_mixed(nameserver) for _ in range(16)]
    for asked, client in received:
        nameserver.send(swapped(reply(asked, FORGED)), client)
    for _ in range(16):
        over_tcp(nameserver)
    assert [slave.result().body for _ in range(16)] == [record()] * 16
    mixed_job(slave, 99)
    over_tcp(nameserver)  # guarded: not over UDP at all
    assert slave.result().job == 99
    slave.wait_event(GUARDED, 1)


def test_what_answers_nothing_is_told(own_slave, nameserver):
    own_slave.job(1)
    asked, client = nameserver.receive()
    for change in range(3):
        other = bytes((asked[0] ^ 1 + change, asked[1]))
        nameserver.send(other + reply(asked, FORGED)[2:], client)
    nameserver.send(reply(asked, record()), client)
    own_slave.result()
    own_slave.wait_event(UNMATCHED, 3)


def test_an_owner_written_out_comes_without_random_letters(slave, nameserver):
    mixed_job(slave)
    asked, client = receive_mixed(nameserver)
    qname = asked[12 : asked.index(0, 12) + 1]
    nameserver.send(reply(asked, qname + record()[2:]), client)
    assert slave.result().body == from_text(NAME) + record()[2:]
