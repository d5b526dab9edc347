"""Nameservers, networks, troubles and workloads: each does what the scenario says."""

import random
from itertools import pairwise
from statistics import median

import pytest
from msgspec.structs import replace

from codns.config.problems import ConfigError
from codns.core.messages import Query, QueryReply, Status
from codns.sim import load
from codns.sim.book import SERVFAIL, Book
from codns.sim.chance import Chance
from codns.sim.nameserver import Authorities, Nameserver
from codns.sim.network import Network, site_numbers
from codns.sim.scenario import Authorities as AuthoritySettings
from codns.sim.scenario import Failure, Fault, Latency, NameserverModel, Scenario, Workload
from codns.sim.scenario import Network as NetworkSettings
from codns.sim.trouble import Draw, Troubles, planned, recurring
from codns.sim.workload import Names, read_trace

ALWAYS = Latency(0.01, 0.01)


def test_a_latency_is_told_by_median_and_p99():
    draw, rng = Draw(Latency(0.04, 0.8)), random.Random(1)
    values = sorted(draw(rng) for _ in range(20_000))
    assert median(values) == pytest.approx(0.04, rel=0.05)
    assert values[19_800] == pytest.approx(0.8, rel=0.1)
    assert Draw(ALWAYS)(rng) == 0.01
    assert Draw(Latency(0.0, 0.0))(rng) == 0.0


def test_chance_follows_from_its_purpose_alone():
    some, again, other = Chance(b"a"), Chance(b"a"), Chance(b"b")
    values = [some.random() for _ in range(20_000)]
    assert values == [again.random() for _ in range(20_000)]
    assert other.random() not in values
    assert sum(values) / 20_000 == pytest.approx(0.5, abs=0.01)
    normal = [some.gauss(1.0, 2.0) for _ in range(20_000)]
    assert sum(normal) / 20_000 == pytest.approx(1.0, abs=0.05)
    assert sum((value - 1) ** 2 for value in normal) / 20_000 == pytest.approx(4.0, rel=0.05)


class TestTroubles:
    def test_periodic(self):
        source = recurring(Failure("periodic", 60.0, 5.0), random.Random(1))
        windows = [next(source) for _ in range(5)]
        assert [round(w.end - w.start, 9) for w in windows] == [5.0] * 5
        starts = [w.start for w in windows]
        assert [round(b - a, 9) for a, b in pairwise(starts)] == [60.0] * 4

    @pytest.mark.parametrize("kind", ["long", "short"])
    def test_exponential(self, kind):
        source = recurring(Failure(kind, 100.0, 10.0), random.Random(2))
        windows = [next(source) for _ in range(3000)]
        assert all(a.end <= b.start for a, b in pairwise(windows))
        assert sum(w.end - w.start for w in windows) / 3000 == pytest.approx(10.0, rel=0.1)
        assert windows[-1].end / 3000 == pytest.approx(110.0, rel=0.1)

    def test_a_process_that_has_been_running_for_ever_may_begin_in_trouble(self):
        failure = Failure("long", 10.0, 10.0)
        begun = [next(recurring(failure, random.Random(s))).start == 0.0 for s in range(400)]
        assert sum(begun) == pytest.approx(200, abs=40)

    def test_what_is_wrong_now(self):
        troubles = Troubles()
        assert troubles.at(0.0) == []
        first, second = planned(Fault(at=10, lasts=5)), planned(Fault(at=12, lasts=10, loss=0.5))
        troubles.add(iter((first,)))
        troubles.add(iter((second,)))
        found = {t: troubles.at(t) for t in (9.9, 10.0, 12.0, 15.0, 22.0)}
        assert found == {
            9.9: [],
            10.0: [first],
            12.0: [first, second],
            15.0: [second],
            22.0: [],
        }


def nameserver(book=None, authorities=None, **model):
    """A nameserver with exact times: 10 ms from its cache."""
    settings = authorities or AuthoritySettings(latency=Latency(0.1, 0.1))
    made = Authorities(settings, {300: 1.0}, 1)
    chosen = {"hit": ALWAYS, "cache_hits": 0.0, **model}
    return Nameserver(NameserverModel(**chosen), made, "seed"), made


