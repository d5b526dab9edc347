"""A sweep on a real dask scheduler with two workers, each a process of its own."""

import os
import re
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="needs dask: pip install 'codns[cluster]'")

ROOT = Path(__file__).resolve().parents[2]
QUIET = {"DASK_DISTRIBUTED__DASHBOARD__LINK": "", "PYTHONHASHSEED": "random"}

SMALL = """
duration: 20s
warm_up: 5s
sites: {healthy: {count: 4}, sick: {count: 1}}
faults: [{at: 10s, lasts: 5s, site: sick}]
"""


def started(stack, *arguments):
    environ = {**os.environ, **QUIET, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "dask", *arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environ, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    stack.enter_context(process)  # waits for it
    stack.callback(process.terminate)
    return process


def reads_on(process):
    """Let nobody wait for a full pipe."""
    threading.Thread(target=process.stderr.read, daemon=True).start()


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """Its address."""
    folder = str(tmp_path_factory.mktemp("dask"))
    with ExitStack() as stack:
        process = started(
            stack, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"
        )
        address = next(
            found[0] for line in process.stderr if (found := re.search(r"tcp://[\d.:]+", line))
        )
        for _ in range(2):
            worker = started(
                stack, "worker", address, "--host", "127.0.0.1", "--nthreads", "1",
                "--no-dashboard", "--local-directory", folder, "--memory-limit", "0",
            )  # fmt: skip
            next(line for line in worker.stderr if "Registered to" in line)
            reads_on(worker)
        reads_on(process)
        yield address


def codns(*arguments):
    command = [sys.executable, "-m", "codns", "simulate", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=120)


def test_a_sweep_on_a_cluster_is_the_same_as_here(scheduler, tmp_path):
    path = tmp_path / "fleet.yaml"
    path.write_text(SMALL)
    arguments = (path, "--policy", "off,adaptive", "--sweep", "workload.rate=1,2", "--json")
    there = codns(*arguments, "--scheduler", scheduler)
    assert there.returncode == 0, there.stderr
    here = codns(*arguments, "--jobs", "1")
    assert there.stdout == here.stdout


def test_a_broken_promise_comes_back_from_a_cluster(scheduler, tmp_path):
    path = tmp_path / "fleet.yaml"
    path.write_text(SMALL)
    said = codns(
        path, "--policy", "off", "--set", "constants.resolver.DEADLINE_S=9",
        "--scheduler", scheduler,
    )  # fmt: skip
    assert said.returncode == 1
    assert b"has not answered client" in said.stderr


def test_no_scheduler_there(tmp_path):
    path = tmp_path / "fleet.yaml"
    path.write_text(SMALL)
    said = codns(path, "--scheduler", "tcp://127.0.0.1:1")
    assert said.returncode == 3
    assert b"no dask scheduler at tcp://127.0.0.1:1" in said.stderr
