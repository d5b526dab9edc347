"""codns in resolv.conf: the same cases for the script, under several shells, and the command."""

import json
import os
import shutil
import subprocess

import pytest
from click.testing import CliRunner

from codns.cli import main
from codns.cli.resolvconf import SCRIPT
from codns.config.resolvconf import INSTALLED, Places, discover

HEAD = """\
# codns-resolvconf: queries go to codns on this host first.
# The original is kept in /etc/resolv.conf.codns-original;
# "systemctl stop codns.socket" or "codns resolvconf restore" puts it back.
"""
NONE = """\
# codns-resolvconf: queries go to codns on this host first.
# codns-resolvconf: there was no such file before.
"""
OPTIONS = "options timeout:2 attempts:2\n"
STUB = "# resolved's\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan.example\n"
UPLINK = "nameserver 192.0.2.7\nnameserver 192.0.2.8\nsearch lan.example\n"

SHELLS = [
    pytest.param(["sh", str(SCRIPT)], id="sh"),
    pytest.param(["busybox", "ash", str(SCRIPT)], id="busybox", marks=pytest.mark.real("busybox")),
]


def by_command(*words):
    result = CliRunner().invoke(main, ["resolvconf", *words])
    return result.exit_code


@pytest.fixture(params=[*SHELLS, pytest.param(None, id="codns")])
def tool(request, tmp_path):
    """A way of calling it: words -> exit code."""

    def by_script(*words):
        return subprocess.run(
            [*request.param, *words, "--root", str(tmp_path)], capture_output=True, check=False
        ).returncode

    (tmp_path / "etc").mkdir()
    if request.param:
        return by_script
    return lambda *words: by_command(*words, "--root", str(tmp_path))


@pytest.fixture
def file(tmp_path):
    return tmp_path / "etc" / "resolv.conf"


