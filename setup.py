"""The optional compiled build: CODNS_COMPILE=1 pip install .

Codec, core and slaves are plain Python that mypyc turns into C extensions: three times as fast in
the core. Without the variable (and always in an editable install) codns is pure Python.
It needs a C compiler and Python's headers; if they are missing the build fails and says so.
"""

import os
import sys
from pathlib import Path

from setuptools import setup

FOLDERS = ("wire", "core", "slave")
# msgspec builds its structs from annotations at run time; Generic dataclasses do not compile
PLAIN = ("__init__.py", "__main__.py", "messages.py", "serving.py")

extensions = []
required = []
if os.environ.get("CODNS_COMPILE") == "1":
    required = ["mypy>=2.4,<2.5", "types-setuptools"]  # the compiler: one version, one result
    if "bdist_wheel" in sys.argv:
        from mypyc.build import mypycify

        files = [
            str(path)
            for folder in FOLDERS
            for path in sorted(Path("codns", folder).glob("*.py"))
            if path.name not in PLAIN
        ]
        flags = ["--config-file=", "--ignore-missing-imports"]
        extensions = mypycify([*flags, *files], opt_level="3", debug_level="0")

setup(ext_modules=extensions, setup_requires=required)
