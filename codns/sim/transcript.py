"""What happened, in the order it did: for assertions, and for the story of a violated promise.

Entries are kept raw and become text when somebody reads them; a bounded transcript keeps the
last ones only, which is what a long run has.

    at        node  event    whom                  about
    0.000000  0     query    c                     www.example.com. A
    0.000000  0     local    198.18.0.1#53         www.example.com. A
    0.200000  0     remote   10.0.0.2:7353         www.example.com. A
    0.202000  1     reply    10.0.0.1:7353         www.example.com. A ANSWER
    0.203000  0     answer   c                     www.example.com. A NOERROR
"""

from collections import deque
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from codns.sim.book import Name

Event = Literal["query", "answer", "local", "remote", "reply", "note", "lost", "fault"]

RCODES: Final = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")
KEPT_MAX: Final = 20_000  # entries of a long run: ten seconds of a busy fleet, 2 MB


class Line(NamedTuple):
    """One thing that happened at a node. `said` is what more there is to say of it."""

    at: float
    node: int
    event: Event
    whom: object
    name: Name | None
    said: str

    @property
    def about(self) -> str:
        """Return the question and what was said."""
        text = self.name.text if self.name is not None else ""
        return f"{text} {self.said}".strip()

    def __str__(self) -> str:
        about = self.about
        return (
            f"{self.at:.6f}  {self.node:<4}  {self.event:<7}  {self.whom!s:<20}  {about}".rstrip()
        )


class Transcript:
    """The lines so far; `kept` bounds their number, None does not."""

    __slots__ = ("_lines", "add")

    def __init__(self, kept: int | None = KEPT_MAX) -> None:
        self._lines: deque[tuple[float, int, Event, object, Name | None, str]] = deque(maxlen=kept)
        self.add = self._lines.append  # a plain tuple with the fields of `Line`

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[Line]:
        return map(Line._make, self._lines)

    def lines(
        self, node: int | None = None, event: Event | None = None, name: Name | None = None
    ) -> list[Line]:
        """Return those of a node, of a kind, about a name."""
        return [
            line
            for line in self
            if (node is None or line.node == node)
            and (event is None or line.event == event)
            and (name is None or line.name is name)
        ]

    def text(self, **which: object) -> str:
        """Return them as people read them; `which` as for `lines`."""
        return "\n".join(map(str, self.lines(**which)))  # type: ignore[arg-type]


def rcode_text(rcode: int) -> str:
    """Return "SERVFAIL" for 2."""
    return RCODES[rcode] if rcode < len(RCODES) else f"RCODE{rcode}"
