"""Metrics of nodes in virtual time: every value, every label from the start, a bounded number."""

import math
import os
import subprocess

import pytest
from metrics_world import Cluster, crowded, metrics_of, samples, shell, text_of
from node_world import World, answers, failing, negative, silent, until
from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from codns.core.stats import Histogram
from codns.obs import metrics_local, metrics_peers, metrics_text
from codns.obs.metrics import SAMPLES_MAX, Metrics
from codns.obs.metrics_process import Spent, blocks, descriptors

SICK_AT = 10.0


@pytest.fixture(scope="module")
def fleet():
    """Three nodes; the nameserver of the first dies after 10 s. Its metrics before and after."""
    cluster = Cluster([until(SICK_AT, answers(0.02), silent), answers(0.03), answers(0.03)])
    cluster.run(4.0)
    metrics = metrics_of(cluster)
    before = samples(metrics)
    for number in range(20):
        cluster.ask(0, f"n{number}.d{number}.example", at=4.0 + number / 20)
        cluster.ask(0, f"n{number}.d{number}.example", at=7.0 + number / 20, client="other")
    for number in range(40):
        cluster.ask(0, f"secret{number}.d{number}.example", at=SICK_AT + 0.5 + number / 20)
    cluster.run(60.0)
    return cluster, metrics, before, samples(metrics)


def total(values, name):
    """All samples of a name, added up."""
    return sum(v for k, v in values.items() if k == name or k.startswith(name + "{"))


def test_what_clients_got(fleet):
    _, _, before, after = fleet
    assert total(before, "codns_dns_responses_total") == 0
    assert after['codns_dns_responses_total{rcode="NOERROR",source="local"}'] == 20
    assert after['codns_dns_responses_total{rcode="NOERROR",source="cache"}'] == 20
    assert after['codns_dns_responses_total{rcode="NOERROR",source="peer"}'] == 40
    assert total(after, "codns_dns_responses_total") == 80
    assert after['codns_dns_questions_total{type="A"}'] == 80
    assert total(after, "codns_dns_questions_total") == 80
    assert after["codns_cache_misses_total"] == 60
    assert after['codns_cache_hits_total{kind="positive"}'] == 20


def test_durations_are_of_all_answers(fleet):
    *_, after = fleet
    name = "codns_dns_request_duration_seconds"
    assert total(after, f"{name}_count") == total(after, "codns_dns_responses_total")
    assert after[f'{name}_bucket{{le="0.00025",source="cache"}}'] == 20
    assert after[f'{name}_sum{{source="cache"}}'] == 0
    # 20 ms are in the bucket that ends with 32 ms
    assert after[f'{name}_bucket{{le="0.016",source="local"}}'] == 0
    assert after[f'{name}_bucket{{le="0.032",source="local"}}'] == 20
    assert after[f'{name}_sum{{source="local"}}'] == pytest.approx(0.4)


def test_bounds_are_16_from_a_quarter_of_a_millisecond_doubling(fleet):
    *_, after = fleet
    prefix = 'codns_dns_request_duration_seconds_bucket{le="'
    bounds = [k[len(prefix) :].partition('"')[0] for k in after if k.startswith(prefix)]
    bounds = bounds[:17]
    assert bounds == [f"{0.00025 * 2**n:.7g}" for n in range(16)] + ["+Inf"]


def test_remote_queries_are_each_counted_once(fleet):
    cluster, _, _, after = fleet
    issued = after["codns_remote_queries_issued_total"]
    assert issued == len(cluster[0].remote) > 0
    assert after['codns_remote_queries_total{outcome="won"}'] == 40
    ended = total(after, "codns_remote_queries_total")
    assert ended + after["codns_remote_queries_inflight"] == issued
    peers = [v for k, v in after.items() if k.startswith("codns_peer_requests") and '"out"' in k]
    assert sum(peers) == ended
    assert after['codns_local_path_state{state="failing"}'] == 1
    assert after['codns_local_path_changes_total{state="failing"}'] == 1
    assert after["codns_initial_delay_seconds"] == 0


def test_what_was_saved_is_what_a_client_would_have_waited(fleet):
    *_, after = fleet
    # Only lookups that went to the local nameserver as well can tell; it never answered these, and
    # without peers their clients would have had SERVFAIL after 4.5 s
    count = after["codns_remote_saved_seconds_count"]
    assert 0 < count < 40
    assert 4.0 * count < after["codns_remote_saved_seconds_sum"] < 4.5 * count
    assert after["codns_local_duration_seconds_count"] == 20 + count
    assert after['codns_local_duration_seconds_bucket{le="0.032"}'] == 20


