"""Inputs for the targets: the corpus first, then changes of what has been of interest so far.

An input is of interest if its target says of it what it has said of none before. That is less
than a fuzzer that sees branches knows, costs nothing, and finds its way through every reason that
the parsers give for a refusal. The same seed gives the same inputs.
"""

import random
from pathlib import Path
from time import monotonic

from fuzz_http import HTTP_TARGETS
from fuzz_liars import LIAR_TARGETS
from fuzz_targets import TARGETS

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
ALL = TARGETS | LIAR_TARGETS | HTTP_TARGETS
POOL_MAX = 2000  # inputs kept in one run
SIZE_MAX = 70_000  # a little more than the largest message
INTERESTING = (0, 1, 2, 12, 63, 64, 127, 128, 191, 192, 255)


def corpus(name):
    """The files of a target, in order of their names."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*.bin"))]


def changed(rng, pool):
    """Something of the pool with one to six changes."""
    out = bytearray(rng.choice(pool))
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(9):
            case 0:
                out[at : at + 1] = rng.randbytes(1)
            case 1:
                out[at : at + 1] = bytes((rng.choice(INTERESTING),))
            case 2:
                del out[at:]
            case 3:
                del out[at : at + rng.randint(1, 8)]
            case 4:
                out[at:at] = rng.randbytes(rng.randint(1, 8))
            case 5 if out:
                out[at - 1] ^= 1 << rng.randrange(8)
            case 6:
                out[at : at + 2] = bytes((0xC0, rng.randrange(256)))
            case 7:
                other = rng.choice(pool)
                cut = rng.randrange(len(other) + 1)
                out[at:] = other[cut:]
            case 8:
                piece = bytes(out[at : at + rng.randint(1, 40)])
                out[at:at] = piece * rng.choice((1, 2, 30))
    return bytes(out[:SIZE_MAX])


def run(name, *, inputs=None, seconds=None, seed=1):
    """Feed a target; return how many inputs there were and what it said of them."""
    target = ALL[name]()
    rng = random.Random(seed)
    pool = [*corpus(name), *target.seeds]
    heard = {}
    begun = monotonic()
    fed = 0
    for data in pool[:]:
        heard.setdefault(target.feed(data), data)
        fed += 1
    while (inputs is None or fed < inputs) and (seconds is None or monotonic() - begun < seconds):
        data = changed(rng, pool) if rng.random() < 0.97 else rng.randbytes(rng.randrange(200))
        try:
            said = target.feed(data)
        except Exception as error:
            error.add_note(f"target {name}, input {data.hex()}")
            raise
        fed += 1
        if said not in heard:
            heard[said] = data
            if len(pool) < POOL_MAX and len(data) < 4096:
                pool.append(data)
    return fed, heard
