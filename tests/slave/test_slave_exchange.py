"""What a slave makes of what nameservers do: one exchange at a time, real sockets."""

import resource
import socket

import pytest
from slave_rig import ADDRESS_A, Nameserver, SlaveRig, query, record, reply

from codns.slave.exchange import EXCHANGES_MAX
from codns.wire.batch import FLAG_FIRST_RRSET, pack_job
from codns.wire.outcome import Outcome

FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 1, 2, 3, 4, 5


def test_an_answer(slave, nameserver):
    slave.job(7)
    asked, client = nameserver.receive()
    assert asked[2:] == query()[2:]  # all but the id is as the master wrote it
    nameserver.send(reply(asked, record()), client)
    result = slave.result()
    assert (result.job, result.outcome, result.ancount) == (7, Outcome.ANSWER, 1)
    assert (result.ttl, result.cacheable) == (300, True)
    assert result.body == record()
    assert 0 < result.elapsed < 5


@pytest.mark.parametrize(
    ("rcode", "outcome"),
    [
        (0, Outcome.NODATA),
        (SERVFAIL, Outcome.SERVFAIL),
        (NXDOMAIN, Outcome.NXDOMAIN),
        (REFUSED, Outcome.REFUSED),
        (FORMERR, Outcome.FORMERR),  # with an OPT: it understood EDNS, and refused the rest
        (NOTIMP, Outcome.NOTIMP),
        (9, Outcome.OTHER),
    ],
)
def test_outcomes(slave, nameserver, rcode, outcome):
    slave.job(1)
    asked, client = nameserver.receive()
    nameserver.send(reply(asked, rcode=rcode), client)
    assert slave.result().outcome is outcome


@pytest.mark.parametrize("rcode", [SERVFAIL, REFUSED])
def test_a_header_alone_is_a_failure(slave, nameserver, rcode):
    slave.job(1)
    asked, client = nameserver.receive()
    nameserver.send(asked[:2] + bytes((0x81, 0x80 | rcode)) + bytes(8), client)
    assert slave.result().outcome == rcode + (1 if rcode == SERVFAIL else -1)


def test_malformed_records_are_formerr(slave, nameserver):
    slave.job(1)
    asked, client = nameserver.receive()
    nameserver.send(reply(asked, record())[:-15], client)
    assert slave.result().outcome is Outcome.FORMERR


def test_no_answer_is_a_timeout_not_early(slave, nameserver):
    slave.job(1, timeout_s=0.1)
    nameserver.receive()
    result = slave.result()
    assert result.outcome is Outcome.TIMEOUT
    assert 0.1 <= result.elapsed < 3.0


def test_timeouts_end_in_order_of_time(slave, nameserver):
    slave.jobs([pack_job(number, 0, 0, 0.3 - number * 0.1, query()) for number in range(3)])
    assert [slave.result().job for _ in range(3)] == [2, 1, 0]


def test_an_answer_after_the_timeout_is_nothing(small_slave, nameserver):
    slave = small_slave
    slave.job(1, timeout_s=0.02)
    asked, client = nameserver.receive()
    assert slave.result().outcome is Outcome.TIMEOUT
    nameserver.send(reply(asked, record()), client)
    assert slave.quiet()
    # Late is not forged: the port stays in use
    ports = set()
    for number in range(200):
        slave.job(number)
        asked, source = nameserver.receive()
        ports.add(source[1])
        nameserver.send(reply(asked, record()), source)
        slave.result()
    assert client[1] in ports


def test_nobody_listens(slave):
    closed = Nameserver()
    closed.close()
    slave.server(closed, 1)
    slave.jobs([pack_job(number, 1, 0, 30.0, query()) for number in range(50)])
    results = [slave.result() for _ in range(50)]
    assert {result.outcome for result in results} == {Outcome.UNREACHABLE}
    assert max(result.elapsed for result in results) < 5


def test_no_route(slave):
    slave.server("255.255.255.255#53", 1)  # connect() is refused for lack of SO_BROADCAST
    slave.job(1, number=1)
    assert slave.result().outcome is Outcome.UNREACHABLE


def test_unknown_server_number(slave):
    slave.job(1, number=9)
    assert slave.result().outcome is Outcome.OVERLOAD


