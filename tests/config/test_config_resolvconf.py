"""resolv.conf: read as glibc does, and never a loop."""

import errno
import os
from pathlib import Path

import pytest

from codns.config.resolvconf import Places, discover, fingerprint, is_local, is_own, parse


@pytest.mark.parametrize(
    ("text", "servers", "search", "domains"),
    [
        ("", [], [], []),
        ("nameserver 192.0.2.1\n", ["192.0.2.1#53"], [], []),
        ("nameserver\t192.0.2.1", ["192.0.2.1#53"], [], []),
        ("nameserver   192.0.2.1 # not a comment, ignored\n", ["192.0.2.1#53"], [], []),
        ("nameserver 192.0.2.1\r\n", ["192.0.2.1#53"], [], []),
        (" nameserver 192.0.2.1\n", [], [], []),  # not at the start of the line
        ("nameservers 192.0.2.1\nNAMESERVER 192.0.2.2\n", [], [], []),
        ("#nameserver 192.0.2.1\n;nameserver 192.0.2.2\n", [], [], []),
        ("nameserver 127.1\nnameserver 0x7f.2\n", ["127.0.0.1#53", "127.0.0.2#53"], [], []),
        ("nameserver 2001:DB8:0::1\n", ["2001:db8::1#53"], [], []),
        ("nameserver fe80::1%eth0\n", ["fe80::1%eth0#53"], [], []),
        ("nameserver 192.0.2.1\nnameserver 192.0.2.1\n", ["192.0.2.1#53"], [], []),
        (
            "".join(f"nameserver 192.0.2.{n}\n" for n in range(1, 6)),  # glibc asks three of them
            [f"192.0.2.{n}#53" for n in range(1, 6)],
            [],
            [],
        ),
        ("search a.example B.Example.\n", [], ["a.example.", "b.example."], None),
        ("domain a.example b.example\n", [], ["a.example."], None),
        ("search a.example\nsearch b.example\n", [], ["b.example."], ["a.example.", "b.example."]),
        ("search a.example\ndomain b.example\n", [], ["b.example."], ["a.example.", "b.example."]),
        ("domain a.example\nsearch \n", [], ["a.example."], None),
        ("search .\n", [], [], []),
        ("search a.example a.example\n", [], ["a.example."], None),
        ("sortlist 10.0.0.0\nlookup file\n", [], [], []),
    ],
)
def test_parse(text, servers, search, domains):
    conf = parse(text)
    assert conf.nameservers == servers
    assert conf.search == search
    assert conf.domains == (search if domains is None else domains)
    assert conf.warnings == []


def test_options_add_up():
    conf = parse("options ndots:2 rotate\noptions trust-ad\noption edns0\n")
    assert conf.options == ["ndots:2", "rotate", "trust-ad"]
    assert conf.trust_ad
    assert not parse("options edns0\n").trust_ad


def test_what_makes_no_sense_is_a_warning():
    conf = parse(
        "nameserver\nnameserver \nnameserver ns.example\nnameserver 192.0.2.1:53\n"
        "nameserver [::1]:53\nnameserver 0.0.0.300\nsearch a..example b.example\n"
    )
    assert conf.nameservers == []
    assert conf.search == ["b.example."]
    assert conf.warnings == [
        "line 2: 'nameserver' has no address",
        "line 3: 'nameserver ns.example' has no address",
        "line 4: 'nameserver 192.0.2.1:53' has no address",
        "line 5: 'nameserver [::1]:53' has no address",
        "line 6: 'nameserver 0.0.0.300' has no address",
        "line 7: 'a..example' is not a domain name",
    ]


def test_lists_are_bounded():
    conf = parse("".join(f"nameserver 192.0.2.{n}\n" for n in range(1, 40)))
    assert len(conf.nameservers) == 16
    assert conf.warnings == ["more than 16 nameservers: the rest is not used"]
    assert len(parse("search " + " ".join(f"a{n}.example" for n in range(99))).domains) == 64


