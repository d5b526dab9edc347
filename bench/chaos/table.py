"""What each fault does, what a client sees of it, and what is allowed: the bench checks it.

`python -m bench.chaos.table` writes README.md anew.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from bench.chaos import faults
from bench.chaos.faults import Rig
from bench.chaos.node import Node

README: Final = Path(__file__).with_name("README.md")
LATE_S: Final = 1.0  # a lookup above it is late; the usual ones take milliseconds
FAKED: Final = 6  # the node whose clock can be made to jump


class Allowed(NamedTuple):
    """What may become of the lookups of the node that has the fault.

    Those count that were on their way at some time between its beginning and the end of mending.
    Shares are of them all. The defaults are what a client should see: nothing.
    """

    failed: float = 0.0  # share without a usable answer: glibc's 5 s twice, or SERVFAIL
    late: float = 0.0  # share answered after more than LATE_S
    slowest_s: float = LATE_S  # the slowest answer
    only_new: bool = False  # what was answered since the node's start never fails
    after_s: float = 0.0  # so long after the mending nobody who asks fails or is late any more

    def words(self) -> str:
        """For the table."""
        if self == Allowed():
            return "none failed, none late"
        failed = f"{self.failed:.0%} failed" if self.failed else "none failed"
        if self.only_new:
            failed += " (new names)"
        return f"{failed}, {self.late:.0%} late, up to {self.slowest_s:g} s"


class Row(NamedTuple):
    """One fault."""

    run: Callable[[Rig, Node], None]
    takes_s: float  # about, with mending
    does: str
    sees: str
    allowed: Allowed = Allowed()
    shown: tuple[str, ...] = ()  # tests: "file::function"
    restarts: bool = False  # the node: its cache is empty then

    @property
    def name(self) -> str:
        """Its function's."""
        return self.run.__name__.replace("_", "-")


DAEMON: Final = "test_daemon.py::"
LIVE: Final = "test_faults_live.py::"
HOSTILE: Final = "test_faults_nameserver.py::"
NETNS: Final = "test_faults_network.py::"
POOL: Final = "test_pool.py::"
REAL: Final = "test_real_failover.py::"

