"""A SIGHUP while the daemon starts: whoever sends one cannot know how far it is."""

import json
import subprocess
import sys
from contextlib import closing

import pytest
from daemon_rig import ROOT, WAIT_S, FakeNameserver
from peer_world import free_port

from codns.peer import keyfile

# The daemon with a companion that begins as soon as signals are heard, before slaves and peers
SCRIPT = """
import signal, sys, time
from pathlib import Path
import trio
from codns.config.load import load
from codns.master.daemon import Daemon
from codns.obs.logs import Log

async def hang_up_at_once():
    signal.raise_signal(signal.SIGHUP)
    with trio.fail_after(20):
        while daemon.reloaded is None:
            await trio.sleep(0.01)
    daemon.stop("SIGTERM")

path = Path(sys.argv[1])
overrides = {"listen": ("127.0.0.1:0",)}
daemon = Daemon(load(path, overrides), Log("info", "json", sys.stderr, time.time), path=path,
                overrides=overrides)
trio.run(daemon.run, hang_up_at_once)
"""


@pytest.mark.parametrize("with_peers", [False, True])
def test_a_reload_asked_for_during_the_start_follows_it(tmp_path, with_peers):
    key = tmp_path / "key"
    key.write_text(keyfile.generate())
    key.chmod(0o600)
    here = f"127.0.0.1:{free_port()}"
    with closing(FakeNameserver()) as nameserver:
        document = {
            "nameservers": [nameserver.text],
            "slaves": 1,
            "http": {"listen": None},
            "control": None,
            "state_dir": None,
            "log": {"format": "json"},
        }
        if with_peers:
            document["peers"] = {"listen": here, "nodes": [here], "key_file": str(key)}
        config = tmp_path / "codns.yaml"
        config.write_text(json.dumps(document))
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(config)],
            capture_output=True, cwd=ROOT, timeout=2 * WAIT_S, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert "ready" in events
    assert "reloaded" in events[events.index("ready") :]
    assert events.count("reloaded") == 1
    assert events[-1] == "stopped"
