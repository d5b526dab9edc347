"""Names that never go to peers and are never answered to them.

A site's resolver knows names that no other resolver knows, or knows them differently. Asking a
peer for one tells the peer what exists inside the site and gets an answer that is wrong here.
Private are (RULES 7.5):

  1. names in the configured zones (`private_zones`; its `auto` list is the configuration's)
  2. single labels, and the root: what the search list of a host leaves over
  3. names in learned zones, for 24 h after they were last learned. A zone is learned from a name
     - whose local answer holds an RFC 1918 or ULA address: its domain (`core.domains`)
     - that exists here (NOERROR) where a peer said NXDOMAIN: split horizon. Its domain,
       or the owner of the peer's SOA if that is longer: the part that really differs

Learned zones are kept over restarts with what is left of their 24 h, not with a time of day: no
clock of two runs is compared. At most 256, least recently used out. They are hints of this node;
a wrong one costs help for a zone for a day, and an operator sees it in `explain`.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from struct import Struct
from typing import Final

from codns.core.domains import domain
from codns.wire import const
from codns.wire.name import from_text, is_under, to_text

LEARNED_S: Final = 86_400.0  # RULES 7.5: a day: longer than a network's visitor stays
LEARNED_MAX: Final = 256  # RULES 7.5
SITE: Final = "address of a private network"
SPLIT: Final = "known here, not to a peer"

_FIXED: Final = Struct(">HHIH")  # type, class, TTL, RDLENGTH (RFC 1035 3.2.1)
_TTL_AT: Final = 4  # of the TTL in it
_LONE_A: Final = 16  # octets of an A record whose owner is a pointer
_LONE_DATA: Final = 12  # where its address starts
_FIRST_OCTETS: Final = frozenset((10, 172, 192))


class PrivateNames:
    """Which names are private. Names and zones are lower-case wire forms."""

    __slots__ = ("_learned", "_zones")

    def __init__(self, zones: Iterable[bytes] = ()) -> None:
        self._zones = frozenset(zones)
        self._learned: OrderedDict[bytes, tuple[float, str]] = OrderedDict()  # gone at, why

    def __len__(self) -> int:
        """Return how many zones are learned."""
        return len(self._learned)

    def configure(self, zones: Iterable[bytes]) -> None:
        """Use these zones; what was learned stays."""
        self._zones = frozenset(zones)

    def is_private(self, name: bytes, now: float) -> bool:
        """Must `name` stay inside the site? Looked up label by label, no zone list is walked.

        It costs 1 us: ask when a peer is about to be asked, not for every miss.
        """
        if not name[0] or not name[name[0] + 1]:
            return True
        zones, learned = self._zones, self._learned
        position = 0
        while size := name[position]:
            zone = name[position:]
            if zone in zones:
                return True
            if learned and zone in learned:
                if learned[zone][0] > now:
                    learned.move_to_end(zone)
                    return True
                del learned[zone]
            position += size + 1
        return False

    def explain(self, name: bytes, now: float) -> str | None:
        """Return why `name` is private, None if it is not."""
        if not name[0] or not name[name[0] + 1]:
            return "single label"
        position = 0
        while size := name[position]:
            zone = name[position:]
            if zone in self._zones:
                return f"in private zone {to_text(zone)}"
            until, why = self._learned.get(zone, (now, ""))
            if until > now:
                return f"in zone {to_text(zone)}, learned: {why}; for {until - now:.0f} s more"
            position += size + 1
        return None

    def learn_address(self, name: bytes, now: float) -> bytes:
        """The local answer for `name` holds a private address. Return the zone learned."""
        return self._learn(domain(name), SITE, now)

    def learn_split(self, name: bytes, soa_owner: bytes | None, now: float) -> bytes:
        """`name` is NOERROR here and NXDOMAIN at a peer, with the SOA of `soa_owner`."""
        zone = domain(name)
        # The owner is a peer's word: it narrows the zone or is not used.
        if soa_owner is not None and len(soa_owner) > len(zone) and is_under(name, soa_owner):
            zone = soa_owner
        return self._learn(zone, SPLIT, now)

    def export(self, now: float) -> dict[str, dict[str, object]]:
        """Return the learned zones for the state file, least recently used first."""
        return {
            to_text(zone): {"seconds": int(until - now), "why": why}
            for zone, (until, why) in self._learned.items()
            if until - now >= 1
        }

    def load(self, saved: Mapping[str, object], now: float) -> int:
        """Take back what `export` gave. Return how many; whatever else stands there is skipped."""
        count = 0
        for text, entry in saved.items():
            if not isinstance(entry, Mapping):
                continue
            seconds, why = entry.get("seconds"), entry.get("why")
            if not isinstance(seconds, int) or not isinstance(why, str) or seconds <= 0:
                continue
            try:
                zone = from_text(text).lower()
            except ValueError:
                continue
            if zone != b"\0":
                self._learn(zone, why, now + min(seconds, LEARNED_S) - LEARNED_S)
                count += 1
        return count

    def _learn(self, zone: bytes, why: str, now: float) -> bytes:
        learned = self._learned
        learned[zone] = (now + LEARNED_S, why)
        learned.move_to_end(zone)
        if len(learned) > LEARNED_MAX:
            learned.popitem(last=False)
        return zone


def holds_private_address(body: bytes, offsets: bytes, ancount: int) -> bool:
    """Does an answer record hold an RFC 1918 (A) or ULA (AAAA, RFC 4193) address?

    `body` and `offsets` are those of `wire.batch.Result`: the fixed fields of a record lie around
    its TTL, so no name is read. 127/8 is not among them: block lists answer so (RFC 5782).
    """
    if len(offsets) == 2 and len(body) == _LONE_A and body[_LONE_DATA] not in _FIRST_OCTETS:
        return False  # the usual answer, in one look: an A record, or nothing that holds one
    for index in range(0, min(2 * ancount, len(offsets)), 2):
        start = (offsets[index] | offsets[index + 1] << 8) - _TTL_AT
        rtype, rclass, _, size = _FIXED.unpack_from(body, start)
        data = start + _FIXED.size
        if rclass != const.IN:
            continue
        if rtype == const.A and size == 4:
            first, second = body[data], body[data + 1]
            if (
                first == 10
                or (first == 172 and second & 0xF0 == 16)
                or (first == 192 and second == 168)
            ):
                return True
        elif rtype == const.AAAA and size == 16 and body[data] & 0xFE == 0xFC:
            return True
    return False
