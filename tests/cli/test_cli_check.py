"""`codns check`."""

import json

import pytest
from click.testing import CliRunner

from codns.cli import main
from codns.cli.output import Common
from codns.config.resolvconf import Places


@pytest.fixture
def codns(tmp_path):
    """The command line on a host of the test's own: /etc and /run are below tmp_path."""
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\nnameserver 192.0.2.1\n")
    files = (tmp_path / name for name in ("resolv.conf", "stub", "uplink", "original"))
    common = Common(default_config=tmp_path / "default.yaml", places=Places(*files))
    return lambda *args: CliRunner().invoke(main, list(map(str, args)), obj=common)


def test_defaults(codns, tmp_path):
    result = codns("check")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout == (
        "ok: no configuration file, all defaults\n"
        "listen         127.0.0.1:53, [::1]:53 (UDP and TCP)\n"
        "allow          127.0.0.0/8, ::1/128\n"
        f"nameservers    192.0.2.1#53 (from {tmp_path}/resolv.conf)\n"
        "slaves         auto\n"
        "private zones  105 (auto)\n"
        "cache          200000 entries, TTL 0s to 1d, negative up to 1h, stale up to 1d, "
        "prefetch\n"
        "log            info, text\n"
    )


@pytest.mark.parametrize("before", [True, False])
def test_a_file(codns, tmp_path, before):
    file = tmp_path / "codns.yaml"
    file.write_text(
        'listen: ["127.0.0.1:5300"]\nnameservers: ["192.0.2.9"]\n'
        "allow: [0.0.0.0/0]\ncache: {stale: 0s, prefetch: false}\n"
        'zones: {corp.example: {nameservers: ["10.0.0.1"], peers: false}, a.example: }\n'
    )
    option = ("--config", str(file))
    result = codns(*option, "check") if before else codns("check", *option)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"ok: {file}\nlisten              127.0.0.1:5300 (UDP")
    assert "192.0.2.9#53 (from configuration)" in result.stdout
    assert "never stale, no prefetch" in result.stdout
    assert "zone corp.example.  10.0.0.1#53, no peers\n" in result.stdout
    assert "zone a.example.     the site's nameservers\n" in result.stdout
    assert result.stderr == (
        "warning: allow: 0.0.0.0/0 lets the whole Internet ask: an open resolver\n"
    )


def test_the_default_file_counts(codns, tmp_path):
    (tmp_path / "default.yaml").write_text("slaves: many\n")
    result = codns("check")
    assert result.exit_code == 2
    assert result.stderr == (
        f'{tmp_path}/default.yaml:1: slaves: "many" is not a whole number, or auto\n'
    )


def test_problems(codns, tmp_path):
    file = tmp_path / "codns.yaml"
    file.write_text("lisen: []\nslaves: 0\n")
    result = codns("check", "-c", file)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == (
        f"{file}:1: lisen: unknown key; did you mean listen?\n"
        f"{file}:2: slaves: 0 is out of range: 1 to 64, or auto\n"
    )
    result = codns("check", "-c", file, "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout) == {
        "ok": False,
        "file": str(file),
        "problems": [
            {
                "path": "lisen",
                "text": "unknown key; did you mean listen?",
                "line": 1,
                "source": str(file),
            },
            {
                "path": "slaves",
                "text": "0 is out of range: 1 to 64, or auto",
                "line": 2,
                "source": str(file),
            },
        ],
    }


def test_a_missing_file(codns, tmp_path):
    result = codns("check", "-c", tmp_path / "no.yaml")
    assert result.exit_code == 2
    assert (
        result.stderr == f"{tmp_path}/no.yaml: no such file; leave out -c to run with defaults\n"
    )


def test_json(codns, tmp_path):
    said = json.loads(codns("check", "--json").stdout)
    assert said["ok"] is True
    assert said["file"] is None
    assert said["nameservers"] == ["192.0.2.1#53"]
    assert said["nameservers_from"] == f"{tmp_path}/resolv.conf"
    assert said["config"]["cache"]["max_ttl"] == 86400
    assert "168.192.in-addr.arpa." in said["private_zones"]
    assert said["warnings"] == []


def test_no_nameserver_is_a_warning(codns, tmp_path):
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    result = codns("check")
    assert result.exit_code == 0
    assert f"none (from {tmp_path}/original)" in result.stdout
    assert result.stderr.endswith(
        "warning: no nameserver found: set nameservers in the configuration\n"
    )
