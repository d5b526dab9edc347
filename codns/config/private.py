"""Zones whose names stay at this site (RULES 7.5): asked of the local nameservers only.

What they hold means something else elsewhere (reverse of private addresses), exists nowhere else
(search domains, lan) or shows the outside what this site looks like.
"""

from collections.abc import Iterable
from typing import Final

from codns.wire import name

# Single labels by convention or registry; ipv4only.arpa differs per site (RFC 7050, 8880)
_NAMES: Final = ("local", "internal", "home.arpa", "lan", "corp", "home", "test", "ipv4only.arpa")

# RFC 6303 4.1 to 4.6 and, in the registry it founded, RFC 7793's 100.64.0.0/10
_REVERSE_4: Final = (
    "10",
    *(f"{n}.172" for n in range(16, 32)),
    "168.192",
    "0",
    "127",
    "254.169",
    "2.0.192",
    "100.51.198",
    "113.0.203",
    "255.255.255.255",
    *(f"{n}.100" for n in range(64, 128)),
)
_REVERSE_6: Final = (
    ".".join("0" * 32),  # ::
    "1." + ".".join("0" * 31),  # ::1
    "d.f",  # fd00::/8, unique local
    *(f"{nibble}.e.f" for nibble in "89ab"),  # fe80::/10, link local
    "8.b.d.0.1.0.0.2",  # 2001:db8::/32, documentation
)

DEFAULT: Final = (
    *_NAMES,
    *(f"{labels}.in-addr.arpa" for labels in _REVERSE_4),
    *(f"{labels}.ip6.arpa" for labels in _REVERSE_6),
)


def wire_names(zones: Iterable[str]) -> tuple[bytes, ...]:
    """Return names as lower-case wire names, sorted, each once."""
    return tuple(sorted({name.from_text(zone.lower()) for zone in zones}))


def automatic(search: Iterable[str]) -> tuple[bytes, ...]:
    """Return the zones of `private_zones: auto`; `search` are resolv.conf's domains."""
    return wire_names((*DEFAULT, *search))
