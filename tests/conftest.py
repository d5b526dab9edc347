"""Markers of tests that need more than Python.

On a developer's machine such a test is skipped and says in the summary what to install. With
CODNS_CI=1, where everything was installed, a missing program is an error of the set-up and fails.
"""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # `bench` is a folder of the project, not an installed package
    sys.path.insert(0, str(ROOT))

from bench.servers import PACKAGES  # noqa: E402 - it is found only now

SEARCH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


@cache
def namespaces() -> bool:
    """Whether we may make network and mount namespaces."""
    unshare = shutil.which("unshare", path=SEARCH)
    if os.geteuid() != 0 or unshare is None:
        return False
    command = [unshare, "--mount", "--net", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def missing(item: pytest.Item) -> str | None:
    """What this test needs and the machine has not, in words."""
    tools = {tool for mark in item.iter_markers("real") for tool in mark.args}
    absent = sorted(tool for tool in tools if shutil.which(tool, path=SEARCH) is None)
    if absent:
        packages = ", ".join(
            f"{tool} (Debian package {PACKAGES.get(tool, tool)})" for tool in absent
        )
        return f"needs {packages}"
    if item.get_closest_marker("root") and not namespaces():
        return "needs root and network namespaces"
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    reason = missing(item)
    if reason is None:
        return
    if os.environ.get("CODNS_CI") == "1":
        pytest.fail(f"CODNS_CI=1, but {reason}", pytrace=False)
    pytest.skip(f"{item.name}: {reason}")
