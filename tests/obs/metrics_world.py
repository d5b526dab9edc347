"""Nodes in virtual time whose metrics are looked at: a shell for them, and samples by name."""

import sys
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "core"))

from cluster_world import Cluster, address
from node_world import answers

from codns.core.messages import HeartbeatReply, HeartbeatRequest, Report
from codns.core.settings import PeerSettings
from codns.core.stats import Histogram
from codns.master.forgery import EVENTS
from codns.master.peerlink import COUNTS
from codns.master.tcp import COUNTERS
from codns.obs.metrics import Metrics
from codns.obs.metrics_shell import Shell
from codns.peer.link import DROPS

__all__ = ["ME", "Cluster", "answers"]

ME = address(0)


def shell(**changes):
    """What the master would gather, all of it idle."""
    values = {
        "slaves": (),
        "slaves_wanted": 2,
        "slave_restarts": 0,
        "jobs": 0,
        "jobs_waiting": 0,
        "forgery": dict.fromkeys(EVENTS.values(), 0),
        "rate_clients": 0,
        "rate_forgotten": 0,
        "backlog": 0,
        "kernel_drops": 0,
        "tcp": dict.fromkeys(COUNTERS, 0),
        "tcp_open": 0,
        "datagrams": dict.fromkeys(COUNTS, 0),
        "link_drops": dict.fromkeys(DROPS, 0),
        "lag": Histogram(),
        "garbage": (0, 0, 0.0),
        "reload_ok": True,
        "reloaded_at": 1_000_000.0,
        "log_lines_lost": 0,
        "http_open": 0,
        "http_refused": 0,
    }
    return Shell(**{**values, **changes})


def metrics_of(cluster, index=0, **changes):
    """The metrics of a cluster's node."""
    return Metrics(cluster[index].node, lambda: shell(**changes), lambda: cluster.now)


def text_of(metrics):
    return b"".join(metrics.slices()).decode()


def samples(metrics):
    """All samples: {'name{label="value",...}': value}, labels in the order of their names."""
    return {
        key(sample): sample.value
        for family in text_string_to_metric_families(text_of(metrics))
        for sample in family.samples
    }


def key(sample):
    inner = ",".join(f'{label}="{value}"' for label, value in sorted(sample.labels.items()))
    return f"{sample.name}{{{inner}}}" if inner else sample.name


def listed(count):
    """Addresses of so many peers, ours too."""
    return [ME, *(f"10.0.{number >> 8}.{number & 255}:7353" for number in range(1, count))]


def alive(peer, message, now):
    """A stranger that answers heartbeats, behind a nameserver of its own."""
    if not isinstance(message, HeartbeatRequest):
        return None
    report = Report(0.010, False, False, (peer.encode()[:8].ljust(8),), 0, 32, "test")
    return 0.002, HeartbeatReply(message.token, full=False, report=report)


def crowded(*, peers=1_000, neighbours=10, nameservers=1, behaviour):
    """One node among a thousand."""
    servers = {f"198.51.{n >> 8}.{n & 255}#53": behaviour for n in range(1, nameservers + 1)}
    cluster = Cluster(
        [servers],
        listed=listed(peers),
        strangers=alive,
        settings={"peers": PeerSettings(ME, neighbours=neighbours, version="test")},
    )
    return cluster.run(90.0)
