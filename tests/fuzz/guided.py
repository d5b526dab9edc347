"""`python -m tests.fuzz.guided [--seconds 600] [--target NAME]...`: guided by coverage.

`tests.fuzz.run` collects inputs by what a target says of them; this one, with atheris (libFuzzer;
`pip install atheris`), by the branches of codns that they reach, and so finds the ways that end in
the same word. Each target runs in a process of its own for so long, beginning with the corpus; the
count of inputs stands at the end. The first input that a parser does not take as it must ends the
run of its target with exit code 1 and is printed.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

HERE = Path(__file__).resolve().parent
SIZE_MAX = 70_000  # a little more than the largest message
GRACE_S = 60.0  # to import, to instrument, and to end
PACKAGES = ["codns"]


def child(name, seconds, folders):
    """Run one target in this process; libFuzzer ends it."""
    import atheris  # noqa: PLC0415 - only where it is installed

    with atheris.instrument_imports(include=PACKAGES):
        from fuzz_engine import ALL  # noqa: PLC0415 - must be instrumented
    target = ALL[name]()
    atheris.Setup(
        [
            "fuzz",
            f"-max_total_time={seconds:.0f}",
            f"-max_len={SIZE_MAX}",
            "-print_final_stats=1",
            "-timeout=20",
            f"-artifact_prefix={folders[0]}/",
            *folders,
        ],
        target.feed,
    )
    atheris.Fuzz()


def one(name, seconds):
    """Run one target in a process of its own; return inputs and branches, or None after a find."""
    from fuzz_engine import ALL, CORPUS  # noqa: PLC0415 - not in a child

    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(ALL[name]().seeds):
            (Path(folder) / f"seed{number}").write_bytes(seed)
        command = [sys.executable, "-m", "tests.fuzz.guided", "--child", name]
        command += ["--seconds", str(seconds), folder, str(CORPUS / name)]
        process = subprocess.Popen(
            command,
            cwd=HERE.parents[1],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        try:
            told, _ = process.communicate(timeout=2 * seconds + GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            told = process.communicate()[0] + f"\n{name}: did not end, which is a find too\n"
    counted = re.search(r"number_of_executed_units: (\d+)", told)
    if process.returncode or counted is None:
        print(told[-6000:])
        return None
    return int(counted[1]), max(int(found) for found in re.findall(r"cov: (\d+)", told))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--target", action="append", default=[])
    parser.add_argument("--child")
    parser.add_argument("folders", nargs="*")
    said = parser.parse_args()
    if said.child:
        child(said.child, said.seconds, said.folders)
        return 0
    from fuzz_engine import ALL  # noqa: PLC0415 - not in a child

    failed = 0
    for name in said.target or ALL:
        found = one(name, said.seconds)
        if found is None:
            failed = 1
            continue
        inputs, branches = found
        print(
            f"{name:15} {inputs:9,} inputs  {branches:5} branches  {said.seconds:g} s", flush=True
        )
    return failed


if __name__ == "__main__":
    sys.exit(main())
