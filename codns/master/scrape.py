"""What the daemon's shells count, gathered for a scrape of /metrics."""

from typing import TYPE_CHECKING

from codns.master.pool import Pool
from codns.obs.metrics_shell import Shell

if TYPE_CHECKING:
    from codns.master.daemon import Daemon


def gather(daemon: "Daemon", pool: Pool) -> Shell:
    """Return the counters as they are now."""
    peers, web = daemon.peers, daemon.web
    datagrams, drops = (None, None) if peers is None else peers.counts()
    open_, refused = web.connections()
    return Shell(
        slaves=pool.processes(),
        slaves_wanted=pool._count,
        slave_restarts=pool.restarts,
        jobs=pool.outstanding(),
        jobs_waiting=len(pool._waiting),
        forgery=pool.forgery.counts,
        rate_clients=0 if daemon.limit is None else daemon.limit.clients,
        rate_forgotten=0 if daemon.limit is None else daemon.limit.forgotten,
        backlog=len(daemon._pump.backlog),
        kernel_drops=_kernel_drops(daemon),
        tcp=daemon._counts,
        tcp_open=daemon._tcp.connections,
        datagrams=datagrams,
        link_drops=drops,
        lag=web.lag.histogram,
        garbage=(daemon.garbage.full, daemon.garbage.found, daemon.garbage.full_s),
        reload_ok=daemon.reloaded is None or not daemon.reloaded.problems,
        reloaded_at=daemon.taken_at,
        log_lines_lost=daemon._log.lost,
        http_open=open_,
        http_refused=refused,
    )


def _kernel_drops(daemon: "Daemon") -> int | None:
    """Of all listeners; None if it is not known of one."""
    total = 0
    for listener in daemon._udp:
        drops = listener.kernel_drops()
        if drops is None:
            return None
        total += drops
    return total
