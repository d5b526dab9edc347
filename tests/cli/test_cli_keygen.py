"""`codns keygen`: the file it makes, and the steps of a rotation."""

import base64
import json
import os
import stat

import pytest

from codns.peer import keyfile
from codns.peer.seal import KEYS_MAX, key_id


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_to_standard_output(codns):
    result = codns("keygen")
    assert result.exit_code == 0
    (key,) = keyfile.parse(result.stdout, None)
    assert len(key) == 32
    said = json.loads(codns("keygen", "--json").stdout)
    key = base64.b64decode(said["key"])
    assert said["id"] == key_id(key).hex()


@pytest.mark.parametrize("umask", [0, 0o077])
def test_a_new_file_has_its_mode_whatever_the_umask(codns, tmp_path, umask):
    file = tmp_path / "cluster.key"
    before = os.umask(umask)
    try:
        result = codns("keygen", file)
    finally:
        os.umask(before)
    assert result.exit_code == 0
    assert mode(file) == 0o640
    (key,) = keyfile.load(file)
    assert result.stdout == (
        f"{file}: a new key; the same file goes to every node\n"
        f"  {key_id(key).hex()}  seals and opens\n"
    )
    assert base64.b64encode(key).decode() not in result.stdout


def test_what_is_there_is_not_overwritten(codns, tmp_path):
    file = tmp_path / "cluster.key"
    file.write_text("precious")
    result = codns("keygen", file)
    assert result.exit_code == 2
    assert result.stderr == (
        f"codns: {file} is there already, and a new key would cut this node off: --add appends "
        "one, see `codns keygen --help`\n"
    )
    assert file.read_text() == "precious"
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    assert codns("keygen", link).exit_code == 2
    assert not (tmp_path / "nowhere").exists()


def test_a_rotation(codns, tmp_path):
    file = tmp_path / "cluster.key"
    codns("keygen", file)
    file.write_text("# ours\n" + file.read_text() + "# the end\n")
    (old,) = keyfile.load(file)
    assert codns("keygen", "--add", file).exit_code == 0
    first, new = keyfile.load(file)
    assert first == old
    result = codns("keygen", "--first", file, "--json")
    assert keyfile.load(file) == [new, old]
    assert json.loads(result.stdout) == {
        "file": str(file),
        "step": "first",
        "keys": [key_id(new).hex(), key_id(old).hex()],
    }
    assert codns("keygen", "--prune", file).exit_code == 0
    assert keyfile.load(file) == [new]
    text = file.read_text()
    assert text.startswith("# ours\n# codns cluster key")
    assert text.endswith("# the end\n")
    assert [path.name for path in tmp_path.iterdir()] == ["cluster.key"]


def test_the_file_keeps_its_mode_and_a_link_stays_a_link(codns, tmp_path):
    file, link = tmp_path / "cluster.key", tmp_path / "link"
    codns("keygen", file)
    file.chmod(0o400)
    link.symlink_to(file)
    assert codns("keygen", "--add", link).exit_code == 0
    assert mode(file) == 0o400
    assert link.is_symlink()
    assert len(keyfile.load(file)) == 2


@pytest.mark.parametrize(
    ("step", "keys", "said"),
    [
        ("--first", 1, "has one key only: --add appends a new one first"),
        ("--prune", 1, "has one key only: there is none to delete"),
        ("--add", KEYS_MAX, "has 8 keys, as many as may be: --prune deletes the old"),
    ],
)
def test_a_step_out_of_turn_changes_nothing(codns, tmp_path, step, keys, said):
    file = tmp_path / "cluster.key"
    codns("keygen", file)
    for _ in range(keys - 1):
        codns("keygen", "--add", file)
    before = file.read_bytes()
    result = codns("keygen", step, file)
    assert result.exit_code == 2
    assert result.stderr == f"codns: {file} {said}\n"
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["cluster.key"]


def test_files_that_cannot_be_changed(codns, tmp_path):
    file = tmp_path / "cluster.key"
    result = codns("keygen", "--add", file)
    assert result.exit_code == 2
    assert result.stderr == (f"codns: {file}: no such key file; make one with `codns keygen`\n")
    codns("keygen", file)
    file.chmod(0o644)
    assert "chmod 0640" in codns("keygen", "--add", file).stderr
    result = codns("keygen", tmp_path / "no" / "cluster.key")
    assert result.exit_code == 2
    assert result.stderr.endswith("/no/cluster.key: No such file or directory\n")
    result = codns("keygen", "--add")
    assert result.exit_code == 2
    assert "--add needs the FILE to change" in result.stderr


def test_the_help_explains_the_rotation(codns):
    said = codns("keygen", "--help").stdout
    assert said.index("--add FILE") < said.index("--first FILE") < said.index("--prune FILE")
    assert "SIGHUP" in said