def test_a_number_may_get_another_address(slave, nameserver):
    slave.job(1)
    asked, client = nameserver.receive()
    other = Nameserver()
    slave.server(other)
    slave.job(2)
    asked_other, client_other = other.receive()
    other.send(reply(asked_other, record()), client_other)
    assert slave.result().job == 2
    nameserver.send(reply(asked, record()), client)  # the one that was out is not lost
    assert slave.result().job == 1
    other.close()


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 in this Python")
def test_ipv6(slave):
    try:
        server = Nameserver("::1")
    except OSError:
        pytest.skip("no ::1 here")
    slave.server(server, 1)
    slave.job(3, number=1)
    asked, client = server.receive()
    server.send(reply(asked, record()), client)
    assert slave.result().outcome is Outcome.ANSWER
    server.close()


@pytest.mark.parametrize("bare", [False, True], ids=["question", "header alone"])
@pytest.mark.parametrize("rcode", [FORMERR, NOTIMP])
def test_a_server_without_edns_is_asked_again(slave, nameserver, rcode, bare):
    slave.job(1)
    asked, client = nameserver.receive()
    assert asked[10:12] == b"\0\1"
    first = reply(asked, rcode=rcode, opt=False)
    nameserver.send(first[:4] + bytes(8) if bare else first, client)
    plain, client = nameserver.receive()
    assert plain[2:] == query()[2:10] + b"\0\0" + query()[12:-11]
    nameserver.send(reply(plain, record()), client)
    result = slave.result()
    assert (result.outcome, result.body) == (Outcome.ANSWER, record())


def test_without_edns_is_asked_once(slave, nameserver):
    slave.job(1)
    for _ in range(2):
        asked, client = nameserver.receive()
        nameserver.send(reply(asked, rcode=FORMERR, opt=False), client)
    assert slave.result().outcome is Outcome.FORMERR


def test_any_takes_what_a_truncated_answer_has(slave, nameserver):
    slave.job(1, query(qtype=255), flags=FLAG_FIRST_RRSET)
    asked, client = nameserver.receive()
    nameserver.send(reply(asked, record(), record(b"\1x", rtype=16), flags=0x8380), client)
    result = slave.result()
    assert (result.outcome, result.body, result.cacheable) == (Outcome.ANSWER, record(), False)


def test_the_table_is_bounded(own_slave, nameserver):
    slave = own_slave
    over = 50
    packed = [pack_job(n, 0, 0, 30.0, query()) for n in range(EXCHANGES_MAX + over)]
    for start in range(0, len(packed), 1000):
        slave.jobs(packed[start : start + 1000])
        slave.ping()
    results = [slave.result() for _ in range(over)]
    assert [result.job for result in results] == list(range(EXCHANGES_MAX, EXCHANGES_MAX + over))
    assert {result.outcome for result in results} == {Outcome.OVERLOAD}
    assert slave.quiet()


def test_many_at_once_in_any_order(slave, nameserver):
    names = [f"host{number}.example.org." for number in range(300)]
    slave.jobs([pack_job(n, 0, 0, 10.0, query(name)) for n, name in enumerate(names)])
    received = [nameserver.receive() for _ in names]
    for asked, client in reversed(received):
        nameserver.send(reply(asked, record(asked[13:17])), client)
    results = {result.job: result for result in (slave.result() for _ in names)}
    for number, name in enumerate(names):
        assert results[number].body == record(name[:4].encode())


def test_forged_and_true_answers_cross(slave, nameserver):
    """Wrong id, wrong question, wrong source: none of them ends the exchange."""
    slave.job(1)
    asked, client = nameserver.receive()
    forged = record(bytes((203, 0, 113, 66)))
    wrong_id = bytes((asked[0] ^ 1, asked[1])) + reply(asked, forged)[2:]
    nameserver.send(wrong_id, client)
    nameserver.send(reply(asked[:2] + query("www.example.com.")[2:], forged), client)
    nameserver.send(reply(asked[:2] + query(qtype=28)[2:], forged), client)
    nameserver.send(asked, client)  # a query is no answer
    nameserver.send(b"", client)
    nameserver.send(b"\0", client)
    elsewhere = Nameserver()
    elsewhere.send(reply(asked, forged), client)
    elsewhere.close()
    assert slave.quiet()
    nameserver.send(reply(asked, record()), client)
    result = slave.result()
    assert (result.outcome, result.body) == (Outcome.ANSWER, record(ADDRESS_A))


def test_the_answer_may_change_case(slave, nameserver):
    slave.job(1, query("WwW.eXample.org."))
    asked, client = nameserver.receive()
    assert b"WwW" in asked
    answer = reply(asked, record())
    nameserver.send(answer[:2] + answer[2:].lower(), client)
    result = slave.result()
    assert (result.outcome, result.body) == (Outcome.ANSWER, record())


def test_the_limit_of_files_is_raised():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    rig = SlaveRig()
    try:
        assert resource.prlimit(rig.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)
        assert soft <= hard
    finally:
        rig.close()
