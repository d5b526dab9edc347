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
        "rate limit     none\n"
        f"nameservers    192.0.2.1#53 (from {tmp_path}/resolv.conf)\n"
        "letters        lower case\n"
        "slaves         auto\n"
        "private zones  105 (auto)\n"
        "cache          200000 entries, TTL 0s to 1d, negative up to 1h, stale up to 1d, "
        "prefetch\n"
        "probe          auto\n"
        "http           127.0.0.1:9853\n"
        "control        /run/codns/control.sock\n"
        "log            info, text\n"
        "peers          off\n"
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


def fleet(tmp_path, more=""):
    file = tmp_path / "codns.yaml"
    file.write_text(
        f"""
nameservers: ["192.0.2.9"]
peers:
  listen: "0.0.0.0:7353"
  key_file: {tmp_path}/cluster.key
  nodes: ["192.0.2.7", "127.0.0.1", "srv:_codns._udp.example.net"]
  site: fra1
{more}"""
    )
    return file


def test_a_fleet(codns, tmp_path):
    file = fleet(tmp_path)
    assert codns("keygen", tmp_path / "cluster.key").exit_code == 0
    result = codns("check", "-c", file)
    assert result.exit_code == 0
    assert result.stdout.endswith(
        "log            info, text\n"
        "peers          3 in nodes, up to 10 neighbours\n"
        "this node      127.0.0.1:7353, heard at 0.0.0.0:7353 (UDP), site fra1\n"
        f"cluster        default, 1 key in {tmp_path}/cluster.key\n"
        "race           adaptive, initial delay 10ms to 200ms, up to 3 peers a lookup, "
        "budget 10%\n"
        "state          /var/lib/codns\n"
    )
    said = json.loads(codns("check", "-c", file, "--json").stdout)
    assert (said["me"], said["keys"]) == ("127.0.0.1:7353", 1)
    assert said["config"]["peers"]["nodes"][2] == "srv:_codns._udp.example.net."


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (None, 0, "no such key file; make one with `codns keygen`"),
        ("# no key\n", 0o640, "holds no key; make one with `codns keygen`"),
        ("short\n", 0o600, "no base64; a key is one line of 44 characters"),
        ("", 0o644, "mode 0644 lets others use the key; chmod 0640"),
    ],
)
def test_key_files_that_will_not_do(codns, tmp_path, content, mode, said):
    file, key = fleet(tmp_path), tmp_path / "cluster.key"
    if content is not None:
        key.write_text(content)
        key.chmod(mode)
    result = codns("check", "-c", file)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"{file}: peers.key_file: {key}")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    problem = json.loads(codns("check", "-c", file, "--json").stdout)["problems"][0]
    assert problem["path"] == "peers.key_file"
