"""What came of the lookups, against what the table allows."""

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from bench.chaos.table import BY_NAME, LATE_S, Allowed
from bench.masking.client import ANSWER, Lookup

OTHERS: Final = Allowed()  # nodes that have no fault, and all nodes between two


class Afflicted(NamedTuple):
    """A node while it had a fault; seconds since the load began."""

    fault: str
    node: int
    began: float
    mended: float
    error: str = ""  # it did not bite, or what it broke did not mend


class Act(NamedTuple):
    """One or two faults at a time. `well`: when all was, again."""

    afflicted: list[Afflicted]
    began: float
    well: float
    error: str = ""

    def has(self, node: int) -> bool:
        """Whether a node is hit."""
        return any(each.node == node for each in self.afflicted)


class Found(NamedTuple):
    """Figures of one node in one window, and what of it is not allowed."""

    fault: str
    node: int
    at_s: float
    mending_s: float  # from the mending until all was well
    lookups: int
    failed: int
    late: int
    slowest_s: float
    wrong: tuple[str, ...]


def judged(
    lookups: Iterable[Lookup], allowed: Allowed, mended: float, known: Collection[str] = ()
) -> list[str]:
    """What is not allowed, in words. `known`: the names that the node has answered."""
    lookups = list(lookups)
    bad = [each for each in lookups if each.outcome != ANSWER]
    late = [each for each in lookups if each.outcome == ANSWER and each.latency_s > LATE_S]
    wrong = []
    for what, found, share in (("failed", bad, allowed.failed), ("late", late, allowed.late)):
        most = math.ceil(share * len(lookups))
        if len(found) > most:
            wrong.append(f"{len(found)} {what}, {most} allowed ({told(found[0])} ...)")
    slowest = max(late, key=lambda each: each.latency_s, default=None)
    if slowest and slowest.latency_s > allowed.slowest_s:
        wrong.append(f"slowest over {allowed.slowest_s:g} s ({told(slowest)})")
    cached = [each for each in bad if each.name in known]
    if allowed.only_new and cached:
        wrong.append(f"{len(cached)} failed that were answered before ({told(cached[0])} ...)")
    after = [each for each in (*bad, *late) if each.at_s > mended + allowed.after_s]
    if after and (allowed.failed or allowed.late):
        wrong.append(f"{len(after)} after the mending ({told(after[0])} ...)")
    return wrong


def told(lookup: Lookup) -> str:
    """Of one lookup."""
    return (
        f"{lookup.name} at n{lookup.node + 1}, {lookup.at_s:.2f} s: {lookup.outcome} after "
        f"{lookup.latency_s:.2f} s"
    )


def within(lookups: Sequence[Lookup], node: int, began: float, end: float) -> list[Lookup]:
    """Those of a node that were on their way at some time between."""
    return [
        each
        for each in lookups
        if each.node == node and each.at_s <= end and each.at_s + each.latency_s >= began
    ]


def answered(lookups: Sequence[Lookup], acts: Sequence[Act], node: int, until: float) -> set[str]:
    """Names that a node has answered from its last start until then."""
    starts = [
        act.well
        for act in acts
        for each in act.afflicted
        if each.node == node and act.well <= until and BY_NAME[each.fault].restarts
    ]
    since = max(starts, default=0.0)
    return {
        each.name
        for each in lookups
        if each.node == node
        and each.outcome == ANSWER
        and since <= each.at_s
        and each.at_s + each.latency_s < until
    }


def figures(
    fault: str,
    node: int,
    act: Act,
    own: list[Lookup],
    allowed: Allowed,
    mended: float,
    known: Collection[str] = (),
) -> Found:
    """Of one node in one act."""
    times = [each.latency_s for each in own if each.outcome == ANSWER]
    return Found(
        fault=fault,
        node=node,
        at_s=act.began,
        mending_s=act.well - mended,
        lookups=len(own),
        failed=len(own) - len(times),
        late=sum(time > LATE_S for time in times),
        slowest_s=max(times, default=0.0),
        wrong=tuple(judged(own, allowed, mended, known)),
    )


def of_acts(acts: Sequence[Act], lookups: Sequence[Lookup], nodes: int) -> list[Found]:
    """Every node in every act, the afflicted ones by their fault."""
    found = []
    for act in acts:
        for each in act.afflicted:
            own = within(lookups, each.node, each.began, act.well)
            allowed = BY_NAME[each.fault].allowed
            known = answered(lookups, acts, each.node, each.began)
            result = figures(each.fault, each.node, act, own, allowed, each.mended, known)
            errors = tuple(filter(None, (each.error, act.error)))
            found.append(result._replace(wrong=errors + result.wrong))
        for node in range(nodes):
            if not act.has(node):
                own = within(lookups, node, act.began, act.well)
                found.append(figures("(other nodes)", node, act, own, OTHERS, act.began))
    return found


def between(acts: Sequence[Act], lookups: Sequence[Lookup], nodes: int) -> list[Found]:
    """Every node while nothing was broken: what no act has on its way."""
    counted = {
        id(each)
        for act in acts
        for node in range(nodes)
        for each in within(lookups, node, act.began, act.well)
    }
    rest = [each for each in lookups if id(each) not in counted]
    always = Act([], 0.0, 0.0)
    return [
        figures("(between)", node, always, [x for x in rest if x.node == node], OTHERS, 0.0)
        for node in range(nodes)
    ]


HEADER: Final = (
    "fault", "times", "lookups", "failed", "late", "slowest s", "well after s", "allowed", "",
)  # fmt: skip


def rows(found: Sequence[Found]) -> list[list[str]]:
    """The summary: a line for each fault."""
    lines = []
    for fault in dict.fromkeys([*BY_NAME, *(each.fault for each in found)]):
        own = [each for each in found if each.fault == fault]
        if not own:
            continue
        allowed = BY_NAME[fault].allowed if fault in BY_NAME else OTHERS
        wrong = sum(bool(each.wrong) for each in own)
        lines.append(
            [
                fault,
                str(len(own)) if fault in BY_NAME else "",
                f"{sum(each.lookups for each in own):,}",
                str(sum(each.failed for each in own)),
                str(sum(each.late for each in own)),
                f"{max(each.slowest_s for each in own):.2f}",
                f"{max(each.mending_s for each in own):.1f}" if fault in BY_NAME else "",
                allowed.words(),
                f"{wrong} times NOT" if wrong else "kept",
            ]
        )
    return lines
