"""Which records of a response belong to the question.

An answer may hold anything; a cache that believed all of it would be everybody's to write into
(RFC 2181 5.4.1, RFC 5452 6). What counts is what hangs together with the question:

    qname -> CNAME -> target -> CNAME ...      the chain, in whatever order the records came
    an ancestor's DNAME                        which made one of those CNAMEs (RFC 6672 3.3)
    authority of a name of the chain or above  who said so: NS, SOA
    NSEC, NSEC3, RRSIG                         whose owners are elsewhere by nature

Everything else is dropped.
"""

from collections.abc import Sequence
from typing import Final

from codns.wire.const import ANY, CNAME, DNAME, NAME_SIZE_MAX, NSEC, NSEC3, RRSIG
from codns.wire.errors import WireError
from codns.wire.name import Names, ancestors
from codns.wire.sections import Question, Record

# Resolvers give up sooner; without a limit a set of DNAMEs could go on for ever.
CHAIN_MAX: Final = 32

_RDATA: Final = 10  # from a record's type to its RDATA
PROOFS: Final = frozenset((NSEC, NSEC3, RRSIG))
_REDIRECTING: Final = frozenset((DNAME, RRSIG))
_COVERS_DNAME: Final = DNAME.to_bytes(2, "big")
_NOT_FOLLOWED: Final = frozenset((CNAME, ANY))  # an alias is itself the answer


class Chain:
    """The names from the question to the last target, in lower case.

    `loops` tells that the last one leads back into the chain. The first is given with all that
    is above it.
    """

    __slots__ = ("_above", "_counted", "loops", "names")

    def __init__(self, qname: bytes, above: set[bytes]) -> None:
        self.names = [qname]
        self.loops = False
        self._above = above
        self._counted = 1

    @property
    def last(self) -> bytes:
        """The name that the answer is about in the end."""
        return self.names[-1]

    def above(self) -> set[bytes]:
        """Return every name of the chain and every ancestor of one."""
        while self._counted < len(self.names):
            self._above.update(ancestors(self.names[self._counted]))
            self._counted += 1
        return self._above


def follow(names: Names, chain: Chain, question: Question, answers: Sequence[Record]) -> None:
    """Lengthen `chain`, which holds the qname, by the aliases among `answers`."""
    qclass, any_class = question.qclass, question.qclass == ANY
    if not answers or question.qtype in _NOT_FOLLOWED:
        return
    aliases: dict[bytes, Record] = {}
    redirects: dict[bytes, Record] = {}
    for r in answers:
        if r.rclass != qclass and not any_class:
            continue
        if r.rtype == CNAME:
            aliases.setdefault(r.owner, r)
        elif r.rtype == DNAME:
            redirects.setdefault(r.owner, r)
    if not aliases and not redirects:
        return
    visited = chain.names
    for _ in range(CHAIN_MAX):
        current = visited[-1]
        alias = aliases.get(current)
        if alias is not None:
            target = _target(names, alias)
        elif redirects:
            target = _redirected(names, current, redirects)
        else:
            target = b""
        if not target:
            return
        if target in visited:
            chain.loops = True
            return
        visited.append(target)
    raise WireError("chain of aliases too long")


def _target(names: Names, r: Record) -> bytes:
    """Return the name that is all of the RDATA of `r`, in lower case."""
    name, end = names.at(r.fixed + _RDATA)
    if end != r.end:
        raise WireError("alias with other than one name")
    return name.lower()


def _redirected(names: Names, name: bytes, redirects: dict[bytes, Record]) -> bytes:
    """Return where a DNAME above `name` leads, empty without one or if too long (RFC 6672 2.2)."""
    for parent in ancestors(name):
        r = redirects.get(parent)
        if r is not None and parent != name:
            target = name[: len(name) - len(parent)] + _target(names, r)
            return target if len(target) <= NAME_SIZE_MAX else b""
    return b""


def kept_answers(
    names: Names, chain: Chain, qclass: int, answers: Sequence[Record]
) -> list[Record]:
    """Return the records of the answer section that are on the chain."""
    on_chain, any_class = frozenset(chain.names), qclass == ANY
    return [
        r
        for r in answers
        if (r.rclass == qclass or any_class)
        and (r.owner in on_chain or (r.rtype in _REDIRECTING and _is_redirect(names, chain, r)))
    ]


def _is_redirect(names: Names, chain: Chain, r: Record) -> bool:
    """Tell whether `r`, a DNAME or a signature, is (of) one above the chain."""
    if r.rtype == RRSIG:
        covered = names.wire[r.fixed + _RDATA : r.fixed + _RDATA + 2]
        return covered == _COVERS_DNAME and r.owner in chain.above()
    return r.owner in chain.above()


def kept_authority(chain: Chain, qclass: int, authority: Sequence[Record]) -> list[Record]:
    """Return the records of the authority section that say something of the chain."""
    above, any_class = chain.above(), qclass == ANY
    return [
        r
        for r in authority
        if (r.rclass == qclass or any_class) and (r.owner in above or r.rtype in PROOFS)
    ]
