"""The clients of one node: `ip netns exec NODE python -m bench.chaos.clients SPEC`.

bench/masking's client, which asks as glibc does: 5 s, then once more from the same socket with the
same id, 5 s again. SPEC is JSON: where the node listens, when the load begins on the monotonic
clock, the plan's parameters, which node it is, and the file for what came of it.
"""

import json
import pickle
import sys
from pathlib import Path

from bench.masking import client, load


def main() -> None:
    """Ask all there is to ask, then write."""
    spec = json.loads(Path(sys.argv[1]).read_text())
    plan = load.plan(spec["rate"], spec["seconds"], 0.0, spec["nodes"], spec["seed"])
    own = [arrival._replace(node=0) for arrival in plan if arrival.node == spec["node"]]
    print("ready", flush=True)
    target = client.Target([("127.0.0.1", 53)], spec["start"])
    lookups, late = client.run([target], own)
    rows = [tuple(lookup._replace(node=spec["node"])) for lookup in lookups]
    Path(spec["file"]).write_bytes(pickle.dumps((rows, late)))


if __name__ == "__main__":
    main()
