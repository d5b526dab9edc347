"""Where a host keeps what codns reads."""

from pathlib import Path
from typing import Final

DEFAULT_PATH: Final = Path("/etc/codns/codns.yaml")
RESOLV_CONF: Final = Path("/etc/resolv.conf")
RESOLVED_STUB: Final = Path("/run/systemd/resolve/stub-resolv.conf")
RESOLVED_UPLINK: Final = Path("/run/systemd/resolve/resolv.conf")
ORIGINAL: Final = Path("/run/codns/resolv.conf.orig")  # kept by `codns resolvconf install`
