"""The soak: its judgement on series made for it, its parts by exact values, the whole for 12 s."""

import io
import json
import math
import os
import random
import signal
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import dns.message
import pytest
import trio

from bench.masking import emulator
from bench.masking.load import traits, wire_name
from bench.servers import ROOT
from bench.soak import __main__ as soak
from bench.soak import client, http, judge, nameservers, plan, plot, report, sampler
from bench.soak.fleet import catches, replace
from bench.soak.judge import COUNT, MEMORY, TIME, Key, Limit
from bench.soak.plan import Arrival

HOUR = 3600.0
RSS = 50_000.0  # KiB

# growth


def series(value, *, seconds=HOUR, every=5.0, noise=0.0, seed=1):
    """Samples of `value(t)` with noise, as the sampler makes them."""
    chance = random.Random(f"noise {seed}")
    count = int(seconds / every)
    return [
        ((i + 1) * every, value((i + 1) * every) + chance.gauss(0, noise)) for i in range(count)
    ]


def warming(t):
    """A process's first minutes: most at once, the rest slower and slower."""
    return 15_000 * (1 - math.exp(-t / 150))


def flat(_):
    return RSS


def leaking(bytes_a_query):
    """Of 36 queries a second."""
    return lambda t: RSS + bytes_a_query * 36 * t / 1024


def sawtooth(t):
    """A cache that fills in two minutes and is flushed every five."""
    return 1_500 * min(1.0, t % 300 / 120)


def step(t, at=2_000):
    return RSS + 1_024 * (t > at)


