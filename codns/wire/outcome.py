"""Every way an exchange with a nameserver ends: one closed vocabulary.

Health, statistics, logs and metric labels all use it. The first three are *usable* answers
(RULES 4.4); the next are answers that say "not here"; the last are no answer at all.
"""

from enum import IntEnum


class Outcome(IntEnum):
    """How an exchange ended. Order matters: `<= NXDOMAIN` is usable, `<= OTHER` was an answer."""

    ANSWER = 0  # NOERROR with records
    NODATA = 1  # NOERROR without records of the type, no referral
    NXDOMAIN = 2
    SERVFAIL = 3
    REFUSED = 4
    FORMERR = 5
    NOTIMP = 6
    LAME = 7  # a referral where recursion was asked
    OTHER = 8  # any other rcode
    TRUNCATED = 9  # TC=1, and the TCP exchange that should follow failed
    TIMEOUT = 10
    UNREACHABLE = 11  # ICMP, refused connection, no route, no socket
    OVERLOAD = 12  # our own doing: no slave, its table full. Never anybody's fault or cached

    @classmethod
    def _missing_(cls, _value: object) -> "Outcome":
        """What a peer of a newer version may come to say is some failure to us."""
        return cls.OTHER

    @property
    def usable(self) -> bool:
        """May be given to a client while others are outstanding (RULES 4.4)."""
        return self <= Outcome.NXDOMAIN

    @property
    def answered(self) -> bool:
        """The nameserver is alive: it said something."""
        return self <= Outcome.TRUNCATED
