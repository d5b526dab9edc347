"""Nameservers as sites have them, with the paper's three failures, and clients that go on asking.

Everything is a function of the name and the time: half of what is slow is the name's doing (slow
at every site), half the site's, as a draw for each query.
"""

from zlib import crc32

from node_world import answers

QUICK_S = 0.004
SLOW_S = 0.150


def drawn(text, parts):
    """A number below `parts`, the same in every process."""
    return crc32(text.encode()) % parts


def site(number, *, slow=100, fault=None):
    """One query in `slow` is slow. `fault(text, now)` makes it None (lost) or so much later."""

    def behave(query, now):
        name = query.question[0].name.to_text()
        text = f"{number} {name} {now:.6f}"
        delay = QUICK_S
        if drawn(name, 2 * slow) == 0 or drawn(text, 2 * slow) == 0:
            delay = SLOW_S
        more = fault(text, now) if fault else 0.0
        return (
            None
            if more is None
            else answers(delay + more, address=f"203.0.113.{number}")(query, now)
        )

    return behave


def periodic(start, *, every=10.0, lasts=1.5):
    """Silent for 1.5 s every 10 s (a cron job on the nameserver)."""
    return lambda text, now: None if now >= start and (now - start) % every < lasts else 0.0


def continuous(start, end, *, lost=97):
    """97 % are lost for a while."""
    return lambda text, now: None if start <= now < end and drawn(text, 100) < lost else 0.0


def sporadic(start, *, lost=5, every=3.5, lasts=0.5, more=0.4):
    """5 % are lost, and bursts of +400 ms take a seventh of the time."""

    def fault(text, now):
        if now < start:
            return 0.0
        if drawn(text, 100) < lost:
            return None
        return more if (now - start) % every < lasts else 0.0

    return fault


def load(cluster, index, start, end, rate, *, repeated=0):
    """A client at a steady rate; of ten names `repeated` are asked again and again."""
    for number in range(round((end - start) * rate)):
        at = start + number / rate
        name = f"n{number}.s{index}d{number % 97}.example"
        if number % 10 < repeated:
            name = f"r{number % 7}.s{index}e{number % 5}.example"
        cluster.ask(index, name, at=at, client=("c", at, number))


def waits(cluster, index, start=0.0):
    """How long who asked from `start` on waited, shortest first."""
    got = [got for got in cluster[index].got if got.client[1] >= start]
    return sorted(round(g.at - g.client[1], 6) for g in got)


def share(values, percent):
    """The nearest-rank quantile."""
    return values[-(-percent * len(values) // 100) - 1]


def rcodes(cluster, index):
    return {got.rcode for got in cluster[index].got}


def cost(cluster):
    """Queries that reached any nameserver, a miss: probes and all."""
    upstream = sum(len(member.asked) + len(member.probes) for member in cluster.members)
    return upstream / sum(member.node.stats.cache_misses for member in cluster.members)
