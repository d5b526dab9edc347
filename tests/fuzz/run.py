"""`python -m tests.fuzz.run [--seconds 600] [--target NAME]... [--seed N] [--keep]`.

Each target for so long, the count of inputs at the end; the first input that a parser does not
take as it must ends the run and is printed. `--keep` writes one input for each thing that a
target said to `tests/corpus/`, where the test suite replays it.
"""

import argparse
import sys
from hashlib import blake2b
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fuzz_engine import ALL, CORPUS, run

KEPT_MAX = 40  # files a target
KEPT_SIZE_MAX = 600


def keep(name, heard):
    """Write short inputs, one for each thing said."""
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    for data in [d for d in heard.values() if len(d) <= KEPT_SIZE_MAX][:KEPT_MAX]:
        path = folder / f"{blake2b(data, digest_size=6).hexdigest()}.bin"
        path.write_bytes(data)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--target", action="append", choices=[*ALL], default=[])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true")
    said = parser.parse_args()
    for name in said.target or ALL:
        inputs, heard = run(name, seconds=said.seconds, seed=said.seed)
        print(
            f"{name:15} {inputs:9,} inputs  {len(heard):4} answers  {said.seconds:g} s", flush=True
        )
        if said.keep:
            keep(name, heard)


if __name__ == "__main__":
    main()
