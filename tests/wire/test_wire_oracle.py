"""Digests of random responses against a plain reading of the rules on dnspython's objects."""

import dns.message
import dns.name
import dns.rdatatype
from hypothesis import given
from hypothesis import strategies as st
from wire_samples import ask, kept, lines, presented, response

from codns.wire.build import answer
from codns.wire.digest import digest
from codns.wire.outcome import Outcome
from codns.wire.query import parse_query

OWNERS = ["www.example.", "a.example.", "b.example.", "x.www.example.", "example.", "other.", "."]
TTL = st.integers(0, 400)
HOSTS = st.sampled_from(OWNERS[:4])


def record(owners, *kinds):
    return st.builds("{0} {1} IN {2}".format, st.sampled_from(owners), TTL, st.one_of(*kinds))


ADDRESS = st.integers(1, 250).map("A 192.0.2.{}".format)
ALIAS = st.builds("CNAME {}".format, HOSTS)
MAIL = st.builds("MX 10 {}".format, HOSTS)
SERVER = st.builds("NS {}".format, HOSTS)
TEXT = st.just('TXT "some" "text"')
START = st.builds("SOA {} {} 1 2 3 4 {}".format, HOSTS, HOSTS, TTL)
ANSWERS = st.lists(record(OWNERS, ADDRESS, ALIAS, MAIL, TEXT), max_size=7)
AUTHORITY = st.lists(record(OWNERS, SERVER, START, TEXT), max_size=4)


def expected(answers, authority, qtype):
    """Return (lines kept of the answer, of the authority, chain) by RULES 3.2 in plain words."""
    chain = ["www.example."]
    aliases = {}
    for line in answers:
        owner, _, _, rtype, rdata = line.split(None, 4)
        if rtype == "CNAME":
            aliases.setdefault(owner, rdata)
    while qtype not in {"CNAME", "ANY"} and aliases.get(chain[-1], chain[-1]) not in chain:
        chain.append(aliases[chain[-1]])
    names = [dns.name.from_text(name) for name in chain]
    kept_answers = [line for line in answers if line.split()[0] in chain]
    kept_authority = [
        line
        for line in authority
        if any(name.is_subdomain(dns.name.from_text(line.split()[0])) for name in names)
    ]
    return kept_answers, kept_authority, chain


def with_soa_lowered(record_lines):
    """The first SOA has a TTL no higher than its MINIMUM."""
    out, done = [], False
    for line in record_lines:
        fields = line.split()
        if fields[3] == "SOA" and not done:
            done = True
            fields[1] = str(min(int(fields[1]), int(fields[-1])))
        out.append(" ".join(fields))
    return out


@given(ANSWERS, AUTHORITY, st.sampled_from(["A", "MX", "CNAME", "ANY"]), st.sampled_from([0, 3]))
def test_random_responses(answers, authority, qtype, rcode):
    answers = list(dict.fromkeys(answers))
    authority = list(dict.fromkeys(authority))
    query = ask(qtype=qtype)
    d = digest(query, response(query, answers, authority, rcode=rcode))
    want, want_ns, chain = expected(answers, authority, qtype)
    found = any(
        line.split()[0] == chain[-1] and (qtype == "ANY" or line.split()[3] == qtype)
        for line in want
    )
    soa = [line.split() for line in want_ns if " SOA " in line]
    referral = any(" NS " in line for line in authority)
    if rcode == 3:
        assert d.outcome is Outcome.NXDOMAIN
    elif found:
        assert d.outcome is Outcome.ANSWER
    elif not want and not soa and referral:
        assert d.outcome is Outcome.LAME
    else:
        assert d.outcome is Outcome.NODATA
    ttls = [int(line.split()[1]) for line in want + want_ns]
    negative = d.outcome in {Outcome.NODATA, Outcome.NXDOMAIN}
    if negative and soa:
        ttls.append(int(soa[0][-1]))
        if min(int(soa[0][1]), int(soa[0][-1])) < int(soa[0][1]):
            want_ns = with_soa_lowered(want_ns)
    keepable = d.outcome is Outcome.ANSWER or (negative and bool(soa))
    assert d.ttl == (min(ttls) if keepable else 0)
    assert d.soa is bool(soa)
    assert kept(d, query) == (want, want_ns)


@given(ANSWERS, AUTHORITY, st.booleans())
def test_what_the_client_gets_is_what_dnspython_reads(answers, authority, edns):
    """From the nameserver's message through digest and answer to a client with its own case."""
    answers = list(dict.fromkeys(answers))
    query = ask()
    d = digest(query, response(query, answers, authority))
    made = dns.message.make_query("wWw.eXample.", "A", use_edns=0 if edns else None, id=77)
    asked = parse_query(made.to_wire())
    wire = answer(
        asked,
        rcode=d.rcode,
        ad=d.ad,
        ancount=d.ancount,
        nscount=d.nscount,
        body=d.body,
        size_max=1232,
    )
    seen = dns.message.from_wire(wire, one_rr_per_rrset=True)
    assert seen.id == 77
    assert made.is_response(seen)
    assert str(seen.question[0].name) == "wWw.eXample."
    plain = presented(query, d.ancount, d.nscount, d.body)
    assert [line.lower() for line in lines(seen.answer + seen.authority)] == [
        line.lower() for line in lines(plain.answer + plain.authority)
    ]
