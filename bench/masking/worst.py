"""Why the slow ones were slow, as far as it can be seen from outside.

Of node 1's lookups over 30 ms: what its name met at the nameservers between question and answer.
The emulator knows when which query arrived, and when its answer left or that it was lost. From
that, one cause each:

  slow everywhere   the name is: every nameserver takes 150 ms for it
  never hedged      only its own nameserver was asked, which was slow or silent
  hedged late       another nameserver answered, but was asked only after 30 ms and more
  hedge was slow    it was asked in time and its own answer took 30 ms or got lost
  kept in the node  an answer left a nameserver in time, the client got it later
  no query          no nameserver saw it: it waited for another lookup, or for nothing
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

from bench.masking.client import ANSWER, Lookup
from bench.masking.emulator import slow_everywhere
from bench.masking.fleet import Cell, Upstream
from bench.masking.load import wire_name

LIMIT_S: Final = 0.030
BEFORE_S: Final = 0.002  # clocks of two processes, and what was in flight already
SHOWN: Final = 8  # queries of a time line


def told(cell: Cell, count: int) -> list[str]:
    """A summary of causes and the slowest in detail."""
    by_name: dict[str, list[Upstream]] = defaultdict(list)
    for query in cell.upstream:
        by_name[query.name].append(query)
    slow = [
        lookup
        for lookup in cell.measured()
        if lookup.node == 0 and (lookup.latency_s > LIMIT_S or lookup.failed)
    ]
    causes = Counter(cause(lookup, during(lookup, by_name)) for lookup in slow)
    total = sum(lookup.node == 0 for lookup in cell.measured())
    summary = ", ".join(f"{many} {what}" for what, many in causes.most_common())
    slow.sort(key=lambda lookup: -lookup.latency_s)
    title = f"{cell.system.label}, {cell.fault}: {len(slow)} of {total} over 30 ms"
    return ["", f"{title}: {summary}"] + [
        f"  {timeline(lookup, during(lookup, by_name))}" for lookup in slow[:count]
    ]


def during(lookup: Lookup, by_name: dict[str, list[Upstream]]) -> list[Upstream]:
    """What nameservers saw of its name meanwhile."""
    start, end = lookup.at_s - BEFORE_S, lookup.at_s + lookup.latency_s + BEFORE_S
    return [query for query in by_name.get(lookup.name, ()) if start <= query.at_s <= end]


def cause(lookup: Lookup, queries: Sequence[Upstream]) -> str:
    """One word or two for it."""
    if lookup.outcome != ANSWER:
        return f"ended with {lookup.outcome}"
    if not queries:
        return "no query"
    answers = [query for query in queries if query.delay_s >= 0]
    first = min((query.at_s + query.delay_s for query in answers), default=None)
    end = lookup.at_s + lookup.latency_s
    if first is not None and first - lookup.at_s <= LIMIT_S < end - first + LIMIT_S / 2:
        return "kept in the node"
    if slow_everywhere(wire_name(lookup.name)):
        return "slow everywhere"
    others = [query for query in queries if query.site]
    if not others:
        return "never hedged"
    if min(query.at_s for query in others) - lookup.at_s > LIMIT_S / 2:
        return "hedged late"
    return "hedge was slow"


def timeline(lookup: Lookup, queries: Sequence[Upstream]) -> str:
    """What happened, in milliseconds since it was asked."""
    steps = []
    for query in queries[:SHOWN]:
        at = (query.at_s - lookup.at_s) * 1000
        what = "lost" if query.delay_s < 0 else f"{query.delay_s * 1000:.0f}"
        steps.append(f"+{at:.0f} ns{query.site + 1} {what}")
    if len(queries) > SHOWN:
        steps.append(f"{len(queries) - SHOWN} more")
    kind = "miss" if lookup.miss else "hit or joined"
    return (
        f"{lookup.at_s:7.2f} s  {lookup.latency_s * 1000:6.0f} ms  {lookup.outcome}, {kind}  "
        f"{lookup.name}  {'; '.join(steps) or 'nothing seen'}"
    )