@pytest.mark.parametrize(
    ("server", "own", "mine"),
    [
        ("127.0.0.1#53", ["127.0.0.1:53"], True),
        ("127.0.0.1#53", ["127.0.0.1:5300"], False),  # another port: another resolver
        ("127.0.0.1#53", ["127.0.0.2:53", "[::1]:53"], False),  # another loopback address too
        ("::1#53", ["[::1]:53"], True),
        ("127.0.0.53#53", ["0.0.0.0:53"], True),
        ("192.0.2.7#53", ["0.0.0.0:53"], True),  # local in this table
        ("192.0.2.8#53", ["0.0.0.0:53"], False),
        ("192.0.2.7#53", ["[::]:53"], False),
        ("2001:db8::7#53", ["[::]:53"], True),
        ("0.0.0.0#53", ["127.0.0.1:53"], True),  # the kernel connects that to loopback
        ("::#53", ["[::1]:53"], True),
        ("192.0.2.8#53", ["192.0.2.8:53"], True),
        ("192.0.2.8#53", [], False),
    ],
)
def test_is_own(server, own, mine):
    def local(address):
        return address in ("192.0.2.7", "2001:db8::7") or address.startswith("127.")

    assert is_own(server, own, local) is mine


def test_is_local_asks_the_kernel():
    assert is_local("127.0.0.1")
    assert is_local("127.200.1.1")
    assert not is_local("192.0.2.200")
    assert not is_local("2001:db8::200")


@pytest.fixture
def host(tmp_path):
    """A host's files: host(name=text) writes them; a text that starts with -> is a link."""
    names = {
        "conf": "resolv.conf",
        "stub": "stub-resolv.conf",
        "uplink": "uplink.conf",
        "original": "resolv.conf.orig",
    }

    def write(**files):
        for key, text in files.items():
            path = tmp_path / names[key]
            path.unlink(missing_ok=True)
            if text.startswith("->"):
                path.symlink_to(names[text[2:]])
            else:
                path.write_text(text)
        return Places(
            *(tmp_path / name for name in names.values()),
            is_local=lambda address: address.startswith("127."),
        )

    return write


OWN = ["127.0.0.1:53", "[::1]:53"]
STUB = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch site.example\n"
SELF = "nameserver 127.0.0.1\nsearch now.example\n"


@pytest.mark.parametrize(
    ("files", "servers", "source", "search"),
    [
        ({"conf": "nameserver 192.0.2.1\n"}, ["192.0.2.1#53"], "resolv.conf", []),
        (
            {"conf": "nameserver 127.0.0.1\nnameserver 192.0.2.1\n"},
            ["192.0.2.1#53"],
            "resolv.conf",
            [],
        ),
        # another resolver on another loopback address is a nameserver like any
        ({"conf": "nameserver 127.0.0.2\n"}, ["127.0.0.2#53"], "resolv.conf", []),
        # only ourselves: what the installer kept
        (
            {"conf": SELF, "original": "nameserver 192.0.2.9\nsearch old.example\n"},
            ["192.0.2.9#53"],
            "resolv.conf.orig",
            ["now.example.", "old.example."],
        ),
        # a real one is there: the original is history
        (
            {"conf": "nameserver 192.0.2.1\n" + SELF, "original": "nameserver 192.0.2.9\n"},
            ["192.0.2.1#53"],
            "resolv.conf",
            ["now.example."],
        ),
        # resolved, by link and by address
        (
            {"stub": STUB, "conf": "->stub", "uplink": "nameserver 192.0.2.5\n"},
            ["192.0.2.5#53"],
            "uplink.conf",
            ["site.example."],
        ),
        (
            {"conf": STUB, "uplink": "nameserver 192.0.2.5\nsearch up.example\n"},
            ["192.0.2.5#53"],
            "uplink.conf",
            ["site.example.", "up.example."],
        ),
        # resolved's other file, linked to on purpose
        (
            {"uplink": "nameserver 192.0.2.5\n", "conf": "->uplink"},
            ["192.0.2.5#53"],
            "resolv.conf",
            [],
        ),
        # what the installer kept was the stub's
        (
            {"conf": SELF, "original": STUB, "uplink": "nameserver 192.0.2.5\n"},
            ["192.0.2.5#53"],
            "uplink.conf",
            ["now.example.", "site.example."],
        ),
        # and resolved itself was pointed at us
        (
            {"conf": SELF, "original": STUB, "uplink": "nameserver 127.0.0.1\n"},
            [],
            "uplink.conf",
            ["now.example.", "site.example."],
        ),
    ],
)
def test_discover(host, files, servers, source, search):
    found = discover(own=OWN, places=host(**files))
    assert found.nameservers == servers
    assert found.source.name == source
    assert found.search == search
    assert found.warnings == ([] if servers else [NONE])
    assert [path.name for path in found.watched] == [
        "resolv.conf",
        "uplink.conf",
        "resolv.conf.orig",
    ]


