"""What codns nodes tell of themselves, over their control sockets.

A build that has none, or tells less, is measured all the same: then there is nothing to add.
"""

import json
import socket
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.masking.systems import NODES
from bench.servers import Server, StartError

NEIGHBOURS_S_MAX: Final = 20.0
LOOK_S: Final = 0.1
PATIENCE_S: Final = 5.0


def summary(node: Server) -> dict[str, Any]:
    """Everything; empty if it does not tell."""
    path = Path(node.log.parent) / f"codns-{node.port}" / "control.sock"
    with (
        suppress(Exception),  # whatever another build has there
        socket.socket(socket.AF_UNIX) as sock,
        closing(HTTPConnection("codns")) as connection,
    ):
        sock.settimeout(PATIENCE_S)
        sock.connect(str(path))
        connection.sock = sock
        connection.request("GET", "/v1/summary")
        told = json.loads(connection.getresponse().read())
        return told if isinstance(told, dict) else {}
    return {}


def wait_neighbours(nodes: Sequence[Server]) -> None:
    """Until every node knows all others; at once where there is no cooperation to wait for."""
    deadline = time.monotonic() + NEIGHBOURS_S_MAX
    for node in nodes:
        while (cooperation := summary(node).get("cooperation")) is not None:
            if cooperation["peers_up"] >= NODES - 1:
                break
            if time.monotonic() > deadline:
                raise StartError(f"{node.name} found {cooperation['peers_up']} peers only")
            time.sleep(LOOK_S)


class Counts(NamedTuple):
    """Of a fleet, since its start: the warm-up too."""

    remote: int  # queries to peers
    won: int
    busy: int
    lost: int  # unanswered or failed
    denied: int  # by the budget
    retransmissions: int
    probes: int
    prefetches: int
    saved_s: float
    path: str  # node 1's at the end


def counts(told: Sequence[dict[str, Any]]) -> Counts | None:
    """None: they do not tell, or do not cooperate."""
    both = [(each, each["cooperation"]) for each in told if each.get("cooperation")]
    if not both or len(both) < len(told):
        return None
    remote = [cooperation["remote"] for _, cooperation in both]
    return Counts(
        remote=sum(each["sent"] for each in remote),
        won=sum(each["won"] for each in remote),
        busy=sum(each["busy"] for each in remote),
        lost=sum(each["timeout"] + each["failed"] for each in remote),
        denied=sum(cooperation["suppressed"]["budget"] for _, cooperation in both),
        retransmissions=sum(each["retransmissions"] for each, _ in both),
        probes=sum(each["probes"] for each, _ in both),
        prefetches=sum(each["cache"]["prefetches"] for each, _ in both),
        saved_s=sum(cooperation["saved_s"] for _, cooperation in both),
        path=both[0][1]["path"]["state"],
    )
