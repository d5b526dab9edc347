"""The status page's files, as they are served: path -> (content type, bytes).

They are plain files beside this module, so that they can be read and changed as what they are. All
of them together are small enough to be kept.
"""

from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent / "page"
_KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def _load() -> dict[str, tuple[str, bytes]]:
    pages = {}
    for file in sorted(_FOLDER.iterdir()):
        kind = _KINDS.get(file.suffix)
        if kind is not None:
            path = "/" if file.name == "index.html" else f"/{file.name}"
            pages[path] = (kind, file.read_bytes())
    return pages


PAGES: Final = _load()
