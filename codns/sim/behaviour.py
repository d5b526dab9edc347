"""Nameservers that do as they are told, at exact times: for scenario tests.

A behaviour is called with the question and the time it was asked at, and says how long the answer
takes and what it is, or None for silence. What takes longer than the job allows is silence too.

    Cluster([until(10.0, silent, answers(0.030)), answers(0.020)])

Anything that can be called so will do: `nameserver.Nameserver`, with queues and failures, is one.
"""

from collections.abc import Callable

from codns.sim.book import REFUSED, SERVFAIL, UNREACHABLE, Name, Reply

Reaction = tuple[float, Reply] | None
Behaviour = Callable[[Name, float], Reaction]


def silent(_name: Name, _now: float) -> Reaction:
    """Say nothing."""
    return None


def answers(delay: float, *, ttl: int = 300, ad: bool = False) -> Behaviour:
    """One record of the type asked for."""
    return lambda name, _now: (delay, name.address(ttl, ad=ad))


def denies(delay: float, *, ttl: int = 300, nxdomain: bool = True, soa: bool = True) -> Behaviour:
    """NXDOMAIN, or NODATA."""
    return lambda name, _now: (delay, name.denial(ttl, nxdomain=nxdomain, soa=soa))


def servfail(delay: float) -> Behaviour:
    """SERVFAIL to everything."""
    return lambda _name, _now: (delay, SERVFAIL)


def refuses(delay: float) -> Behaviour:
    """REFUSED to everything."""
    return lambda _name, _now: (delay, REFUSED)


def unreachable(delay: float = 0.0) -> Behaviour:
    """An ICMP error."""
    return lambda _name, _now: (delay, UNREACHABLE)


def until(time: float, first: Behaviour, then: Behaviour) -> Behaviour:
    """`first` before `time`, `then` from it on."""
    return lambda name, now: (first if now < time else then)(name, now)


def during(windows: list[tuple[float, float]], bad: Behaviour, good: Behaviour) -> Behaviour:
    """`bad` within the windows (from, to), `good` outside."""
    return lambda name, now: (bad if any(a <= now < b for a, b in windows) else good)(name, now)


def by_name(special: dict[str, Behaviour], other: Behaviour) -> Behaviour:
    """Each question its own ("www.example.com. A"), `other` for the rest, probes among them."""
    return lambda name, now: special.get(name.text, other)(name, now)
