"""Where a host keeps what codns reads, and where the daemon is spoken to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

DEFAULT_PATH: Final = Path("/etc/codns/codns.yaml")
RESOLV_CONF: Final = Path("/etc/resolv.conf")
RESOLVED_STUB: Final = Path("/run/systemd/resolve/stub-resolv.conf")
RESOLVED_UPLINK: Final = Path("/run/systemd/resolve/resolv.conf")
# Kept by `codns resolvconf install`, on the disk the file is on: both outlive a power failure
ORIGINAL: Final = Path("/etc/resolv.conf.codns-original")
CONTROL: Final = "/run/codns/control.sock"


def control_places(control: str, environ: Mapping[str, str]) -> list[Path]:
    """Return where the control socket may be, best first; the daemon and the CLI both ask here.

    A path that somebody chose is the only one. The default folder belongs to root, so a daemon
    that somebody else starts has a second: in the folder that login gave him.
    """
    places = [Path(control)]
    own = environ.get("XDG_RUNTIME_DIR", "")
    if control == CONTROL and own.startswith("/"):
        places.append(Path(own) / "codns" / "control.sock")
    return places