class TestNameserver:
    def test_what_it_resolved_it_knows_until_its_ttl_is_over(self):
        book = Book()
        name = book.name("n1.z1.example")
        server, _ = nameserver()
        first, reply = server(name, 0.0)
        assert 0.09 <= first <= 0.13
        assert reply.ttl == 300
        waiting, _ = server(name, 0.05)  # it waits for the same resolution
        assert waiting + 0.05 == pytest.approx(first)
        known, reply = server(name, 100.0)
        assert (known, reply.ttl) == (0.01, 200)
        assert server(name, 400.0)[0] > 0.09
        assert server.queries == 4

    def test_others_have_asked_but_not_for_unique_names(self):
        book = Book()
        server, _ = nameserver(cache_hits=1.0)
        assert server(book.name("n1.z1.example"), 0.0)[0] == 0.01
        assert server(book.name("u1.z1.example"), 0.0)[0] > 0.09

    def test_probes_are_in_every_cache_and_tell_whether_it_validates(self):
        root = Book().question(b"\0", 6)
        assert not nameserver()[0](root, 0.0)[1].ad
        assert nameserver(validates=True)[0](root, 0.0)[1].ad

    def test_its_queue(self):
        book = Book()
        server, _ = nameserver(cache_hits=1.0, rate=100.0, busy=0.5, queue=3)
        delays = [server(book.name(f"n{n}.z1.example"), 0.0) for n in range(6)]
        assert [round(d[0], 6) if d else None for d in delays] == [
            0.03, 0.05, 0.07, 0.09, None, None,
        ]  # fmt: skip
        assert (server.dropped, server.peak) == (2, 6)
        assert server(book.name("n9.z1.example"), 10.0)[0] == pytest.approx(0.03)

    def test_loss_and_trouble(self):
        book = Book()
        name = book.name("n1.z1.example")
        lossy, _ = nameserver(loss=1.0)
        assert lossy(name, 0.0) is None
        lossy.heal()
        assert lossy(name, 0.0) is not None
        server, _ = nameserver(cache_hits=1.0, rate=100.0)
        server.troubles.add(iter((planned(Fault(at=10, lasts=10)),)))
        server.troubles.add(
            iter((planned(Fault(at=30, lasts=9, loss=0, delay=ALWAYS, slowdown=5)),))
        )
        server.troubles.add(iter((planned(Fault(at=40, lasts=9, loss=0, servfail=1)),)))
        said = [server(name, float(at)) for at in (5, 15, 35, 45, 55)]
        assert [round(s[0], 6) if s else None for s in said] == [0.02, None, 0.07, 0.02, 0.02]
        assert said[3][1] is SERVFAIL
        assert server.lost == 1

    def test_zones_are_slow_or_broken_for_everybody(self):
        settings = AuthoritySettings(
            slow=0.5, broken=0.5, slow_latency=Latency(2.0, 2.0), broken_latency=Latency(1.0, 1.0)
        )
        here, _ = nameserver(authorities=settings)
        there, _ = nameserver(authorities=settings)
        book = Book()
        kinds = set()
        for number in range(40):
            name = book.name(f"n{number}.z{number}.example")
            one, other = here(name, 0.0), there(name, 0.0)
            assert (one[1] is SERVFAIL) == (other[1] is SERVFAIL)
            kinds.add((one[1] is SERVFAIL, one[0] > 1.5))
        assert kinds == {(True, False), (False, True)}

    def test_authorities_fail_for_a_share_of_zones(self):
        book = Book()
        server, authorities = nameserver()
        authorities.fails(planned(Fault(at=0, lasts=100)), 0.5)
        authorities.fails(planned(Fault(at=0, lasts=100, loss=0, servfail=1)), 0.0)
        said = [server(book.name(f"n.z{number}.example"), 1.0) for number in range(200)]
        assert said.count(None) == pytest.approx(100, abs=25)
        late = [server(book.name(f"n.z{number}.example"), 200.0) for number in range(200)]
        assert None not in late

    def test_names_that_do_not_exist(self):
        server, _ = nameserver(authorities=AuthoritySettings(nxdomain=1.0))
        assert server(Book().name("n1.z1.example"), 0.0)[1].rcode == 3

    def test_what_it_knows_is_bounded(self, monkeypatch):
        monkeypatch.setattr("codns.sim.nameserver.KNOWN_MAX", 100)
        server, _ = nameserver(cache_hits=1.0)
        book = Book()
        name = book.name("n1.z1.example")
        server._known = {book.question(b"\1n\0", n): (0.0, 1.0) for n in range(100)}
        server(name, 2.0)
        assert list(server._known) == [name.question]


