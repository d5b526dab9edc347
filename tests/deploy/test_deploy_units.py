"""The units: what they promise, and what systemd itself says of them."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "deploy" / "systemd"
NAMES = sorted(p.name for p in UNITS.iterdir() if p.suffix in (".service", ".socket", ".timer"))
EXPOSURE_MAX = 2.0


def directives(name):
    """Every "key=value" line of a unit, as {key: [values]}."""
    found = {}
    for line in (UNITS / name).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize(
    ("unit", "key", "values"),
    [
        ("codns.socket", "ListenDatagram", ["127.0.0.1:53", "[::1]:53"]),
        ("codns.socket", "ListenStream", ["127.0.0.1:53", "[::1]:53"]),
        ("codns.socket", "ReceiveBuffer", ["16M"]),
        ("codns.socket", "FileDescriptorName", ["dns"]),
        ("codns.service", "Type", ["notify"]),
        ("codns.service", "WatchdogSec", ["10"]),
        ("codns.service", "Restart", ["always"]),
        ("codns.service", "RestartSec", ["200ms"]),
        ("codns.service", "StartLimitIntervalSec", ["60"]),
        ("codns.service", "StartLimitBurst", ["20"]),
        ("codns.service", "User", ["codns"]),
        ("codns.service", "Requires", ["codns.socket"]),
        ("codns.service", "OnFailure", ["codns-fallback.service"]),
        ("codns.service", "CapabilityBoundingSet", [""]),
        ("codns.service", "AmbientCapabilities", [""]),
        ("codns-resolvconf.service", "BindsTo", ["codns.socket"]),
        ("codns-resolvconf.service", "Type", ["oneshot"]),
        ("codns-resolvconf.service", "RemainAfterExit", ["yes"]),
        # Else a crash loop leaves it out of breath, and the one good start finds nobody
        ("codns-resolvconf.service", "StartLimitIntervalSec", ["0"]),
        ("codns-retry.timer", "OnUnitInactiveSec", ["5min"]),
    ],
)
def test_what_the_units_promise(unit, key, values):
    assert directives(unit)[key] == values


def test_the_daemon_never_touches_resolv_conf():
    runs = [v for k, vs in directives("codns.service").items() if k.startswith("Exec") for v in vs]
    assert runs == ["/usr/bin/codns run", "/bin/kill -HUP $MAINPID"]


def test_what_puts_resolv_conf_back_needs_no_python():
    for unit in ("codns-resolvconf.service", "codns-fallback.service", "codns-retry.service"):
        for key, values in directives(unit).items():
            if key.startswith("Exec"):
                programs = [value.lstrip("-").split()[0] for value in values]
                assert set(programs) <= {
                    "systemctl",
                    "/bin/sh",
                    "/usr/libexec/codns/codns-resolvconf",
                }


def test_a_restart_does_not_reach_resolv_conf():
    """No dependency by which a stop or restart of the daemon would be passed on to it."""
    found = directives("codns-resolvconf.service")
    for key in ("Requires", "Requisite", "BindsTo", "PartOf"):
        assert "codns.service" not in " ".join(found.get(key, []))


def test_every_unit_that_is_named_is_there():
    known = set(NAMES)
    for name in NAMES:
        named = re.findall(r"codns[a-z-]*\.(?:service|socket|timer)", (UNITS / name).read_text())
        assert set(named) <= known, name


@pytest.mark.real("systemd-analyze")
def test_exposure():
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", UNITS / "codns.service"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    level = re.search(r"exposure level for codns.service: ([0-9.]+)", done.stdout)
    assert float(level[1]) <= EXPOSURE_MAX


@pytest.mark.real("systemd-analyze")
def test_systemd_finds_nothing_wrong(tmp_path):
    for program in ("usr/bin/codns", "usr/libexec/codns/codns-resolvconf", "bin/kill", "bin/sh",
                    "usr/bin/systemctl"):  # fmt: skip
        path = tmp_path / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o755)
    folder = tmp_path / "etc/systemd/system"
    folder.mkdir(parents=True)
    for name in NAMES:
        (folder / name).write_bytes((UNITS / name).read_bytes())
    for target in ("basic", "sysinit", "shutdown", "sockets", "timers", "network-online",
                   "nss-lookup", "multi-user"):  # fmt: skip
        (folder / f"{target}.target").write_text("[Unit]\nDescription=a target\n")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no",
         f"--root={tmp_path}", *NAMES],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if "codns" in line]
    assert said == []
    assert done.returncode == 0, done.stderr
