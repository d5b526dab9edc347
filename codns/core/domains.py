"""Names that have one owner and one set of authorities, as far as a name tells.

Trouble is remembered by domain: one that is slow for everybody, one that is private here, one
whose authority fails while others do not (RULES 5.7, 6.2, 7.5). A name's last two labels are that
domain nearly everywhere, but `co.uk` is not: one slow shop would stop the help for all of a
country, and one private address would make it private. So under a two-letter top-level domain,
where the label before it is one of those that registries use for all their customers, three labels
are taken.

The full list of such suffixes (publicsuffix.org) has 10,000 lines and changes every week. The few
labels here are those that a crawler meets daily; what is missed is lumped together, as before, and
where one is a customer's own name its domain is divided by one label, which costs nothing.
"""

from typing import Final

from codns.wire.name import last_labels

# Commerce, education, government, networks, organisations: English, Spanish, Japanese and Korean
SHARED: Final = frozenset(b"ac co com edu gob gov go mil ne net nom or org".split())
_COUNTRY_SIZE: Final = 4  # of "uk." on the wire


def domain(name: bytes) -> bytes:
    """Return the end of a lower-case wire name that stands for its owner: 2 labels, or 3."""
    two = last_labels(name, 2)
    size = two[0] + 1
    if len(two) - size == _COUNTRY_SIZE and two[1:size] in SHARED:
        return last_labels(name, 3)
    return two