def test_the_peer_that_helped_counts_too(fleet):
    cluster, _, _, _ = fleet
    served = [samples(metrics_of(cluster, index)) for index in (1, 2)]
    answered = sum(total(values, "codns_served_queries_total") for values in served)
    assert answered == len(cluster[0].remote)
    for values in served:
        mine = [v for k, v in values.items() if k.startswith("codns_peer_req") and '"in"' in k]
        assert sum(mine) == total(values, "codns_served_queries_total")


def test_every_label_is_there_from_the_start(fleet):
    _, _, before, after = fleet
    assert set(before) == set(after)  # both neighbours were known after 4 s


def test_no_name_and_no_client_is_in_a_label(fleet):
    _, metrics, _, _ = fleet
    text = text_of(metrics)
    assert "secret" not in text
    assert ".example" not in text
    assert "127.0.0.1" not in text


def test_the_text_is_what_prometheus_client_would_write(fleet):
    _, metrics, _, _ = fleet
    ours = list(text_string_to_metric_families(text_of(metrics)))
    theirs = list(text_string_to_metric_families(generate_latest(metrics).decode()))
    assert len(ours) == len(theirs) > 60
    for one, other in zip(ours, theirs, strict=True):
        assert (one.name, one.type, one.documentation) == (
            other.name,
            other.type,
            other.documentation,
        )
        if one.name.startswith(("process_", "codns_slaves", "codns_memory")):
            continue  # time has passed between the two
        assert [s[:2] for s in one.samples] == [s[:2] for s in other.samples]
        values = [(a.value, b.value) for a, b in zip(one.samples, other.samples, strict=True)]
        assert all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in values), one.name


def test_without_peers_there_is_nothing_of_cooperation():
    world = World({"198.51.100.1#53": answers(0.01)})
    world.ask("www.example")
    world.run(1.0)
    metrics = Metrics(
        world.node, lambda: shell(datagrams=None, link_drops=None), lambda: world.now
    )
    values = samples(metrics)
    words = ("peer", "remote", "neighbour", "served", "budget", "initial_delay", "local_path")
    assert not [k for k in values if k.startswith(tuple(f"codns_{word}" for word in words))]
    assert values['codns_upstream_request_duration_seconds_count{to="198.51.100.1:53"}'] == 1


def test_kinds_of_answers():
    """Negative and stale hits, errors, what is answered here, types that have no label."""
    world = World({"198.51.100.1#53": until(2.0, negative(0.01, rcode="NXDOMAIN"), silent)})
    for at in (0.0, 1.0):
        world.ask("no.example", at=at)
    world.ask("localhost", at=0.0)
    world.ask("other.example", "TYPE64000", at=0.0)
    world.ask("lost.example", at=3.0)
    world.ask(wire=b"\0\1\0\0\0\2" + bytes(6), at=0.0)  # two questions
    world.ask(wire=b"\0\1", at=0.0)
    world.run(20.0)
    values = samples(Metrics(world.node, shell, lambda: world.now))
    assert values['codns_cache_hits_total{kind="negative"}'] == 1
    assert values['codns_dns_responses_total{rcode="NXDOMAIN",source="cache"}'] == 1
    assert values['codns_dns_responses_total{rcode="NOERROR",source="special"}'] == 1
    assert values['codns_dns_responses_total{rcode="SERVFAIL",source="error"}'] == 1
    assert values['codns_dns_responses_total{rcode="FORMERR",source="error"}'] == 1
    assert values['codns_dns_questions_total{type="other"}'] == 1
    assert values['codns_queries_refused_total{reason="formerr"}'] == 1
    assert values['codns_queries_dropped_total{reason="malformed"}'] == 1
    failed = 'codns_upstream_failures_total{reason="timeout",to="198.51.100.1:53"}'
    assert values[failed] == values['codns_upstream_exchanges_total{outcome="timeout"}'] > 0


def test_a_failing_answer_is_a_failure_of_its_nameserver():
    world = World({"198.51.100.1#53": failing(0.01), "198.51.100.2#53": answers(0.01)})
    world.ask("www.example")
    world.run(1.0)
    values = samples(Metrics(world.node, shell, lambda: world.now))
    failures = {k: v for k, v in values.items() if k.startswith("codns_upstream_failures") and v}
    assert failures == {'codns_upstream_failures_total{reason="servfail",to="198.51.100.1:53"}': 1}
    assert values['codns_upstream_request_duration_seconds_count{to="198.51.100.1:53"}'] == 1


