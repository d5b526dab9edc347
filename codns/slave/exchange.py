"""Exchanges with nameservers over UDP: the hot path of every cache miss.

A job becomes an exchange: a random socket, a random id, one send, an entry in the socket's table
by id. It ends with the first datagram that matches, with an ICMP error on its socket, or with its
time. Whatever else arrives is counted and ignored, and retires the socket. No policy here: what
an outcome means is decided in the master.

A plain exchange is two system calls, one entry in one table, and two frames. `take` and `ready`
are loops that do just that and hand over all that is different, so that what is rare costs
nothing. Exchanges are tuples, ids stay bytes, the clock is read once per turn. No table has them
by the time they end: all are looked through when the first may be over, every 20 ms at most.

Four things happen inside one job, as the master could not do better: TC=1 continues over TCP;
a nameserver that knows no EDNS (FORMERR or NOTIMP without OPT, RFC 6891 7) is asked once more
without it; an exchange whose name is being forged moves to TCP (RULES 9.2); so does one whose
answer has not the letters of its question, where they are random (`slave.letters`).
"""

import select
from collections.abc import Callable
from math import inf
from operator import itemgetter
from os import read, write
from time import monotonic, monotonic_ns
from typing import Final

from codns.slave.guard import Guard, question_name
from codns.slave.letters import Mixer, repeats
from codns.slave.ports import Exchange, Port, Ports, Server, Task, is_own_limit
from codns.slave.results import (
    FAILURES,
    did_not_understand,
    failure,
    has_records,
    result,
    without_opt,
)
from codns.slave.tcp import Tcp, TcpExchange
from codns.wire.batch import (
    FLAG_FIRST_RRSET,
    FLAG_MIXED_CASE,
    FLAG_TCP,
    FOLDED,
    JOB,
    JOB_SIZE,
    UNPACK_JOB,
    pack_event,
)
from codns.wire.digest import matches
from codns.wire.outcome import Outcome
from codns.wire.plain import plain_result

EXCHANGES_MAX: Final = 20_000  # twice what the master's clients can have outstanding (RULES 4.1)
TIMEOUT_MAX_MS: Final = 30_000  # three times the life of a lookup (RULES 4.2): none waits longer
SCAN_S: Final = 0.02  # between looks at what is over
DATAGRAM_SIZE_MAX: Final = 4096  # we offer 1232; some answer without looking
QUERY_SIZE_MIN: Final = 17  # header, root name, type and class

_BY_END: Final = itemgetter(0)


def clock_us() -> int:
    """Return the monotonic clock in microseconds."""
    return monotonic_ns() // 1000


