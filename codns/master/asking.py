"""Names of the fleet to addresses: SRV, A and AAAA, asked of the site's nameservers directly.

Never of our own listener. A daemon that had to answer its own questions could wait for itself; so
these few questions have sockets of their own, and take what the nameserver says as it is.

One nameserver after the other, 2 s each over UDP, all of them twice; a truncated answer is asked
for over TCP. NOERROR and NXDOMAIN are answers. Anything else, a wrong id or question included, is
as if nothing had come. dnspython parses, once in a TTL, and in a thread: a hostile answer of 4 KiB
takes it 27 ms, and clients would wait.
"""

import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import trio

from codns.config.units import SRV, Peer, format_endpoint, split_server
from codns.master.discovery import ADDRESSES_MAX, Found, NoAnswerError

UDP_S: Final = 2.0  # a recursion that takes longer is likely lost
TCP_S: Final = 5.0  # three round trips and a long answer
ROUNDS: Final = 2  # a lost datagram is no failure
NODE_S: Final = 60.0  # all of an entry: a nameserver that dies on the way fails each target
UDP_SIZE: Final = 1232  # RULES 2.3
RECEIVE_SIZE: Final = 65_535
AT_ONCE: Final = 8  # questions to the nameservers: a fleet's start is no flood
TTL_MAX: Final = 2**31 - 1  # RFC 2181 8

# The nameservers for a name, "192.0.2.1#53"
Servers = Callable[[dns.name.Name], Sequence[str]]

# (host, rdtype) -> addresses and for how many seconds they hold
_Hosts = tuple[list[str], int]
_Known = dict[tuple[dns.name.Name, str], _Hosts]


class Resolver:
    """Resolves entries of `peers.nodes`.

    `rdtypes` are the kinds of address wanted: fewer once our own family is known.
    """

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._limit = trio.CapacityLimiter(AT_ONCE)
        self._known: dict[str, _Known] = {}  # addresses of an entry's targets
        self.rdtypes: tuple[str, ...] = ("A", "AAAA")

    async def resolve(self, node: str) -> Found:
        """Return what "srv:name." or "name.:port" stands for now. NoAnswerError."""
        try:
            with trio.fail_after(NODE_S):
                if node.startswith(SRV):
                    return await self._services(node)
                return await self._host(node)
        except trio.TooSlowError:
            raise NoAnswerError(f"not done within {NODE_S:.0f} s") from None

    def forget(self, node: str) -> None:
        """The entry is no longer listed."""
        self._known.pop(node, None)

    async def _host(self, node: str) -> Found:
        """Return the addresses of a name."""
        host, _, port = node.rpartition(":")
        name = dns.name.from_text(host)
        known = {(name, t): _hosts(await self._ask(name, t)) for t in self.rdtypes}
        return self._found([(name, int(port))], known, TTL_MAX)

    async def _services(self, node: str) -> Found:
        """Return where the SRV records of a name point."""
        message = await self._ask(dns.name.from_text(node.removeprefix(SRV)), "SRV")
        chain = message.resolve_chaining()
        # At most 3,100: an answer has 64 KB
        targets = dict.fromkeys(
            (rdata.target, rdata.port)
            for rdata in chain.answer or ()
            if rdata.target != dns.name.root  # RFC 2782: no such service here
        )
        beside, before = _beside(message.additional), self._known.get(node, {})
        known: _Known = {}
        async with trio.open_nursery() as nursery:
            for host in dict.fromkeys(target for target, _ in targets):
                for rdtype in self.rdtypes:
                    if (host, rdtype) in beside:
                        known[host, rdtype] = beside[host, rdtype]
                    else:
                        nursery.start_soon(self._target, host, rdtype, known, before)
        self._known[node] = known
        return self._found(targets, known, chain.minimum_ttl)

    async def _target(
        self, host: dns.name.Name, rdtype: str, known: _Known, before: _Known
    ) -> None:
        """Find one target's addresses; if nobody can tell them now, those it had before."""
        try:
            known[host, rdtype] = _hosts(await self._ask(host, rdtype))
        except NoAnswerError:
            addresses, _ = before.get((host, rdtype), ([], 0))
            known[host, rdtype] = addresses, 0

    def _found(
        self, targets: Iterable[tuple[dns.name.Name, int]], known: _Known, ttl: int
    ) -> Found:
        """Put together what was found, each address once, as many as may be listed and one."""
        found: dict[str, None] = {}
        for target, port in targets:
            for rdtype in self.rdtypes:
                addresses, its_ttl = known[target, rdtype]
                ttl = min(ttl, its_ttl)
                room = ADDRESSES_MAX + 1 - len(found)
                found |= dict.fromkeys(islice(_listed(addresses, port), room))
        return Found(list(found), ttl)

    # -- one question ---------------------------------------------------------------------------

    async def _ask(self, name: dns.name.Name, rdtype: str) -> dns.message.QueryMessage:
        """Return the first answer to a question. NoAnswerError."""
        servers = self._servers(name)
        said = "there is no nameserver"
        async with self._limit:
            for server in [*servers] * ROUNDS:
                try:
                    return await _exchange(name, rdtype, server)
                except NoAnswerError as error:
                    said = f"{server}: {error}"
                except trio.TooSlowError:
                    said = f"{server}: no answer"
                except (OSError, ValueError, RuntimeError, dns.exception.DNSException) as error:
                    said = f"{server}: {error}"  # RuntimeError: no thread is left
        raise NoAnswerError(said)