def tell(tmp_path, *words):
    """What it says: (exit code, facts)."""
    done = subprocess.run(
        ["sh", str(SCRIPT), *words, "--facts", "--root", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, [line.split("\t", 1) for line in done.stdout.splitlines()]


def told(tmp_path, *words):
    """All its sentences, in one."""
    return " ".join(
        value for key, value in tell(tmp_path, *words)[1] if key in ("said", "warning")
    )


CASES = [
    # (before, after its head, options)
    pytest.param(
        "search a.example\nnameserver 192.0.2.1\n",
        "nameserver 127.0.0.1\nnameserver 192.0.2.1\nsearch a.example\n" + OPTIONS,
        [], id="plain",
    ),
    pytest.param(
        "options rotate timeout:1 attempts:5 ndots:2\nnameserver 192.0.2.1\noptions edns0 rotate",
        "nameserver 127.0.0.1\nnameserver 192.0.2.1\n"
        "options ndots:2 edns0 timeout:2 attempts:2\n",
        [], id="options, no newline at the end",
    ),
    pytest.param(
        "; a comment\n# another\n\nnameserver\t192.0.2.1 # site\nnameserver 2001:db8::1\n"
        "domain b.example\nsortlist 192.0.2.0/24\n nameserver 192.0.2.9\n",
        "nameserver 127.0.0.1\nnameserver 192.0.2.1\nnameserver 2001:db8::1\n"
        "domain b.example\nsortlist 192.0.2.0/24\n nameserver 192.0.2.9\n" + OPTIONS,
        [], id="comments, tabs, what glibc does not read",
    ),
    pytest.param(
        "nameserver 127.0.0.1\nnameserver ::1\nnameserver 192.0.2.1\n",
        "nameserver 127.0.0.1\nnameserver 192.0.2.1\n" + OPTIONS,
        [], id="by hand before: not twice",
    ),
    pytest.param(
        "nameserver 127.0.0.1\nnameserver 192.0.2.1\noptions *\n",
        "nameserver 10.0.0.5\nnameserver 127.0.0.1\nnameserver 192.0.2.1\n"
        "options * timeout:2 attempts:2\n",
        ["--address", "10.0.0.5"], id="another address, an option that is a pattern",
    ),
    pytest.param(
        "search a.example\nnameserver 192.0.2.1\n",
        "nameserver 127.0.0.1\nsearch a.example\n" + OPTIONS,
        ["--only-localhost"], id="only localhost",
    ),
    pytest.param("", "nameserver 127.0.0.1\n" + OPTIONS, [], id="empty"),
    pytest.param(
        STUB.replace("127.0.0.53", "127.0.0.54"),
        "nameserver 127.0.0.1\nnameserver 127.0.0.54\nsearch lan.example\n"
        "options edns0 trust-ad timeout:2 attempts:2\n",
        [], id="resolved's stub, its uplinks not known",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "options"), CASES)
def test_same_file_in_same_file_out(tool, file, before, after, options):
    file.write_bytes(before.encode())
    file.chmod(0o640)
    os.utime(file, ns=(10**18, 10**18))
    kept = file.parent / "resolv.conf.codns-original"
    assert tool("status") == 1
    assert tool("install", *options) == 0
    assert file.read_text() == HEAD + after
    assert file.stat().st_mode & 0o777 == 0o644
    assert kept.read_bytes() == before.encode()
    inode = file.stat().st_ino
    assert tool("install", *options) == 0
    assert file.stat().st_ino == inode  # a second time: nothing is written
    assert tool("status") == 0
    assert tool("restore") == 0
    assert file.read_bytes() == before.encode()
    assert (file.stat().st_mode & 0o777, file.stat().st_mtime_ns) == (0o640, 10**18)
    assert tool("restore") == 0
    assert list(file.parent.iterdir()) == [file]


def test_no_file_before(tool, file):
    assert tool("install") == 0
    assert file.read_text() == NONE + "nameserver 127.0.0.1\n" + OPTIONS
    assert tool("install") == 0
    assert tool("restore") == 0
    assert list(file.parent.iterdir()) == []


def test_a_link_to_the_stub_of_resolved(tool, file, tmp_path):
    resolve = tmp_path / "run" / "systemd" / "resolve"
    resolve.mkdir(parents=True)
    (resolve / "stub-resolv.conf").write_text(STUB)
    (resolve / "resolv.conf").write_text(UPLINK)
    link = "../run/systemd/resolve/stub-resolv.conf"
    file.symlink_to(link)
    assert tool("install") == 0
    assert not file.is_symlink()
    assert file.read_text() == (
        HEAD + "nameserver 127.0.0.1\nnameserver 192.0.2.7\nnameserver 192.0.2.8\n"
        "search lan.example\noptions edns0 timeout:2 attempts:2\n"
    )
    # The network changes: codns follows through the link that was kept, and so does an install
    (resolve / "resolv.conf").write_text("nameserver 192.0.2.9\n")
    places = Places(
        file, resolve / "stub-resolv.conf", resolve / "resolv.conf",
        file.with_name("resolv.conf.codns-original"),
    )  # fmt: skip
    assert discover(own=["127.0.0.1:53"], places=places).nameservers == ["192.0.2.9#53"]
    assert tool("install") == 0
    assert "nameserver 192.0.2.9\n" in file.read_text()
    assert tool("restore") == 0
    assert str(file.readlink()) == link
    assert (resolve / "stub-resolv.conf").read_text() == STUB


def test_a_link_that_leads_nowhere_yet(tool, file):
    file.symlink_to("/run/NetworkManager/resolv.conf")
    assert tool("install") == 0
    assert file.read_text() == HEAD + "nameserver 127.0.0.1\n" + OPTIONS
    assert tool("restore") == 0
    assert str(file.readlink()) == "/run/NetworkManager/resolv.conf"


def test_an_absolute_link_is_followed_within_root(tool, file, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").write_text("nameserver 192.0.2.1\n")
    file.symlink_to("/run/mine")
    assert tool("install") == 0
    assert "nameserver 192.0.2.1\n" in file.read_text()


def test_what_another_program_wrote_since_is_left_alone(tool, file):
    file.write_text("nameserver 192.0.2.1\n")
    assert tool("install") == 0
    file.write_text("nameserver 192.0.2.2\n")  # a new lease
    assert tool("status") == 1
    assert tool("restore") == 0
    assert file.read_text() == "nameserver 192.0.2.2\n"
    assert list(file.parent.iterdir()) == [file]


def test_what_another_program_wrote_since_is_the_new_original(tool, file):
    file.write_text("nameserver 192.0.2.1\n")
    assert tool("install") == 0
    file.write_text("nameserver 192.0.2.2\n")
    assert tool("install") == 0
    assert "nameserver 192.0.2.1\n" not in file.read_text()
    assert tool("restore") == 0
    assert file.read_text() == "nameserver 192.0.2.2\n"


def test_the_original_was_lost(tool, file):
    file.write_text("search a.example\nnameserver 192.0.2.1\n")
    assert tool("install") == 0
    installed = file.read_text()
    file.with_name("resolv.conf.codns-original").unlink()
    assert tool("install") == 0
    assert file.read_text() == installed
    assert tool("restore") == 0
    assert file.read_text() == "nameserver 192.0.2.1\nsearch a.example\n" + OPTIONS
    file.write_text("nameserver 192.0.2.1\n")
    assert tool("install", "--only-localhost") == 0
    file.with_name("resolv.conf.codns-original").unlink()
    assert tool("restore") == 2  # there is nothing it could put there
    assert "127.0.0.1" in file.read_text()


@pytest.mark.parametrize(
    "words",
    [["install", "--address"], ["install", "--address", "a b"], ["install", "--no"], ["remove"]],
)
def test_wrong_usage(tool, file, words):
    file.write_text("nameserver 192.0.2.1\n")
    assert tool(*words) == 2
    assert file.read_text() == "nameserver 192.0.2.1\n"


def test_more_than_a_resolv_conf_has(tool, file):
    file.write_text("#" * 65537)
    assert tool("install") == 2
    assert file.stat().st_size == 65537
    file.write_text("#" * 65536)
    assert tool("install") == 0


def test_a_folder_is_none(tool, file):
    file.mkdir()
    assert tool("install") == 2


# -- what it tells --------------------------------------------------------------------------------


def test_facts_and_json(file, tmp_path):
    file.parent.mkdir()
    file.write_text("nameserver 192.0.2.1\n")
    result = CliRunner().invoke(main, ["resolvconf", "install", "--root", str(tmp_path), "--json"])
    told = json.loads(result.stdout)
    assert (told["changed"], told["warnings"], told["file"]) == (True, [], str(file))
    result = CliRunner().invoke(main, ["--json", "resolvconf", "status", "--root", str(tmp_path)])
    assert result.exit_code == 0
    status = json.loads(result.stdout)
    assert status == {
        "file": str(file),
        "state": "installed",
        "keeper": None,
        "nameservers": ["127.0.0.1", "192.0.2.1"],
        "original": f"{file}.codns-original",
        "said": status["said"],
        "warnings": [],
    }


@pytest.mark.parametrize(
    ("link", "who"),
    [
        ("../run/systemd/resolve/stub-resolv.conf", "systemd-resolved runs on"),
        ("../run/NetworkManager/resolv.conf", "NetworkManager goes on writing the file behind"),
        ("../run/resolvconf/resolv.conf", "resolvconf goes on writing the file behind"),
    ],
)
def test_links_are_explained(file, tmp_path, link, who):
    file.parent.mkdir()
    file.symlink_to(link)
    (file.parent / link).parent.mkdir(parents=True)
    (file.parent / link).write_text("nameserver 192.0.2.1\n")
    said = told(tmp_path, "install")
    assert who in said
    assert f"was a link to {link}" in said
    assert dict(tell(tmp_path, "status")[1])["link"] == link


@pytest.mark.parametrize(
    ("path", "words", "text"),
    [
        ("run/docker.sock", [], "they go on asking the original nameservers"),
        ("run/docker.sock", ["--only-localhost"], "public nameservers: set dns in"),
        ("var/lib/kubelet/x", [], "127.0.0.1 is the pod itself"),
        ("run/NetworkManager/x", [], "dns=none"),
        ("lib/ld-musl-x86_64.so.1", [], "--only-localhost"),
    ],
)
def test_warnings(file, tmp_path, path, words, text):
    file.parent.mkdir()
    file.write_text("nameserver 192.0.2.1\n")
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text("")
    assert text in told(tmp_path, "install", *words)
    assert text in told(tmp_path, "status")


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("etc/NetworkManager/conf.d/codns.conf", "[main]\ndns=none\n"),
        ("etc/NetworkManager/NetworkManager.conf", "[main]\nrc-manager = unmanaged\n"),
        ("lib64/ld-linux-x86-64.so.2", ""),  # musl beside glibc is somebody's toy
    ],
)
def test_no_warning_of_what_is_settled(file, tmp_path, path, content):
    file.parent.mkdir()
    file.write_text("nameserver 192.0.2.1\n")
    (tmp_path / "run/NetworkManager").mkdir(parents=True)
    (tmp_path / "lib").mkdir()
    if path.startswith("etc"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(content)
        assert "NetworkManager" not in told(tmp_path, "install")
    else:
        (tmp_path / "lib/ld-musl-x86_64.so.1").write_text("")
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(content)
        assert "musl" not in told(tmp_path, "install")


@pytest.mark.parametrize(
    ("header", "who"),
    [
        ("# Generated by NetworkManager", "NetworkManager"),
        ("# Generated by resolvconf", "resolvconf"),
        ("# Generated by dhcpcd from eth0.dhcp", "dhcpcd"),
    ],
)
def test_who_wrote_the_file(file, tmp_path, header, who):
    file.parent.mkdir()
    file.write_text(f"{header}\nnameserver 192.0.2.1\n")
    code, facts = tell(tmp_path, "status")
    assert (code, dict(facts)["keeper"]) == (1, who)


def test_the_daemon_knows_the_file_by_its_first_words(file, tmp_path):
    file.parent.mkdir()
    file.write_text("nameserver 192.0.2.1\n")
    tell(tmp_path, "install")
    assert file.read_bytes().startswith(INSTALLED)


@pytest.mark.real("shellcheck")
def test_the_script_is_posix_sh():
    done = subprocess.run(
        ["shellcheck", "--shell=sh", SCRIPT], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
    assert done.returncode == 0


@pytest.mark.root
@pytest.mark.real("unshare")
def test_a_file_that_is_a_mount_is_written_in_place(file, tmp_path):
    """Containers: resolv.conf is bind-mounted, and a rename over it fails."""
    file.parent.mkdir()
    file.write_text("nameserver 192.0.2.1\n")
    (tmp_path / "mounted").write_text("nameserver 192.0.2.2\n")
    script = (
        f'mount --bind "{tmp_path}/mounted" "{file}" && '
        f'sh "{SCRIPT}" install --root "{tmp_path}" && cp "{file}" "{tmp_path}/then" && '
        f'sh "{SCRIPT}" restore --root "{tmp_path}"'
    )
    unshare = shutil.which("unshare")
    done = subprocess.run(
        [unshare, "--mount", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "written in place" in done.stdout
    assert (tmp_path / "then").read_text() == (
        HEAD + "nameserver 127.0.0.1\nnameserver 192.0.2.2\n" + OPTIONS
    )
    assert (tmp_path / "mounted").read_text() == "nameserver 192.0.2.2\n"
    assert file.read_text() == "nameserver 192.0.2.1\n"  # below the mount
