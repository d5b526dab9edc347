"""The command group: lazy, one line an error, exit codes."""

import json
import os
import platform
import pty
import re
import subprocess
import sys

import click
import pytest

from codns import __version__
from codns import cli as package
from codns.config.problems import ConfigError, Problem


def test_no_command_is_help(codns):
    for args in ([], ["--help"], ["-h"]):
        result = codns(*args)
        assert result.exit_code == 0
        assert result.stdout.startswith("Usage: codns [OPTIONS] ")
        for name in ("run", "check", "query", "version"):
            assert f"\n  {name} " in result.stdout


@pytest.mark.parametrize("command", ["run", "check", "query", "version"])
def test_each_command_has_help(codns, command):
    result = codns(command, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: codns {command} ")


def test_a_typing_error_names_the_nearest(codns):
    result = codns("chekc")
    assert result.exit_code == 2
    assert result.stderr == "codns: no command 'chekc'; did you mean check? (see codns --help)\n"
    result = codns("xyzzy")
    assert result.stderr.startswith("codns: no command 'xyzzy'; there are run, check, ")
    assert codns("--bogus").stderr.startswith("codns: no option --bogus (see")


def test_version(codns):
    assert codns("--version").stdout == f"codns {__version__}\n"
    lines = dict(line.split(maxsplit=1) for line in codns("version").stdout.splitlines())
    said = json.loads(codns("version", "--json").stdout)
    assert lines == said
    assert said["codns"] == __version__
    assert said["python"].startswith(platform.python_version())
    assert set(said) == {
        "codns",
        "python",
        "system",
        "trio",
        "dnspython",
        "pyyaml",
        "prometheus-client",
        "msgspec",
        "click",
        "rich",
    }
    assert "not installed" not in said.values()


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            ConfigError([Problem("a", "is wrong", 3, "f"), Problem("b", "too")]),
            2,
            "codns: f:3: a: is wrong\ncodns: b: too\n",
        ),
        (click.ClickException("no luck"), 1, "codns: no luck\n"),
        (click.Abort(), 130, ""),
        (
            RuntimeError("one\ntwo"),
            70,
            "codns: a bug: RuntimeError: one two (CODNS_DEBUG=1 shows where)\n",
        ),
    ],
)
def test_errors_are_one_line_each(codns, monkeypatch, error, code, said):
    @click.command("check")
    def check():
        raise error

    monkeypatch.setattr(package.Commands, "get_command", lambda *_: check)
    result = codns("check")
    assert (result.exit_code, result.stderr) == (code, said)


def test_debug_shows_where(codns, monkeypatch):
    @click.command("check")
    def check():
        raise RuntimeError("here")

    monkeypatch.setattr(package.Commands, "get_command", lambda *_: check)
    monkeypatch.setenv("CODNS_DEBUG", "1")
    assert isinstance(codns("check").exception, RuntimeError)


def test_module_and_closed_pipe():
    command = [sys.executable, "-m", "codns", "--version"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, f"codns {__version__}\n")
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "codns", "version"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == 0


def test_columns_on_a_terminal():
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    env.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "codns", "version"]
    subprocess.run(command, stdout=theirs, env=env, check=True)
    text = os.read(ours, 65536).decode()
    os.close(ours)
    os.close(theirs)
    first = text.splitlines()[0]
    assert first.startswith("\x1b[1m")  # bold
    assert re.sub(r"\x1b\[[0-9;]*m", "", first).split() == ["codns", __version__]


def test_commands_import_only_what_they_need():
    code = (
        "import sys, codns.cli; codns.cli.main(['version', '--json'], standalone_mode=False);"
        "print([m for m in ('trio', 'dns', 'rich', 'codns.master') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.endswith("}\n[]\n")
