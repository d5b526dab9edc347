"""What a scrape takes of the event loop, 1,000 peers listed: best of 30, and its longest slice.

    python -m bench.scrape

Beside it the same families through prometheus_client's own `generate_latest`. The node is the
tests': in virtual time, its neighbours alive, their rows filled.
"""

import math
import sys
import time
from pathlib import Path

from prometheus_client import generate_latest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "obs"))

from metrics_world import answers, crowded, metrics_of

from codns.obs.metrics import Metrics

ROUNDS = 30


def timed(metrics: Metrics) -> tuple[float, float]:
    """Return the time of a whole scrape and of its longest slice, in ms: the best of 30."""
    best, longest = math.inf, math.inf
    for _ in range(ROUNDS):  # the best: what else this machine does is not ours
        slices, took = metrics.slices(), []
        while True:
            before = time.perf_counter()
            if next(slices, None) is None:
                break
            took.append(time.perf_counter() - before)
        best, longest = min(best, sum(took)), min(longest, max(took))
    return best * 1e3, longest * 1e3


def library(metrics: Metrics) -> float:
    best = math.inf
    for _ in range(ROUNDS):
        before = time.perf_counter()
        generate_latest(metrics)
        best = min(best, time.perf_counter() - before)
    return best * 1e3


def main() -> None:
    print("neighbours  nameservers   whole ms   longest slice ms   generate_latest ms")
    for neighbours, nameservers in ((10, 2), (64, 40)):
        node = crowded(neighbours=neighbours, nameservers=nameservers, behaviour=answers(0.01))
        metrics = metrics_of(node)
        whole, longest = timed(metrics)
        print(
            f"{neighbours:10}  {nameservers:11}  {whole:9.2f}  {longest:17.2f}"
            f"  {library(metrics):19.2f}"
        )


if __name__ == "__main__":
    main()
