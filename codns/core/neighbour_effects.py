"""What `core.neighbours` wants done, and tells of."""

from dataclasses import dataclass


@dataclass(slots=True)
class SendHeartbeat:
    """Send one to `peer`. `token` comes back in the answer; `neighbour`: we want a seat there."""

    peer: str
    token: int
    neighbour: bool


@dataclass(slots=True)
class PeerDown:
    """It did not answer three heartbeats running. Tried again at `retry_at`."""

    peer: str
    neighbour: bool
    retry_at: float


@dataclass(slots=True)
class PeerUp:
    """It was down and answered two heartbeats running."""

    peer: str


@dataclass(slots=True)
class Chosen:
    """It is a neighbour now; `score` in seconds."""

    peer: str
    score: float


@dataclass(slots=True)
class Dropped:
    """It is a neighbour no longer: "down", "full", "replaced", "silent" or "unlisted"."""

    peer: str
    reason: str


Effect = SendHeartbeat | PeerDown | PeerUp | Chosen | Dropped