ANSWER = QueryReply(1, Status.ANSWER)
QUESTION = Query(1, b"\0", 1, 1, False, False)


def network(sites=(0, 0, 1, 2), **settings):
    chosen = {"jitter": 0.0, "loss": 0.0, "reordering": 0.0, **settings}
    return Network(NetworkSettings(**chosen), list(sites), random.Random(1))


class TestNetwork:
    def test_models(self):
        rtts = {}
        for model in ("lan", "region", "continent", "world"):
            apart = network(range(60), model=model)
            rtts[model] = [apart.rtt(a, b) for a in range(60) for b in range(a)]
            assert apart.rtt(0, 0) == 0.0003
        assert max(rtts["lan"]) == 0.0003
        assert 0.005 < median(rtts["region"]) < 0.020 < 0.035
        assert 0.020 < median(rtts["continent"]) < 0.060
        assert 0.060 < max(rtts["continent"]) < 0.090
        assert 0.150 < max(rtts["world"]) < 0.320
        assert min(rtts["world"]) < 0.015

    def test_nodes_of_a_site_are_together(self):
        apart = network()
        assert apart(0, 1, ANSWER, 0.0) == 0.00015
        assert apart(0, 2, ANSWER, 0.0) == apart.rtt(0, 2) / 2 > 0.001

    def test_jitter_loss_and_reordering(self):
        some = network(jitter=0.5, loss=0.1, reordering=0.2)
        base = some.rtt(0, 3) / 2
        delays = [some(0, 3, ANSWER, 0.0) for _ in range(5000)]
        assert delays.count(None) == pytest.approx(500, abs=80) == some.lost
        there = [delay / base for delay in delays if delay]
        assert 1.0 <= min(there) < 1.01
        assert 1.5 < max(there) <= 3.0
        assert sum(delay > 1.5 for delay in there) == pytest.approx(600, abs=200)

    def test_faults(self):
        some = network()
        some.partition(planned(Fault(at=10, lasts=10)), frozenset({0, 1}))
        some.lossy(planned(Fault(at=30, lasts=10)), frozenset({2}))
        some.lossy(planned(Fault(at=50, lasts=10, loss=0, delay=ALWAYS)), frozenset({2}))
        some.flaky(planned(Fault(at=70, lasts=10)), frozenset({2}))

        def passes(source, target, now, message=ANSWER):
            return some(source, target, message, now) is not None

        assert [passes(0, 2, t) for t in (5, 15, 25)] == [True, False, True]
        assert passes(0, 1, 15)
        assert [passes(0, 2, 35), passes(2, 0, 35), passes(0, 3, 35)] == [False, False, True]
        assert some(0, 2, ANSWER, 55) == pytest.approx(some.rtt(0, 2) / 2 + 0.01)
        assert [passes(2, 0, 75), passes(2, 0, 75, QUESTION), passes(0, 2, 75)] == [
            False, True, True,
        ]  # fmt: skip
        some.heal()
        assert passes(0, 2, 15)

    def test_files(self, tmp_path):
        places = tmp_path / "places.txt"
        places.write_text("# site: x y height in ms\n0 0 1\n3, 4, 2\n\n30 40 0\n")
        some = network(coordinates=str(places))
        assert some.rtt(0, 2) == pytest.approx(0.005 + 0.003)
        matrix = tmp_path / "matrix.txt"
        matrix.write_text("\n".join(" ".join(str(10 * a + b) for b in range(4)) for a in range(4)))
        some = network(matrix=str(matrix))
        assert (some.rtt(1, 2), some.rtt(2, 1)) == (0.012, 0.021)

    @pytest.mark.parametrize(
        ("key", "text", "said"),
        [
            ("matrix", "1 2\n3 4\n", "network.matrix: is no matrix of 4 nodes: 2 rows"),
            ("matrix", "1 x\n", "1: network.matrix: is not numbers in ms"),
            ("matrix", "1 -2\n", "has a time under 0 ms or over 1000 s"),
            ("coordinates", "1 2\n", "has not 2 or 3 numbers for each of 3 sites: 1 rows"),
            ("coordinates", "1\n2\n3\n", "has not 2 or 3 numbers for each of 3 sites: 3 rows"),
            ("coordinates", None, "network.coordinates: cannot be read"),
        ],
    )
    def test_files_that_are_wrong(self, tmp_path, key, text, said):
        path = tmp_path / "file.txt"
        if text is not None:
            path.write_text(text)
        with pytest.raises(ConfigError) as error:
            network(**{key: str(path)})
        assert said in str(error.value)

    def test_files_that_are_too_large(self, tmp_path, monkeypatch):
        monkeypatch.setattr("codns.sim.network.FILE_SIZE_MAX", 1 << 20)
        path = tmp_path / "file.txt"
        path.write_bytes(b"0 " * (1 << 20))
        with pytest.raises(ConfigError, match="larger than 1 MiB"):
            network(matrix=str(path))

    def test_sites(self):
        scenario = load.parse("sites: {a: {count: 2, nodes: 2}, b: {count: 1, nodes: 3}}")
        assert site_numbers(scenario) == [0, 0, 1, 1, 2, 2, 2]