class Exchanges:
    """All exchanges of a slave. `out` collects the frames of results for the master."""

    def __init__(self, epoll: select.epoll, nofile: int) -> None:
        self.ports = Ports(epoll, nofile)
        self.handlers: dict[int, Callable[[int], None]] = {}
        self.tcp = Tcp(epoll, self.handlers, self._tcp_answered, self._tcp_failed)
        self.guard = Guard()
        self.out: list[bytes] = []
        self.outstanding = 0
        self.mixer = Mixer()
        self._over_tcp: dict[TcpExchange, None] = {}  # keys only
        self._first_end = inf  # nothing is over before, in seconds
        self._next_scan = 0.0

    # -- in: jobs, readable sockets, time ------------------------------------------------------

    def take(self, buffer: bytes, position: int) -> int:
        """Begin the jobs that stand in a row from `position` on; return where the row ends.

        Their results follow in `out`, at once for those that cannot begin.
        """
        unpack, send, total = UNPACK_JOB, write, len(buffer)
        servers, random = self.ports.servers, self.ports.random
        rare: list[tuple[int, Server | None, int, int, bytes]] = []
        begun, least_ms = 0, TIMEOUT_MAX_MS
        room = 0 if self.guard.names else EXCHANGES_MAX - self.outstanding
        now_us = clock_us()
        now = now_us / 1e6
        while total - position >= JOB_SIZE:
            size, kind, job, number, flags, timeout_ms = unpack(buffer, position)
            start, end = position + JOB_SIZE, position + 4 + size
            if kind != JOB or end > total:
                break
            position = end
            server = servers.get(number)
            if (
                flags
                or server is None
                or not server.full
                or begun >= room
                or end - start < QUERY_SIZE_MIN
            ):
                rare.append((job, server, flags, timeout_ms, buffer[start:end]))
                continue
            ident, pick = random()
            live = server.live
            port = live[pick % len(live)]
            pending = port.pending
            query = ident + buffer[start + 2 : end]
            if ident in pending or ident in port.late:
                rare.append((job, server, flags, timeout_ms, query))
                continue
            try:
                send(port.fd, query)
            except OSError as error:
                self._not_sent(port, error)
                rare.append((job, server, flags, timeout_ms, query))
                continue
            if timeout_ms < least_ms:
                least_ms = timeout_ms
            elif timeout_ms > TIMEOUT_MAX_MS:
                timeout_ms = TIMEOUT_MAX_MS
            begun += 1
            pending[ident] = (job, query, now_us, now_us + timeout_ms * 1000, flags, port)
            server.used = now
            port.left -= 1
            if port.left <= 0:
                self.ports.retire(port, now)
        self._begun(begun, now_us + least_ms * 1000)
        for arguments in rare:
            self._start(*arguments)
        return position

    def ready(self, events: list[tuple[int, int]]) -> None:
        """Take what arrived: one datagram a socket and turn, epoll tells of the others again."""
        by_fd, out, receive = self.ports.by_fd, self.out, read
        now_us = clock_us()
        done = 0
        for fd, mask in events:
            port = by_fd.get(fd)
            if port is None:
                handler = self.handlers.get(fd)
                if handler is not None:
                    handler(mask)
                continue
            try:
                response = receive(fd, DATAGRAM_SIZE_MAX)
            except BlockingIOError:
                continue  # the descriptor's former owner was meant
            except OSError:
                self._unreachable(port)
                continue
            pending = port.pending
            ident = response[:2]
            exchange = pending.get(ident)
            if exchange is None:
                self._unmatched(port, None, response)
                continue
            frame = plain_result(exchange[0], exchange[1], response, now_us - exchange[2])
            if frame is None:
                self._not_plain(port, exchange, response)
                continue
            out.append(frame)
            done += 1
            del pending[ident]
            if port.retired and not pending:
                self.ports.close(port)
        self.outstanding -= done

    def expire(self, now: float) -> None:
        """End the exchanges whose time is over."""
        now_us = int(now * 1e6)
        waiting: list[tuple[int, Exchange | TcpExchange]]
        waiting = [(item.ends, item) for item in self._over_tcp]
        for port in self.ports.by_fd.values():
            if port.pending:
                waiting += [(item[3], item) for item in port.pending.values()]
        over = [item for item in waiting if item[0] <= now_us]
        later = min((ends for ends, _ in waiting if ends > now_us), default=inf)
        self._first_end, self._next_scan = later / 1e6, now_us / 1e6 + SCAN_S
        over.sort(key=_BY_END)
        for _, item in over:
            if isinstance(item, TcpExchange):
                self.tcp.forget(item)
                self._tcp_failed(item, Outcome.TIMEOUT)
            else:
                query, port = item[1], item[5]
                port.late[query[:2]] = query
                self._finish(item, failure(item[0], Outcome.TIMEOUT, now_us - item[2]))

    def next_timeout(self) -> float:
        """When `expire` has to be called next; infinity if nothing is outstanding."""
        return max(self._first_end, self._next_scan)

    # -- out -----------------------------------------------------------------------------------

    def _begun(self, count: int, ends: int) -> None:
        """Count what is outstanding, and note when the first of it may be over."""
        if count:
            self.outstanding += count
            self._first_end = min(self._first_end, ends / 1e6)

    def _start(
        self, job: int, server: Server | None, flags: int, timeout_ms: int, query: bytes
    ) -> None:
        """Begin a job for which the straight way of `take` is not enough."""
        if server is None or self.outstanding >= EXCHANGES_MAX or len(query) < QUERY_SIZE_MIN:
            self._give_up(job, Outcome.OVERLOAD, 0)
            return
        now_us = clock_us()
        ends = now_us + min(timeout_ms, TIMEOUT_MAX_MS) * 1000
        self._begun(1, ends)
        task = (job, query, now_us, ends, flags)
        if flags & FLAG_TCP or (self.guard.names and self.guard.suspects(query, now_us / 1e6)):
            self._send_tcp(task, server)
        else:
            self._send(task, server)

    def _send(self, task: Task, server: Server) -> None:
        job, query, started, ends, flags = task
        server.used = now = monotonic()
        if flags & FLAG_MIXED_CASE and now >= server.letters.until:
            query = self.mixer.mix(query)
        try:
            port, query = self.ports.send(server, query, now, self._unreachable)
        except OSError as error:
            self.outstanding -= 1
            outcome = Outcome.OVERLOAD if is_own_limit(error) else Outcome.UNREACHABLE
            self._give_up(job, outcome, clock_us() - started)
            return
        port.pending[query[:2]] = (job, query, started, ends, flags, port)
        port.left -= 1
        if port.left <= 0:
            self.ports.retire(port, now)

    def _not_sent(self, port: Port, error: OSError) -> None:
        """It is tried once more; the socket's error is gone, and was for those before."""
        if not is_own_limit(error):
            self._unreachable(port)

    def _send_tcp(
        self, task: Task, server: Server, *, truncated: bool = False, doubted: bool = False
    ) -> None:
        ident = self.ports.random()[0]
        exchange = TcpExchange(task, server, ident, truncated=truncated, doubted=doubted)
        self._over_tcp[exchange] = None
        self.tcp.start(exchange)

    # -- endings -------------------------------------------------------------------------------

    def _give_up(self, job: int, outcome: Outcome, elapsed_us: int) -> None:
        self.out.append(failure(job, outcome, elapsed_us))

    def _leave(self, exchange: Exchange) -> None:
        """Take the exchange off its socket; it may go on elsewhere."""
        port = exchange[5]
        port.pending.pop(exchange[1][:2], None)
        if port.retired and not port.pending:
            self.ports.close(port)

    def _finish(self, exchange: Exchange, frame: bytes) -> None:
        self.outstanding -= 1
        self._leave(exchange)
        self.out.append(frame)

    def _unreachable(self, port: Port) -> None:
        """ICMP said that nobody listens: so much for all that left from this socket."""
        now_us = clock_us()
        for item in list(port.pending.values()):
            self._finish(item, failure(item[0], Outcome.UNREACHABLE, now_us - item[2]))

    def _not_plain(self, port: Port, exchange: Exchange, response: bytes) -> None:
        """A datagram with the id of `exchange`, of whatever kind."""
        query, flags = exchange[1], exchange[4]
        if not matches(query, response):
            self._unmatched(port, exchange, response)
            return
        if flags & FLAG_MIXED_CASE and not repeats(query, response):
            now = monotonic()
            if now >= port.server.letters.until:
                self._doubt(port, exchange, now)
                return
        if response[2] & 2:
            if not (flags & FLAG_FIRST_RRSET and has_records(query, response)):
                self._leave(exchange)
                self._send_tcp(exchange[:5], port.server, truncated=True)
                return
            # RFC 8482: what there is of ANY is enough
        elif did_not_understand(query, response):
            self._again_without_opt(exchange)
            return
        elapsed_us = clock_us() - exchange[2]
        self._finish(exchange, result(exchange[0], query, response, flags, elapsed_us))

    def _again_without_opt(self, exchange: Exchange) -> None:
        job, query, started, ends, flags, port = exchange
        self._leave(exchange)
        self._send((job, without_opt(query), started, ends, flags), port.server)

    def _unmatched(self, port: Port, exchange: Exchange | None, response: bytes) -> None:
        """A datagram that is no answer to what was asked."""
        late = port.late.get(response[:2])
        if late is not None and matches(late, response):
            return
        if exchange is not None and len(response) >= 12 and response[2] & 0x80:
            # A header alone is how some say FORMERR, NOTIMP or SERVFAIL
            outcome = FAILURES.get(response[3] & 15)
            if outcome is not None and response[4:6] == b"\0\0":
                self._bare(exchange, outcome)
                return
        self.guard.unmatched += 1
        self._suspect(port, question_name(response), monotonic())

    def _suspect(self, port: Port, name: bytes, now: float) -> None:
        """Somebody may be forging answers for a name, and knows this port."""
        if name and self.guard.mismatch(name, now):
            for item in list(port.pending.values()):
                if question_name(item[1]) == name:
                    self._leave(item)
                    self._send_tcp(item[:5], port.server)
        self.ports.retire(port, now, forged=True)

    def _doubt(self, port: Port, exchange: Exchange, now: float) -> None:
        """An answer without the letters of its question: what does its nameserver say over TCP?"""
        self.guard.wrong_case += 1
        port.late[exchange[1][:2]] = exchange[1]  # the true one may come behind a forged one
        self._leave(exchange)
        self._send_tcp(exchange[:5], port.server, doubted=True)
        self._suspect(port, question_name(exchange[1]), now)

    def _bare(self, exchange: Exchange, outcome: Outcome) -> None:
        if outcome in (Outcome.FORMERR, Outcome.NOTIMP) and exchange[1][10:12] != b"\0\0":
            self._again_without_opt(exchange)
        else:
            elapsed_us = clock_us() - exchange[2]
            self._finish(exchange, failure(exchange[0], outcome, elapsed_us))

    def _tcp_answered(self, exchange: TcpExchange, response: bytes) -> None:
        job, query = exchange.job, exchange.query
        if exchange.doubted:
            exchange.doubted = False
            self._judge(exchange.server, kept=repeats(query, response))
        if did_not_understand(query, response):
            exchange.query = without_opt(query)
            self.tcp.start(exchange)
            return
        self._tcp_over(exchange)
        elapsed_us = clock_us() - exchange.started
        self.out.append(result(job, query, response, exchange.flags, elapsed_us))

    def _tcp_failed(self, exchange: TcpExchange, outcome: Outcome) -> None:
        self._tcp_over(exchange)
        server = exchange.server
        if exchange.doubted and outcome is not Outcome.OVERLOAD:
            self._judge(server, kept=False)
            if outcome is Outcome.UNREACHABLE and monotonic() < server.letters.until:
                self.outstanding += 1
                e = exchange
                self._send((e.job, e.query, e.started, e.ends, e.flags), server)
                return
        if exchange.truncated:
            outcome = Outcome.TRUNCATED
        self._give_up(exchange.job, outcome, clock_us() - exchange.started)

    def _judge(self, server: Server, *, kept: bool) -> None:
        """Over TCP the nameserver itself was heard, or not."""
        if kept:
            server.letters.kept()
        elif server.letters.lost(monotonic()):
            number = self.ports.number_of(server)
            if number is not None:
                self.out.append(pack_event(FOLDED, number, 1))

    def _tcp_over(self, exchange: TcpExchange) -> None:
        self.outstanding -= 1
        del self._over_tcp[exchange]
