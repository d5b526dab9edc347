import base64
import os
import stat
from pathlib import Path

import pytest

from codns.peer.keyfile import KeyFileError, check_mode, generate, load, parse, unreadable

ONE, TWO = bytes(range(32)), bytes(range(32, 64))
TEXT = [base64.b64encode(key).decode() for key in (ONE, TWO)]
PATH = Path("codns.key")


def write(path, text, mode=0o640):
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (TEXT[0], [ONE]),
        (f"{TEXT[0]}\n{TEXT[1]}\n", [ONE, TWO]),
        (f"# a cluster\n\n  {TEXT[1]}  # new since March\r\n{TEXT[0]}\n#{TEXT[0]}\n", [TWO, ONE]),
    ],
)
def test_one_key_a_line_in_order(text, keys):
    assert parse(text, PATH) == keys


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "codns.key: holds no key; make one with `codns keygen`"),
        ("# nothing\n\n", "codns.key: holds no key"),
        (f"{TEXT[0]}\nhello world\n", "codns.key, line 2: no base64; a key is one line of 44"),
        (TEXT[0].replace("A", "-", 1), "line 1: no base64"),
        (TEXT[0][:-1], "line 1: no base64"),
        ("Zm9v", "line 1: 3 bytes, not 32; a key is one line of 44 characters"),
        (base64.b64encode(bytes(33)).decode(), "line 1: 33 bytes, not 32"),
        ("\ufffd\ufffd", "line 1: no base64"),
        (f"{TEXT[0]}\n{TEXT[1]}\n{TEXT[0]}", "line 3: the key of line 1 again; delete one"),
        (
            "\n".join(base64.b64encode(bytes((n,)) * 32).decode() for n in range(9)),
            "9 keys, over 8; delete those not in use",
        ),
    ],
)
def test_errors_name_place_cause_and_remedy(text, message):
    with pytest.raises(KeyFileError) as error:
        parse(text, PATH)
    assert message in str(error.value)
    assert not any(len(line) > 20 and line in str(error.value) for line in text.split())


@pytest.mark.parametrize("mode", [0o640, 0o600, 0o400, 0o440, 0o240])
def test_modes_that_will_do(mode):
    check_mode(stat.S_IFREG | mode, PATH)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o650, 0o700, 0o641, 0o642, 0o4640])
def test_modes_that_will_not(mode):
    with pytest.raises(KeyFileError, match=f"mode {mode:04o} .* chmod 0640 codns.key"):
        check_mode(stat.S_IFREG | mode, PATH)


def test_a_file(tmp_path):
    assert load(write(tmp_path / "key", f"{TEXT[1]}\n{TEXT[0]}\n")) == [TWO, ONE]


def test_what_is_generated_loads(tmp_path):
    text = generate(lambda size: ONE[:size])
    assert load(write(tmp_path / "key", text, 0o600)) == [ONE]
    assert all(len(line) <= 99 for line in text.splitlines())
    assert generate() != generate()


def test_an_open_file_is_refused_unread(tmp_path):
    path = write(tmp_path / "key", "no key at all", 0o644)
    with pytest.raises(KeyFileError, match="mode 0644"):
        load(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such key file; make one with `codns keygen`"),
        (lambda path: path.mkdir(), "peers.key_file must name a file"),
        (lambda path: os.mkfifo(path, 0o600), "no regular file; peers.key_file must name one"),
        (lambda path: write(path, "#" * 65_537), "over 65536 bytes; is it a key file?"),
        (lambda path: (path.write_bytes(b"\xff" * 40), path.chmod(0o600)), "line 1: no base64"),
    ],
)
def test_what_is_no_key_file(tmp_path, make, message):
    path = tmp_path / "key"
    make(path)
    with pytest.raises(KeyFileError) as error:
        load(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_not_ours_to_read():
    error = unreadable(PermissionError(13, "Permission denied"), PATH)
    assert str(error).startswith(
        "codns.key: this user may not read it; chown root:codns codns.key"
    )