class TestWorkload:
    def test_zipf_and_unique(self):
        book = Book()
        names = Names(Workload(names=1000, zipf=1.0, unique=0.2), 4.0, book)
        rng = random.Random(1)
        drawn = [names.draw(rng, number * 0.001) for number in range(20_000)]
        texts = [name.text for name in drawn]
        unique = [text for text in texts if text.startswith("u")]
        assert len(unique) == len(set(unique)) == pytest.approx(4000, abs=200)
        first, tenth = texts.count("n0.z0.example. A"), texts.count("n9.z2.example. A")
        assert first / tenth == pytest.approx(10, rel=0.25)

    def test_unique_names_are_forgotten(self):
        book = Book()
        names = Names(Workload(names=1, unique=1.0), 1.0, book)
        rng = random.Random(1)
        for number in range(1000):
            names.draw(rng, number * 1.0)
        assert len(book) <= 62

    def test_a_trace(self, tmp_path):
        path = tmp_path / "queries.txt"
        path.write_text(
            "# dnsperf, with times\n"
            "www.example.com A\n"
            "0.25 mail.example.com MX\n"
            "\n"
            "0.5 www.example.com aaaa 7\n"
            "3 A\n"
        )
        assert list(read_trace(path)) == [
            (None, "www.example.com", "A", None),
            (0.25, "mail.example.com", "MX", None),
            (0.5, "www.example.com", "AAAA", 7),
            (None, "3", "A", None),
        ]

    @pytest.mark.parametrize("line", ["www", "www A B", "x www A", "-1 www A", "1 www NOTYPE"])
    def test_a_trace_that_is_wrong(self, tmp_path, line):
        path = tmp_path / "queries.txt"
        path.write_text(f"www.example.com A\n{line}\n")
        with pytest.raises(ConfigError, match=r"queries.txt:2: workload.trace: is not \[seconds"):
            list(read_trace(path))

    def test_a_trace_that_cannot_be_read(self, tmp_path, monkeypatch):
        with pytest.raises(ConfigError, match="cannot be read"):
            list(read_trace(tmp_path / "none.txt"))
        monkeypatch.setattr("codns.sim.workload.TRACE_SIZE_MAX", 3)
        (tmp_path / "large.txt").write_text("www A\n")
        with pytest.raises(ConfigError, match="larger than"):
            list(read_trace(tmp_path / "large.txt"))


def test_facts_follow_from_the_seed_and_the_name_alone():
    def facts(seed, names):
        book = Book()
        settings = replace(Scenario().authorities, slow=0.3, broken=0.3, nxdomain=0.3)
        authorities = Authorities(settings, {1: 1.0, 300: 1.0}, seed)
        return {name: authorities.facts(book.name(name)) for name in names}

    names = [f"n{number}.z{number}.example" for number in range(50)]
    assert facts(1, names) == facts(1, reversed(names))
    assert facts(1, names) != facts(2, names)
