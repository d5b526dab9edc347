"""The moment a local path is judged failing, for the lookups it has left waiting."""

from codns.core.resolver import Resolver
from codns.core.side import Side


def path_fails(resolver: Resolver, side: Side, now: float) -> None:
    """Its lookups ask peers at once, whatever their initial delay and whatever was denied."""
    fleet = resolver.fleet
    if fleet is None:
        return
    for lookup in list(resolver.lookups.values()):
        if lookup.side is not side or lookup.closed:
            continue
        if lookup.race is None:  # also one that was denied while the path seemed well
            fleet.delay_over(lookup, now)
        if lookup.race is not None:
            lookup.race.path_fails(now)