ROWS: Final = (
    Row(
        faults.slave_killed,
        10,
        "kill -9 of one of two slaves, four times",
        "nothing: its exchanges go to the other",
        shown=(
            DAEMON + "test_a_slave_killed_with_a_query_on_its_way_loses_nothing",
            REAL + "test_slave_under_load",
        ),
    ),
    Row(
        faults.slave_stopped,
        10,
        "SIGSTOP of a slave for good",
        "nothing: peers are asked for what it holds; it gets no more after 0.75 s, is replaced "
        "after 2 s",
        shown=(POOL + "test_stopped_is_noticed", REAL + "test_slave_under_load"),
    ),
    Row(
        faults.master_killed,
        32,
        "kill -9 of the master, twice in 12 s; systemd holds its sockets and starts it again",
        "who asks meanwhile waits for the start, what was being looked up is asked for again "
        "after the stub's 5 s; the cache is empty. Without systemd: refused until it is started",
        Allowed(late=1.0, slowest_s=7.0, after_s=1.0),
        restarts=True,
        shown=(LIVE + "test_a_killed_master_leaves_what_was_not_read_to_the_next",),
    ),
    Row(
        faults.master_stopped,
        10,
        "SIGSTOP of the master for 3 s",
        "waits, and is answered then",
        Allowed(late=1.0, slowest_s=4.0, after_s=1.0),
        shown=(LIVE + "test_a_stopped_master_answers_when_it_goes_on",),
    ),
    Row(
        faults.master_hung,
        14,
        "SIGSTOP of the master for 8 s (systemd's watchdog would end it after 10)",
        "waits and asks again; SERVFAIL for the few that were being looked up at its beginning",
        Allowed(failed=0.03, late=1.0, slowest_s=9.0, after_s=1.0),
    ),
    Row(
        faults.disk_full,
        10,
        "the file system of `state_dir` is full, and the daemon restarted (SIGTERM)",
        "nothing but the restart: a warning in the log, the last good state file stays",
        Allowed(late=1.0, slowest_s=5.0, after_s=1.0),
        restarts=True,
        shown=(LIVE + "test_a_full_disk_is_a_warning_and_keeps_the_last_state",),
    ),
    Row(
        faults.files_gone,
        45,
        "RLIMIT_NOFILE of master and slaves falls to 3 for 35 s; then a slave is killed, too",
        "nothing over UDP: sockets there are go on in use, peers answer for what has none; "
        "TCP connections wait for a descriptor; the slave is replaced when there are some",
        shown=(
            LIVE + "test_without_descriptors_it_goes_on",
            LIVE + "test_a_resolv_conf_that_cannot_be_read_for_now_is_read_later",
            POOL + "test_a_slave_dies_while_there_are_no_descriptors",
            "test_slave_ports.py::test_the_last_socket_stays_when_there_is_no_other",
        ),
    ),
    Row(
        faults.nameserver_silent,
        20,
        "the nameserver answers nothing for 8 s",
        "nothing: peers answer",
        shown=(
            "test_fleet_outage.py::test_a_stopped_nameserver_and_a_killed_daemon_fail_no_query",
            REAL + "test_nameserver_hangs_then_dies",
        ),
    ),
    Row(
        faults.nameserver_garbage,
        30,
        "it answers with random bytes, answers cut short, another id, another question, pointers "
        "to themselves, 64 KiB of records, 3 s each",
        "nothing: peers answer. Without peers: SERVFAIL, or silence's deadlines",
        shown=(HOSTILE + "test_garbage_is_never_an_answer",),
    ),
    Row(
        faults.nameserver_closed,
        18,
        "its port is closed: ICMP port unreachable",
        "nothing: peers are asked at once. Without peers: SERVFAIL with EDE 23 within 4.5 s",
        shown=(HOSTILE + "test_a_closed_port",),
    ),
    Row(
        faults.nameserver_rejected,
        18,
        "a firewall before it: ICMP administratively prohibited",
        "nothing: peers are asked at once",
        shown=(NETNS + "test_prohibited_by_a_firewall",),
    ),
    Row(
        faults.link_down,
        35,
        "the node's interface is down for 6 s",
        "what is cached is answered, stale ones (RFC 8767) after 1.8 s at most; the rest waits "
        "and gets the answer when the link is back, or SERVFAIL (EDE 22 or 23) by 4.5 s",
        Allowed(failed=0.4, late=0.4, slowest_s=4.6, only_new=True, after_s=1.0),
        shown=(NETNS + "test_the_interface_goes_down_and_comes_up",),
    ),
    Row(
        faults.address_lost,
        30,
        "the node's address is taken from it for 4 s",
        "as when the interface is down",
        Allowed(failed=0.4, late=0.4, slowest_s=4.6, only_new=True, after_s=1.0),
        shown=(NETNS + "test_another_address",),
    ),
    Row(
        faults.clock_jumps,
        14,
        "the time of day jumps by ten years, back by twenty, and home",
        "nothing: only the log has a time of day",
        shown=(LIVE + "test_the_time_of_day_jumps",),
    ),
    Row(
        faults.resolv_conf_empty,
        20,
        "resolv.conf is emptied for 6 s",
        "nothing: peers are asked. Without peers: what is cached, SERVFAIL for the rest",
        shown=(
            DAEMON + "test_resolv_conf_without_a_nameserver_and_its_change",
            "test_scenario_failures.py::test_the_last_nameserver_is_taken_away_and_given_back",
        ),
    ),
    Row(
        faults.resolv_conf_ourselves,
        20,
        "resolv.conf names only the daemon itself",
        "nothing: it leaves itself out; as if it were empty",
        shown=(
            LIVE + "test_resolv_conf_that_names_only_us",
            DAEMON + "test_a_nameserver_that_leads_back_here_is_found",
        ),
    ),
    Row(
        faults.resolv_conf_nobody,
        20,
        "resolv.conf names the node's own address, where nobody listens",
        "nothing: as when the port is closed",
        shown=(HOSTILE + "test_a_closed_port",),
    ),
    Row(
        faults.peer_wrong_key,
        30,
        "a node has another cluster key",
        "nothing: it neither helps nor is helped",
        shown=(
            LIVE + "test_peers_with_another_key_are_strangers",
            "test_peers_daemon.py::test_a_rotation_of_keys_loses_nothing",
        ),
    ),
    Row(
        faults.peer_newer,
        35,
        "a node restarts as a later version whose messages have fields that nobody knows; then "
        "its nameserver is silent for 5 s",
        "nothing but the restarts: it helps and is helped",
        Allowed(late=0.5, slowest_s=5.0, after_s=1.0),
        restarts=True,
        shown=(LIVE + "test_a_version_with_more_fields_helps_and_is_helped",),
    ),
    Row(
        faults.peer_alien,
        40,
        "a node restarts as a version whose datagrams have another number",
        "nothing but the restarts: it neither helps nor is helped",
        Allowed(late=0.5, slowest_s=5.0, after_s=1.0),
        restarts=True,
        shown=(LIVE + "test_another_version_number_is_a_stranger",),
    ),
    Row(
        faults.partition,
        30,
        "nothing passes between the node and its peers until it has given up all of them",
        "nothing: its nameserver answers",
        shown=("test_scenario_peers.py::test_a_partition_that_heals",),
    ),
    Row(
        faults.loss,
        25,
        "20 % of the packets are lost in each direction, to nameserver and peers, for 10 s",
        "a few are late by a retransmission or two; 36 % of exchanges are lost, so one lookup of "
        "500 loses its first six",
        Allowed(late=0.05, slowest_s=4.6),
        shown=(NETNS + "test_a_fifth_of_the_packets_is_lost",),
    ),
)

BY_NAME: Final = {row.name: row for row in ROWS}

HEAD: Final = f"""# Faults, and what a client sees of them

Made by `python -m bench.chaos.table`; a test keeps it up to date. `python -m bench.chaos` breaks
all of it in a fleet of six under load, in network namespaces with no way out (root; Debian
packages iproute2, nftables, faketime), and exits with 1 if anything was lost beyond this table:

- the node that has the fault: at most what the last column allows, of the lookups on their way
  between its beginning and the end of mending; late is over {LATE_S:g} s;
- all other nodes, at all times: none failed, none late;
- from the mending on (1 s where that needs a start or a link): none fails or is late;
- mended means: each node knows its five peers, takes its nameserver for healthy and answers new
  names within 1 s; that may last 60 s;
- what a node has answered since it was started it answers in any case, be it from a stale entry;
- no master ends but those that are killed, none logs an error of its own, keeps descriptors or
  grows by more than 32 MiB.

First each fault once, then two at a time on different nodes, in an order drawn by `--seed`. The
clients ask as glibc does: 5 s, once more, 5 s. `--only FAULT,...`, `--seconds N`, `--json FILE`.

| Fault | What is done | What a client sees | Allowed | Also shown by |
|---|---|---|---|---|"""


def rendered() -> str:
    """README.md."""
    lines = [HEAD]
    for row in ROWS:
        shown = "<br>".join(f"`{test}`" for test in row.shown)
        cells = (f"`{row.name}`", row.does, row.sees, row.allowed.words(), shown)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    README.write_text(rendered())
