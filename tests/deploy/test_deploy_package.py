"""What goes into a package: scripts, man pages, completion, the container's recipe."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import msgspec
import pytest

from codns.cli import COMMANDS, main
from codns.config.schema import Config
from deploy import generate

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def option_names(command):
    return [name for p in command.params if isinstance(p, click.Option) for name in p.opts]


def test_the_manual_has_every_command_and_every_option():
    page = generate.manual().replace("\\-", "-")
    seen = 0
    for words, command in generate.commands(main, click.Context(main, info_name="codns")):
        assert f".SS {words} " in page
        for name in option_names(command):
            assert name in page, (words, name)
        seen += 1
    assert seen >= len(COMMANDS)


def test_the_page_of_the_configuration_has_every_key():
    def paths(struct, before=""):
        for field in msgspec.structs.fields(struct):
            yield before + field.encode_name
            if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
                yield from paths(field.type, f"{before}{field.encode_name}.")

    found = {key.path: key for key in list(generate.keys())}
    assert sorted(found) == sorted(paths(Config))
    assert found["cache.stale"].allowed == "0s to 7d"
    assert found["cache.stale"].default == "1d"
    assert found["race.policy"].allowed == "adaptive, codns2004, off, shadow"
    page = generate.configuration()
    for path in found:
        assert f" {path}\n" in page


def test_a_key_without_a_comment_is_an_error(monkeypatch, tmp_path):
    text = generate.CONF.read_text()
    (tmp_path / "codns.yaml").write_text(text.replace("\nslaves: auto", "\n\nslaves: auto"))
    monkeypatch.setattr(generate, "CONF", tmp_path / "codns.yaml")
    with pytest.raises(LookupError, match="slaves has no comment"):
        list(generate.keys())
    (tmp_path / "codns.yaml").write_text(text.replace("\nslaves: auto", "\n"))
    with pytest.raises(LookupError, match="slaves is in the schema and not"):
        list(generate.keys())


def test_what_roff_would_take_for_its_own():
    assert generate.escape(".a 'b' c-d\\") == "\\&.a \\(aqb\\(aq c\\-d\\e"


@pytest.mark.real("mandoc")
@pytest.mark.parametrize("page", ["manual", "configuration"])
def test_the_pages_are_good_roff(page, tmp_path):
    file = tmp_path / "page"
    file.write_text(getattr(generate, page)())
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", file],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert [line for line in done.stdout.splitlines() if "STYLE" not in line] == []


def test_the_same_input_gives_the_same_files(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    trees = [tmp_path / "one", tmp_path / "two"]
    for tree in trees:
        generate.write(tree)
    one, two = (
        {p.relative_to(t): p.read_bytes() for p in t.rglob("*") if p.is_file()} for t in trees
    )
    assert one == two
    assert len(one) == 5
    assert b"2001-09-09" in generate.manual().encode()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("codns res", ["resolvconf"]),
        ("codns resolvconf in", ["install"]),
        ("codns resolvconf install --only", ["--only-localhost"]),
    ],
)
def test_completion(words, offered):
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "_CODNS_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "codns"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert [line.partition(",")[2] for line in done.stdout.splitlines()] == offered


@pytest.mark.real("bash")
def test_completion_of_a_real_bash(tmp_path):
    generate.write(tmp_path)
    codns = tmp_path / "codns"
    codns.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m codns "$@"\n')
    codns.chmod(0o755)
    script = (
        f"PATH={tmp_path}:$PATH; . {tmp_path}/bash-completion/completions/codns; "
        'COMP_WORDS=(codns resolv); COMP_CWORD=1; _codns_completion codns; echo "${COMPREPLY[@]}"'
    )
    bash = [shutil.which("bash"), "--norc", "-c", script]
    done = subprocess.run(bash, capture_output=True, text=True, check=True)
    assert done.stdout == "resolvconf\n"


@pytest.mark.real("shellcheck")
@pytest.mark.parametrize("path", ["build-deb", "debian/postinst", "debian/prerm", "debian/postrm"])
def test_shell_scripts(path):
    done = subprocess.run(
        ["shellcheck", DEPLOY / path], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
    assert done.returncode == 0


def test_what_the_scripts_install_is_there():
    """Every file that the package's script or the container's recipe names is in the tree."""
    build = (DEPLOY / "build-deb").read_text()
    for base, pattern in ((DEPLOY, r'"\$here/([\w./-]+)"'), (ROOT, r'"\$root/([\w./-]+)"')):
        for name in re.findall(pattern, build):
            assert (base / name).exists(), name
    recipe = (DEPLOY / "Containerfile").read_text()
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (?!--from)(.+)$", recipe, re.MULTILINE):
        for name in line.split()[:-1]:
            assert (ROOT / name).exists(), name
            assert f"!{name}" in ignore
    assert "HEALTHCHECK" in recipe
    assert 'CMD ["codns", "healthcheck"]' in recipe


def test_the_script_is_in_the_wheel():
    assert "cli/resolvconf.sh" in (ROOT / "pyproject.toml").read_text()