# -- how much it is -------------------------------------------------------------------------------


@pytest.mark.parametrize(("peers", "neighbours", "nameservers"), [(1_000, 64, 40), (1_000, 10, 2)])
def test_the_number_of_samples_is_bounded(peers, neighbours, nameservers):
    cluster = crowded(
        peers=peers, neighbours=neighbours, nameservers=nameservers, behaviour=answers(0.01)
    )
    values = samples(metrics_of(cluster))
    assert len(values) <= SAMPLES_MAX
    assert values["codns_peers"] == peers - 1
    assert values["codns_neighbours"] == neighbours
    rows = sum(k.startswith("codns_peer_up{") for k in values)
    assert rows == min(neighbours, metrics_peers.PEERS_MAX)
    rows = sum(k.startswith("codns_upstream_up{") for k in values)
    assert rows == min(nameservers, metrics_local.UPSTREAMS_MAX)


def test_a_scrape_is_in_slices_and_does_not_grow_with_the_list():
    """What it takes of the event loop is timed by `python -m bench.scrape`."""
    crowds = [metrics_of(crowded(peers=n, behaviour=answers(0.01))) for n in (100, 1_000)]
    pages = [[part.count(b"\n") for part in metrics.slices()] for metrics in crowds]
    assert max(map(max, pages)) <= 400  # lines at a time: under a millisecond
    assert sum(pages[0]) == sum(pages[1])


def test_heads_of_lines_are_kept_within_bounds():
    writer = metrics_text.Writer()
    for number in range(metrics_text.HEADS_MAX + 10):  # peers come and go
        family = GaugeMetricFamily("x", "text", labels=["peer"])
        family.add_metric([f"peer{number}"], number)
        assert f'x{{peer="peer{number}"}} {number}\n' in writer.write(family)
        assert len(writer._heads) <= metrics_text.HEADS_MAX


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (3.0, "3"),
        (True, "1"),
        (0.25, "0.25"),
        (1e22, "1" + "0" * 22),
        (1e-9, "1e-09"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
        (None, "NaN"),
    ],
)
def test_numbers_as_prometheus_reads_them(value, written):
    text = metrics_text.Writer().write(metrics_text.gauge("x", "text", value))
    assert text.endswith(f"\nx {written}\n")


def test_labels_are_escaped():
    family = metrics_text.gauges("x", "a\nb\\c", ("k",), [(('quo"te\\ and\nline',), 1)])
    text = metrics_text.Writer().write(family)
    assert text.splitlines()[0] == r"# HELP x a\nb\\c"
    assert text.endswith('x{k="quo\\"te\\\\ and\\nline"} 1\n')
    (read,) = text_string_to_metric_families(text)
    assert read.samples[0].labels == {"k": 'quo"te\\ and\nline'}


def test_at_once_is_the_lowest_bucket():
    values = Histogram()
    values.add(0.003)
    family = metrics_text.histograms("x", "t", ("k",), [(("a",), values, 2)])
    counts = {s.labels.get("le"): s.value for s in family.samples}
    assert counts["0.00025"] == 2
    assert counts["0.002"] == 2
    assert counts["0.004"] == counts["+Inf"] == 3


# -- processes ------------------------------------------------------------------------------------


def test_cpu_time_of_the_dead_is_not_forgotten():
    busy = "while True: pass"
    child = subprocess.Popen(["python3", "-c", busy])
    try:
        spent, alive = Spent(), 0.0
        while alive < 0.05:  # it works: this ends
            alive, memory = spent.look([child.pid])
        assert memory > 0
    finally:
        child.kill()
        child.wait()
    assert spent.look([child.pid])[0] >= alive
    both, memory = spent.look([os.getpid()])
    assert both > alive
    assert memory > 0


def test_open_descriptors_are_counted():
    before = descriptors()
    ends = os.pipe()
    assert descriptors() == before + 2
    for end in ends:
        os.close(end)


def test_blocks_tell_a_leak_of_small_objects():
    before = blocks()
    kept = [bytes(48 + number % 2) for number in range(20_000)]
    grown = blocks() - before
    assert len(kept) <= grown < len(kept) + 5_000
    del kept
    assert blocks() - before < 5_000


def test_what_the_kernel_does_not_tell_is_left_out():
    cluster = Cluster([answers(0.02)])
    name = "codns_udp_kernel_drops_total"
    assert samples(metrics_of(cluster, kernel_drops=7))[name] == 7
    told = samples(metrics_of(cluster, kernel_drops=None))
    assert name not in told
    assert "codns_backlog_queries" in told