async def _exchange(name: dns.name.Name, rdtype: str, server: str) -> dns.message.QueryMessage:
    """Ask one nameserver once. NoAnswerError, TooSlowError, OSError, ValueError, DNSException."""
    query = dns.message.make_query(name, rdtype, use_edns=0, payload=UDP_SIZE)
    wire = query.to_wire()
    there = _sockaddr(server)
    message = await _over_udp(query, wire, there)
    if message.flags & dns.flags.TC:
        message = await _over_tcp(query, wire, there)
    if message.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise NoAnswerError(dns.rcode.to_text(message.rcode()))
    return message


async def _over_udp(
    query: dns.message.QueryMessage, wire: bytes, there: tuple[int, Any]
) -> dns.message.QueryMessage:
    family, address = there
    with trio.fail_after(UDP_S), trio.socket.socket(family, socket.SOCK_DGRAM) as sock:
        await sock.connect(address)  # then the kernel takes nothing from anybody else
        await sock.send(wire)
        while True:
            data = await sock.recv(RECEIVE_SIZE)
            try:
                return await _read(query, data)
            except (ValueError, dns.exception.DNSException):
                continue  # made up by somebody who does not know the id: the real one may come


async def _over_tcp(
    query: dns.message.QueryMessage, wire: bytes, there: tuple[int, Any]
) -> dns.message.QueryMessage:
    family, address = there
    with trio.fail_after(TCP_S), trio.socket.socket(family, socket.SOCK_STREAM) as sock:
        await sock.connect(address)
        stream = trio.SocketStream(sock)
        await stream.send_all(len(wire).to_bytes(2, "big") + wire)
        data = b""
        while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
            more = await stream.receive_some(RECEIVE_SIZE)
            if not more:
                raise NoAnswerError("connection closed")
            data += more
        return await _read(query, data[2 : 2 + int.from_bytes(data[:2], "big")])


async def _read(query: dns.message.QueryMessage, data: bytes) -> dns.message.QueryMessage:
    """Return the response in `data`. ValueError or DNSException if it is none to `query`."""
    if not data.startswith(query.id.to_bytes(2, "big")):  # a guess is not worth a thread
        raise ValueError("answer to another question")
    return await trio.to_thread.run_sync(_parsed, query, data)


def _parsed(query: dns.message.QueryMessage, data: bytes) -> dns.message.QueryMessage:
    message = dns.message.from_wire(data)
    if not query.is_response(message) or not isinstance(message, dns.message.QueryMessage):
        raise ValueError("answer to another question")
    if message.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        message.resolve_chaining()  # so that whoever reads it need not fear for its form
    return message


def _sockaddr(server: str) -> tuple[int, Any]:
    """Return family and address for a socket; a literal is never looked up."""
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    host, port = split_server(server)
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=flags)[0]
    return family, address


def _hosts(message: dns.message.QueryMessage) -> _Hosts:
    """Return the addresses in an answer, and how long they hold."""
    chain = message.resolve_chaining()
    return [rdata.address for rdata in chain.answer or ()], chain.minimum_ttl


def _beside(additional: list[dns.rrset.RRset]) -> _Known:
    """Return the addresses that came with an answer."""
    return {
        (rrset.name, dns.rdatatype.to_text(rrset.rdtype)): (
            [rdata.address for rdata in rrset],
            rrset.ttl,
        )
        for rrset in additional
        if rrset.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA)
    }


def _listed(addresses: list[str], port: int) -> Iterator[str]:
    """Yield addresses as the configuration writes them; what is no host's is left out."""
    for address in addresses:
        try:
            yield Peer().read(format_endpoint(address, port))
        except ValueError:
            continue