NONE = "no nameserver found: set nameservers in the configuration"


def test_discover_never_raises(host, tmp_path):
    places = host()
    missing = f"{places.resolv_conf}: No such file or directory"
    assert discover(own=OWN, places=places).warnings == [missing, NONE]
    (tmp_path / "resolv.conf").mkdir()
    assert discover(own=OWN, places=places).nameservers == []
    (tmp_path / "resolv.conf").rmdir()
    (tmp_path / "resolv.conf").write_bytes(b"\xff\xfe\nnameserver \x80\nnameserver 192.0.2.1")
    assert discover(own=OWN, places=places).nameservers == ["192.0.2.1#53"]


@pytest.mark.parametrize(
    ("code", "unread"),
    [(errno.EMFILE, True), (errno.ENFILE, True), (errno.ENOMEM, True), (errno.ENOENT, False)],
)
def test_what_we_lack_says_nothing_about_the_file(host, monkeypatch, code, unread):
    """No descriptor: not read, which is another thing than no nameserver."""

    def refuse(*_args, **_options):
        raise OSError(code, "no")

    monkeypatch.setattr(Path, "open", refuse)
    found = discover(own=OWN, places=host())
    assert (found.nameservers, found.unread) == ([], unread)


def test_stub_without_uplinks_is_asked(host):
    places = host(conf=STUB)
    found = discover(own=OWN, places=places)
    assert found.nameservers == ["127.0.0.53#53"]
    assert len(found.warnings) == 2
    assert "the stub is asked" in found.warnings[1]
    # unless codns took its address
    assert discover(own=["127.0.0.53:53"], places=places).nameservers == []


def test_wildcard_listener_is_every_local_address(host):
    places = host(conf="nameserver 127.0.0.9\nnameserver 192.0.2.1\n")
    assert discover(own=["0.0.0.0:53"], places=places).nameservers == ["192.0.2.1#53"]
    assert discover(own=["0.0.0.0:5300"], places=places).nameservers == [
        "127.0.0.9#53",
        "192.0.2.1#53",
    ]


def test_fingerprint_sees_every_change(tmp_path):
    path, one, two = tmp_path / "resolv.conf", tmp_path / "one", tmp_path / "two"
    assert fingerprint(path) is None
    one.write_text("nameserver 192.0.2.1\n")
    two.write_text("nameserver 192.0.2.2\n")
    path.symlink_to(one)
    seen = [fingerprint(path)]
    assert fingerprint(path) == seen[0]
    with one.open("a") as file:  # the target grows
        file.write("#")
    seen.append(fingerprint(path))
    os.utime(one, ns=(1, 1))  # the target is touched
    seen.append(fingerprint(path))
    path.unlink()
    path.symlink_to(two)  # another target
    seen.append(fingerprint(path))
    new = tmp_path / "new"
    new.write_text("nameserver 192.0.2.2\n")
    os.utime(new, ns=(two.stat().st_atime_ns, two.stat().st_mtime_ns))
    new.rename(two)  # the target replaced, same size and time
    seen.append(fingerprint(path))
    two.unlink()  # a dangling link
    seen.append(fingerprint(path))
    assert len(set(seen)) == len(seen)