def stairs(t):
    """A leak as an allocator may show it: nothing, and then much at once."""
    return RSS + 1_024 * (t // 400)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    ("value", "noise", "limit", "growing"),
    [
        (flat, 0, MEMORY, False),
        (flat, 300, MEMORY, False),
        (flat, 3_000, MEMORY, False),
        (lambda t: RSS + warming(t), 300, MEMORY, False),
        (leaking(64), 300, MEMORY, True),
        (leaking(64), 1_000, MEMORY, True),
        (leaking(8), 300, MEMORY, True),
        (lambda t: leaking(64)(t) + warming(t), 300, MEMORY, True),
        (leaking(1), 0, MEMORY, False),  # real, and too little: 0.1 MiB an hour
        (leaking(-64), 300, MEMORY, False),
        (sawtooth, 30, COUNT, False),
        (lambda t: sawtooth(t) + t / 20, 30, COUNT, True),
        (step, 100, MEMORY, False),
        (stairs, 100, MEMORY, True),
        (lambda t: 40 + t // 400, 0.5, COUNT, True),  # a descriptor for each 400 s
        (lambda t: 40 + (t % 300 < 100), 0, COUNT, False),
        (lambda _: 12, 4, TIME, False),
        (lambda t: 12 + t / 200, 4, TIME, True),
    ],
)
def test_what_grows(value, noise, limit, growing, seed):
    points = series(value, noise=noise, seed=seed)
    assert judge.judge(points, limit, HOUR).growing is growing


@pytest.mark.parametrize("seed", range(5))
def test_one_step_up_is_no_growth_wherever_it_is(seed):
    for at in range(900, 3600, 60):
        points = series(lambda t, at=at: step(t, at), noise=50, seed=seed)
        assert not judge.judge(points, MEMORY, HOUR).growing, at


@pytest.mark.parametrize("noise", [50, 300])
def test_the_least_leak_that_is_found_is_far_below_one_small_object_a_query(noise):
    least = judge.sensitivity(series(flat, noise=noise), MEMORY, HOUR)
    assert MEMORY.share * RSS < least
    assert least * 1024 / (36 * HOUR) < 16, "16 bytes is what the smallest object takes"


def test_a_false_alarm_is_as_rare_as_said():
    """No limit but chance: of 2,000 flat series one would be found by the test's own measure."""
    anything = Limit(0.0, -math.inf)
    found = sum(
        judge.judge(series(flat, every=50, noise=100, seed=seed), anything, HOUR).growing
        for seed in range(2_000)
    )
    assert found <= 5


def test_the_exact_test_knows_all_permutations():
    assert judge.inversions(4) == (1, 3, 5, 6, 5, 3, 1)
    assert judge.tail(4, 6) == 1 / 24
    assert judge.tail(4, 4) == 4 / 24
    assert judge.tail(4, -6) == 1.0
    assert judge.tail(4, 7) == 0.0
    assert sum(judge.inversions(9)) == math.factorial(9)
    assert judge.kendall([1, 2, 2, 0]) == 2 - 3


def test_slope_and_level_are_those_of_the_cycles_after_the_warm_up():
    verdict = judge.judge(series(leaking(64)), MEMORY, HOUR)
    assert verdict.slope == pytest.approx(64 * 36 * 3600 / 1024)
    assert verdict.level == pytest.approx(leaking(64)(905 + 4.5 * 300), rel=0.001)
    assert (verdict.cycles, verdict.chance) == (9, 1 / math.factorial(9))


@pytest.mark.parametrize(
    ("seconds", "cycles", "judged"),
    [(3600, 9, True), (3000, 7, True), (2600, 5, False), (600, 0, False)],
)
def test_who_lived_too_short_a_time_is_not_judged(seconds, cycles, judged):
    verdict = judge.judge(series(leaking(640), seconds=seconds), MEMORY, HOUR)
    assert (verdict.cycles, verdict.judged, verdict.growing) == (cycles, judged, judged)


def test_nothing_at_all_is_not_judged():
    assert not judge.judge([], MEMORY, HOUR).judged


# the plan


def test_the_plan_is_the_same_every_time_and_has_everything_in_it():
    found = list(plan.arrivals(36, 600, 1, seed=1))
    assert found == list(plan.arrivals(36, 600, 1, seed=1))
    assert found != list(plan.arrivals(36, 600, 1, seed=2))
    assert len(found) == pytest.approx(36 * 600, rel=0.03)
    assert {arrival.kind for arrival in found} == set(plan.KINDS)
    unique = [arrival.name for arrival in found if arrival.kind == "unique"]
    assert len(unique) == len(set(unique)) == pytest.approx(0.22 * len(found), rel=0.05)
    domains = {tuple(arrival.name.split(".")[-3:]) for arrival in found}
    assert len(domains) < 100, "tables of domains are full early"


def test_shares_add_up():
    assert sum(plan.KINDS.values()) == pytest.approx(1.0)


def test_every_cycle_has_the_same_faults_but_the_node_that_is_killed():
    found = plan.faults(HOUR)
    assert [f.start for f in found] == sorted(f.start for f in found)
    cycles = [[] for _ in range(plan.CYCLES)]
    for fault in found:
        cycle, at = divmod(fault.start, 300)
        cycles[int(cycle)].append((fault.kind, fault.nodes, round(at, 6)))
        assert fault.end - fault.start >= 3.0 - 1e-6
    down = [i for i, cycle in enumerate(cycles) if cycle[-1][0] == "node down"]
    assert down == [1, 5, 9]
    assert all(cycle[:8] == cycles[0][:8] for cycle in cycles)
    assert len(plan.chores(HOUR)) == 7 * plan.CYCLES


# nameservers and clients


def told(name, qtype="A", *, tcp=True, servfail=False):
    query = emulator.Query.parse(dns.message.make_query(name, qtype, use_edns=True).to_wire())
    return dns.message.from_wire(nameservers.answer(query, tcp=tcp, servfail=servfail))


@pytest.mark.parametrize(
    ("name", "qtype", "rcode", "records"),
    [
        ("www1.site1.example.", "A", 0, 1),
        ("www1.site1.example.", "AAAA", 0, 0),
        ("www1.site1.example.", "TXT", 0, 1),
        ("www1.site1.example.", "ANY", 0, 1),
        ("w0-17.site1.example.", "A", 0, 1),
        ("no3.site1.example.", "A", 3, 0),
        ("alias3.site1.example.", "A", 0, 2),
        ("big3.site1.example.", "A", 0, 250),
        ("huge3.site1.example.", "A", 0, 1875),
        ("inside3.private1.example.", "A", 0, 1),
        ("broken3.site1.example.", "A", 2, 0),
        ("example.", "SOA", 0, 1),
        (".", "NS", 0, 1),
        ("some.where.", "A", 3, 0),
    ],
)
def test_what_the_nameservers_say(name, qtype, rcode, records):
    message = told(name, qtype)
    assert (message.rcode(), sum(map(len, message.answer))) == (rcode, records)
    assert bool(message.authority) == (records == 0 and rcode != 2)
    assert told(name, qtype, servfail=True).rcode() == 2
    cut = told(name, qtype, tcp=False)
    assert bool(cut.flags & dns.flags.TC) == (records > 100)
    assert len(cut.to_wire()) <= 1232


def test_names_have_short_and_long_ttls():
    found = {told(f"www{i}.site{i % 60}.example.").answer[0].ttl for i in range(100)}
    assert found == set(nameservers.TTLS)


def test_faults_of_a_nameserver_by_time():
    script = nameservers.Script(0, HOUR)
    assert [script.at(t) for t in (-1, 17, 18, 35, 36, 61, 212, 300 + 18)] == [
        None, None, "silent", "silent", None, "servfail", "all silent", "silent",
    ]  # fmt: skip
    assert nameservers.Script(3, HOUR).at(18) is None


@pytest.mark.parametrize("kind", plan.KINDS)
def test_questions_are_what_their_kind_says(kind):
    names = {"local": "localhost.", "inside": "inside1.private1.example."}
    for draw in (0.0, 0.1234, 0.77, 0.999):
        arrival = Arrival(0.0, 0, kind, names.get(kind, "www1.site1.example."), draw)
        message = dns.message.from_wire(client.query_of(arrival))
        assert message.question[0].name.to_text().lower() == arrival.name
        assert not message.answer
        assert (message.edns >= 0) == (kind in ("cookie", "ecs") or message.edns >= 0)
        if kind != "flags":
            assert message.flags == dns.flags.RD
    if kind == "malformed":
        bits = range(60)
        shapes = {client.malformed(Arrival(0, 0, kind, "a.example.", b / 2**52)) for b in bits}
        assert len(shapes) > 20


def reply(name, rcode=0, *, address=None):
    query = dns.message.make_query(name, "A")
    message = dns.message.make_response(query)
    message.set_rcode(rcode)
    if rcode == 0:
        packed = address or traits(wire_name(name)).address
        text = ".".join(map(str, packed))
        message.answer.append(dns.rrset.from_text(name, 60, "IN", "A", text))
    return message.to_wire()


@pytest.mark.parametrize(
    ("kind", "rcode", "outcome"),
    [
        ("popular", 0, "ok"), ("popular", 2, "failed"), ("popular", 3, "wrong"),
        ("popular", 5, "wrong"), ("no", 3, "ok"), ("no", 0, "wrong"), ("no", 2, "failed"),
        ("broken", 2, "ok"), ("broken", 0, "failed"), ("flags", 5, "ok"), ("any", 0, "ok"),
        ("any", 4, "wrong"),
    ],
)  # fmt: skip
def test_answers_are_checked(kind, rcode, outcome):
    arrival = Arrival(0.0, 0, kind, "www1.site1.example.", 0.5)
    assert client.verdict(arrival, reply(arrival.name, rcode)) == outcome


def test_another_names_address_is_wrong():
    arrival = Arrival(0.0, 0, "popular", "www1.site1.example.", 0.5)
    wire = reply(arrival.name, address=b"\xc6\x12\x63\x63")
    assert client.verdict(arrival, wire) == "wrong"


def test_an_answer_that_comes_twice_for_another_breaks_the_run():
    async def twice(stream):
        query = await client.message(stream)
        for _ in range(client.PIPELINED):
            await stream.send_all(len(query).to_bytes(2, "big") + query)

    async def main():
        async with trio.open_nursery() as nursery:
            (listener,) = await nursery.start(partial(trio.serve_tcp, twice, 0, host="127.0.0.1"))
            clients = client.Clients([listener.socket.getsockname()])
            with trio.fail_after(10):
                await clients.one(Arrival(0.0, 0, "pipeline", "www1.site1.example.", 0.5))
            nursery.cancel_scope.cancel()
        return clients

    clients = trio.run(main)
    assert clients.counts[0].wrong == 1
    assert len(clients.wrong) == 1


@pytest.mark.parametrize(
    ("said", "troubles"),
    [
        ("info listening", []),
        ("Traceback (most recent call last):", ["node 1 logged a traceback"]),
        ("error internal error, please report it in=x", ["node 1 logged an internal error"]),
    ],
)
def test_what_a_log_must_not_say(said, troubles):
    node = SimpleNamespace(index=0, address=("127.0.0.1", 53), said=lambda: said)
    args = SimpleNamespace(seconds=12.0)
    run = soak.Soak(args, SimpleNamespace(nodes=[node]), io.StringIO())
    assert run.troubles() == troubles


# samples


def test_a_process_by_its_proc_files():
    found = sampler.process(os.getpid())
    assert found["rss"] >= found["pss"] > 5_000
    assert found["rss"] >= found["anon"] > 1_000
    ends = os.pipe()
    assert sampler.process(os.getpid())["fds"] == found["fds"] + 2
    for end in ends:
        os.close(end)
    assert found["threads"] >= 1
    assert sampler.process(2**22 + 1) is None


def test_metrics_are_added_up_over_labels():
    text = (
        "# HELP codns_cache_entries x\ncodns_cache_entries 12\ncodns_cache_entries_max 99\n"
        'codns_dns_questions_total{type="A"} 5\ncodns_dns_questions_total{type="NS"} 2\n'
        'codns_event_loop_lag_seconds_bucket{le="1"} 9\ncodns_event_loop_lag_seconds_sum 0.5\n'
    )
    assert sampler.metrics(text) == {
        "codns_cache_entries": 12,
        "codns_dns_questions_total": 7,
        "codns_event_loop_lag_seconds_sum": 0.5,
    }


def rows(*, late=1.0):
    """Two samples of a master and its clients."""
    found = [{"settings": {"seconds": 3600.0, "rate": 36.0, "seed": 1}}]
    for at, lag, asked in ((5.0, 1.0, 100), (10.0, 1.5, 200)):
        told = {
            "codns_event_loop_lag_seconds_sum": lag,
            "codns_event_loop_lag_seconds_count": at * 10,
            "codns_dns_questions_total": asked,
            "codns_cache_entries": 7,
        }
        found.append(
            {"at": at, "node": 0, "role": "master", "pid": 5, "rss": 10, "pss": 9, "anon": 8,
             "fds": 3, "threads": 1, "cpu_s": at / 10, "metrics": told}
        )  # fmt: skip
        found.append(
            {"at": at, "node": 0, "role": "clients", "pid": 0, "asked": 180, "failed": 1,
             "wrong": 0, "p50": 4.0, "p99": 9.0, "late": late}
        )  # fmt: skip
    return found


def test_series_out_of_samples():
    found = sampler.series(rows())
    assert found[Key(0, "master", 5, "rss")] == [(5.0, 10), (10.0, 10)]
    assert found[Key(0, "master", 5, "codns_cache_entries")] == [(5.0, 7), (10.0, 7)]
    assert found[Key(0, "master", 5, "lag_ms")] == [(10.0, 10.0)]  # 0.5 s in 50 looks
    assert found[Key(0, "master", 5, "cpu_ms_per_query")] == [(10.0, 5.0)]  # 0.5 s for 100
    assert found[Key(0, "clients", 0, "p99_ms")] == [(5.0, 9.0), (10.0, 9.0)]


def test_times_beside_a_busy_machine_are_not_used_but_sizes_are():
    found = sampler.series(rows(late=25.0))
    assert {key.name for key in found} == {
        "rss", "pss", "anon", "fds", "threads", "codns_cache_entries"
    }  # fmt: skip
    assert sampler.series(rows(late=25.0), quiet_only=False) == sampler.series(rows())


def test_half_a_line_at_the_end_is_no_loss(tmp_path):
    file = tmp_path / "soak.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows()) + '{"at": 15.0, "no')
    assert sampler.read(file) == rows()


# the report


def long_run(value, *, troubles=()):
    """Lines of an hour: one master whose RSS is `value(t)`."""
    found = [{"settings": {"seconds": HOUR, "rate": 36.0, "seed": 1}}]
    found += [
        {"at": at, "node": 0, "role": "master", "pid": 5, "rss": rss, "pss": rss, "anon": rss,
         "fds": 40, "threads": 1, "cpu_s": 0.0, "metrics": {}}
        for at, rss in series(value, noise=100)
    ]  # fmt: skip
    found += [{"at": 18.0, "end": 36.0, "fault": "silent", "nodes": [0]}]
    found += [
        {"at": at, "node": 0, "role": "clients", "pid": 0, "asked": 180, "failed": 2, "wrong": 0,
         "p50": 4.0, "p99": 9.0, "late": 1.0}
        for at in (10.0, 20.0, 41.0, 60.0)
    ]  # fmt: skip
    return [*found, {"troubles": list(troubles)}]


@pytest.mark.parametrize(
    ("value", "troubles", "code", "said"),
    [
        (flat, (), 0, "verdict: nothing grows"),
        (leaking(64), (), 1, "GROWS: node 1 master 5 rss: +8"),
        (flat, ("node 2 logged a traceback",), 1, "TROUBLE: node 2 logged a traceback"),
    ],
)
def test_an_earlier_run_is_judged_and_drawn(tmp_path, capsys, value, troubles, code, said):
    file, image = tmp_path / "soak.jsonl", tmp_path / "soak.png"
    lines = long_run(value, troubles=troubles)
    file.write_text("".join(json.dumps(row) + "\n" for row in lines))
    assert soak.main(["--read", str(file), "--plot", str(image)]) == code
    printed = capsys.readouterr().out
    assert said in printed
    assert "clients: 720 questions, 8 failed, 4 of them with no fault" in printed
    assert image.read_bytes().startswith(b"\x89PNG")
    assert soak.main(["--read", str(file), "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert found["broken"] == bool(code)
    growing = {each["name"] for each in found["series"] if each["growing"]}
    assert growing == ({"rss", "anon"} if value is not flat else set())
    assert value is not flat or 0 < found["seen"]["rss"] * 1024 / (36 * 3600) < 16


def test_a_run_without_an_end_is_broken():
    found = report.Report(long_run(flat)[:-1])
    assert found.broken
    assert found.troubles == ["the run was broken off"]


def test_bands_for_every_fault_and_a_limit_for_every_unit():
    assert {fault.kind for fault in plan.faults(HOUR)} == set(plot.BANDS)
    assert set(judge.LIMITS) - set(sampler.TABLES) == {
        "rss", "anon", "fds", "threads", "lag_ms", "p50_ms", "p99_ms", "cpu_ms_per_query"
    }  # fmt: skip


# shells


def test_chunks_are_put_together():
    assert http.unchunked(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n") == b"hello world"


def test_nobody_there_is_no_error(tmp_path):
    assert trio.run(http.ask, tmp_path / "none.sock", "/v1/summary") is None
    assert trio.run(http.ask, ("127.0.0.1", 1), "/metrics") is None


def test_a_key_file_is_replaced_whole(tmp_path):
    file = tmp_path / "key"
    file.write_text("old\n")
    replace(file, "new\n")
    assert file.read_text() == "new\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_who_would_die_of_a_signal_is_known():
    code = "import signal, sys; signal.signal(1, print); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        assert catches(child.pid, 1)
        assert not catches(child.pid, 10)
        child.stdin.close()
    assert not catches(2**22 + 1, 1)


# the whole


def test_twelve_seconds_of_it(tmp_path, capsys):
    """Real daemons under every fault and chore there is: nothing dies, nothing is wrong."""
    out, image = tmp_path / "soak.jsonl", tmp_path / "soak.png"
    options = ["--seconds", "12", "--rate", "15", "--out", str(out), "--plot", str(image)]
    assert soak.main([*options, "--logs", str(tmp_path / "logs"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["troubles"] == []
    assert found["verdict"] == "no trouble; growth is judged in a run of an hour"
    assert found["clients"]["asked"] > 4 * 15 * 12 / 2
    lines = sampler.read(out)
    roles = {(row["node"], row["role"]) for row in lines if "role" in row}
    assert roles == {(n, role) for n in range(4) for role in ("master", "slave", "clients")}
    masters = [row["metrics"] for row in lines if row.get("role") == "master" and row["metrics"]]
    assert masters
    assert all(set(told) >= set(sampler.TABLES) for told in masters)
    assert {row["fault"] for row in lines if "fault" in row} == set(plot.BANDS)
    assert {row["chore"] for row in lines if "chore" in row} == {c.kind for c in plan.chores(1)}
    assert image.read_bytes().startswith(b"\x89PNG")
    assert len(list((tmp_path / "logs").iterdir())) == 4


def test_an_interrupted_run_tells_what_it_has(tmp_path):
    out = tmp_path / "soak.jsonl"
    command = [sys.executable, "-m", "bench.soak", "--seconds", "600", "--out", str(out)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as run:
        try:
            first = run.stderr.readline()  # of progress: it is under load
            run.send_signal(signal.SIGINT)
            printed, said = run.communicate(timeout=60)
        finally:
            run.kill()
    assert "0.0 of 10 min" in first or "0.1 of 10 min" in first
    assert "interrupted: what there is" in said
    assert "Traceback" not in said
    assert run.returncode == 0, printed + said
    assert "verdict: no trouble" in printed
    assert sampler.read(out)[-1] == {"troubles": []}


def test_saw_teeth_hide_no_growth_of_their_floor():
    """Garbage is looked for every ten minutes; what is left then is what counts."""
    key = judge.Key(0, "master", 1, "codns_memory_blocks")

    def sawn(an_hour):
        return [(at, 190_000 + 2 * (at % 600) + an_hour * at / HOUR) for at in range(0, 3600, 5)]

    for an_hour, growing in ((0, False), (1_000, False), (4_000, True)):
        series = judge.floored({key: sawn(an_hour)})
        assert judge.verdicts(series, HOUR)[key].growing is growing
