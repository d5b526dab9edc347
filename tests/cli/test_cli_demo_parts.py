"""The demo's parts without any process: plan, figures, sentences, picture."""

import io

import dns.message
import pytest
from rich.console import Console

from codns.cli import demo_plan, demo_story, demo_view
from codns.cli.demo import Lines
from codns.cli.demo_figures import FINE, Measured, quantile
from codns.cli.demo_plan import ALONE, MEMBERS, NODES, PATIENCE_S, SICK
from codns.cli.demo_told import ANSWER, SILENCE, Done, Looked
from codns.cli.screen import plain

LENGTHS = [demo_plan.SECONDS_MIN, 7.3, demo_plan.SECONDS, demo_plan.SECONDS_MAX]


# -- the plan -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", LENGTHS)
def test_phases_fill_the_run(seconds):
    phases = demo_plan.phases(seconds)
    assert [phases[0].start, *(phase.end for phase in phases)] == [
        *(phase.start for phase in phases),
        seconds,
    ]
    assert all(phase.seconds > 0 for phase in phases)


@pytest.mark.parametrize(("seconds", "stalls"), [(4, 1), (20, 1), (30, 2), (60, 4), (600, 40)])
def test_silences_are_in_the_phases_with_trouble(seconds, stalls):
    _, stalling, dead, _ = demo_plan.phases(seconds)
    *found, death = demo_plan.silences(seconds)
    assert death == (dead.start, dead.end)
    assert len(found) == stalls
    assert found[0].start == stalling.start
    assert found[-1].end < stalling.end
    quiet_s = sum(silence.end - silence.start for silence in found)
    assert quiet_s == pytest.approx(stalling.seconds / 2)


def test_the_twin_has_the_same_load_at_the_same_instants():
    plan = demo_plan.arrivals(20, 40, 1)
    assert plan == demo_plan.arrivals(20, 40, 1)
    assert plan == sorted(plan)
    of = [[(a.at, a.name) for a in plan if a.node == node] for node in range(MEMBERS)]
    assert of[SICK] == of[ALONE]
    assert of[1] != of[2]
    assert all(0 <= arrival.at < 20 for arrival in plan)
    assert len(of[SICK]) == pytest.approx(800, rel=0.15)
    unique = [name for _, name in of[SICK] if name.startswith("only")]
    assert len(set(unique)) == len(unique) == pytest.approx(0.3 * len(of[SICK]), rel=0.2)
    assert demo_plan.arrivals(20, 40, 2) != plan


def test_queries_are_queries():
    query = dns.message.from_wire(b"\x12\x34" + demo_plan.query_of("www1.shop2.demo"))
    assert query.id == 0x1234
    assert query.question[0].to_text() == "www1.shop2.demo. IN A"


@pytest.mark.parametrize(("seconds", "wait"), [(4, 0.5), (20, 2.5), (40, PATIENCE_S), (600, 5)])
def test_the_end_waits_for_the_last(seconds, wait):
    assert demo_plan.settle_s(seconds) == wait


# -- figures ------------------------------------------------------------------------------------


def measured(seconds=20.0):
    return Measured(demo_plan.phases(seconds))


def looked(m, at, done=(), waiting=None, late=()):
    waits = waiting or {}
    m.looked(Looked(at, list(done), [waits.get(node, []) for node in range(MEMBERS)], list(late)))


def coop(state="healthy", delay=0.012, sent=0, peers_up=3, share=1.0):
    return {
        "path": {"state": state, "share": share},
        "initial_delay_s": delay,
        "remote": {"sent": sent},
        "peers_up": peers_up,
    }


def status(*, cooperation=None, **answers):
    every = dict.fromkeys(("cache", "stale", "local", "peer", "special", "error"), 0)
    return {"answers": {**every, **answers}, "cooperation": cooperation}


def steady(m, node, took, outcome=ANSWER, phases=("well", "stalls", "dead", "back"), count=100):
    """`count` lookups in each of these phases, all alike."""
    for phase in m.phases:
        if phase.key in phases:
            step = phase.seconds / count
            looked(
                m,
                phase.end,
                [Done(node, phase.start + step * n, took, outcome) for n in range(count)],
            )


@pytest.mark.parametrize(
    ("values", "q", "found"),
    [
        ([], 0.5, None),
        ([1], 0.99, 1),
        ([1, 2], 0.5, 1),
        (list(range(1, 101)), 0.99, 99),
        (list(range(1, 101)), 1.0, 100),
        (list(range(1, 102)), 0.99, 100),
    ],
)
def test_quantile(values, q, found):
    assert quantile(values, q) == found


def test_of_late_is_what_left_of_late_and_what_waits():
    m = measured()
    looked(m, 2.0, [Done(SICK, 1.0, 3.0, ANSWER)])
    assert m.recent(SICK) == (3.0, 3.0)
    looked(m, 7.0, [Done(SICK, 6.0, 0.001, ANSWER)], {SICK: [5.0]})
    assert m.recent(SICK) == (0.001, 2.0)
    assert m.recent(1) == (None, None)
    assert m.waiting(SICK) == (1, 2.0)
    assert m.waiting(1) == (0, 0.0)


def test_a_waiting_lookup_is_seen_before_it_is_over():
    m = measured(20)
    looked(m, 10.0, [Done(SICK, 0.1, 0.5, "rcode 2")], {SICK: [9.5], 1: [10.0]})
    bars = m.timeline(SICK, 20)
    assert bars[0] == (0.5, True)
    assert bars[9] == (0.5, False)
    assert {bar.worst for bar in bars[1:9] + bars[10:]} == {None}
    looked(m, 19.0, [Done(SICK, 9.5, 5.0, SILENCE)])
    assert m.timeline(SICK, 20)[9] == (5.0, True)
    assert m.timeline(SICK, FINE)[0] == (None, False)  # 0.1 s is the third of 480
    assert m.failed(SICK) == 2


def test_a_lookup_of_the_last_instant_is_in_the_last_column():
    m = measured(20)
    looked(m, 21.0, [Done(SICK, 20.0, 0.5, ANSWER)])
    assert m.timeline(SICK, 40)[-1] == (0.5, False)
    assert m.phase() == m.phases[-1]


def test_shares_are_of_the_last_seconds():
    m = measured()
    m.status(SICK, status(cache=1))
    assert m.shares(SICK) == {}  # too few
    for at in range(1, 12):
        looked(m, float(at))
        m.status(SICK, status(cache=8 * at, peer=2 * at if at < 5 else 10))
    shares = m.shares(SICK)
    assert shares["cache"] == 1.0
    assert shares["peer"] == 0.0
    assert m.shares(1) == {}
    m.status(SICK, None)  # a node that did not answer changes nothing
    assert m.shares(SICK) == shares
    assert m.up() == 1


def test_remote_queries_belong_to_the_phase_in_which_they_were_sent():
    m = measured(20)  # 4, 9, 15, 20
    for at, sent in ((3.9, 0), (4.5, 3), (8.9, 10), (9.1, 11), (14.9, 40), (19.9, 50), (21.0, 52)):
        looked(m, at)
        m.status(SICK, status(cooperation=coop(sent=sent)))
    assert [m.remote_of(phase) for phase in m.phases] == [0, 10, 30, 12]
    fresh = measured(20)
    assert [fresh.remote_of(phase) for phase in fresh.phases] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("mine", "alone", "masked"),
    [
        ((0.02, ANSWER), (2.0, ANSWER), True),
        ((0.02, ANSWER), (4.5, "rcode 2"), True),
        ((0.02, "rcode 2"), (4.5, "rcode 2"), False),  # quick, but a failure
        ((1.1, ANSWER), (2.0, ANSWER), False),
        ((0.02, ANSWER), (0.02, ANSWER), False),
    ],
)
def test_what_is_shown(mine, alone, masked):
    m = measured()
    steady(m, SICK, *mine)
    steady(m, ALONE, *alone)
    verdict = m.verdict()
    assert verdict.masked is masked
    assert verdict.with_peers.lookups == verdict.alone.lookups == 200
    assert demo_story.conclusion(m).startswith("In the 11 s" if masked else "This run does not")


def test_nothing_measured_shows_nothing():
    m = measured()
    assert not m.verdict().masked
    assert "0 of 0 failed" in demo_story.conclusion(m)
    assert plain(demo_story.summary(m))
    assert demo_story.as_json(m, 20)["trouble"]["node1"]["p99_s"] is None


def test_one_that_still_waits_in_the_end_is_not_masked():
    m = measured()
    steady(m, SICK, 0.02)
    steady(m, ALONE, 2.0)
    looked(m, 20.5, waiting={SICK: [14.0]})
    assert not m.verdict().masked
    assert "1 still waiting" in demo_story.conclusion(m)


# -- words --------------------------------------------------------------------------------------


def at(seconds, *, silent=False, cooperation=None, waiting=(), failed=0):
    m = measured(20)
    m.silent = silent
    done = [Done(ALONE, 0.0, 4.5, "rcode 2")] * failed
    looked(m, seconds, done, {ALONE: list(waiting)})
    m.status(SICK, status(cooperation=cooperation or coop()))
    return demo_story.scene(m)


@pytest.mark.parametrize(
    ("seconds", "silent", "event"),
    [
        (1, False, "All is well: every site's nameserver answers within 10 ms."),
        (5, True, "Site 1's nameserver has stalled: it answers nobody."),
        (8, False, "Site 1's nameserver answers again, for a moment: it comes and goes."),
        (10, True, "Site 1's nameserver is dead: it answers nobody."),
        (16, False, "Site 1's nameserver is back; node 1 returns to it step by step, on purpose."),
    ],
)
def test_what_happens_now(seconds, silent, event):
    assert at(seconds, silent=silent).event == event


def test_what_node_1_does_is_what_it_says_it_does():
    said = {
        state: at(10, cooperation=coop(state, share=0.25)).node
        for state in ("healthy", "failing", "recovering")
    }
    assert said == {
        "healthy": "Node 1 asks it first, and a peer as well when no answer came in 12 ms.",
        "failing": "Node 1 has noticed: it asks its peers at once, its nameserver now and then.",
        "recovering": "Node 1 returns to it step by step: 25 % of its lookups for now.",
    }
    assert demo_story.scene(measured()).node == ""  # it has not said anything yet


def test_what_becomes_of_the_twin():
    assert at(10).alone == "Without peers nobody waits for long."
    assert at(10, waiting=[9.9]).alone == "Without peers nobody waits for long."
    assert at(10, waiting=[9.0]).alone == "Without peers 1 lookup waits, the first for 1.0 s."
    assert at(10, waiting=[8.0, 9.0], failed=3).alone == (
        "Without peers 2 lookups wait, the first for 2.0 s; 3 have failed so far."
    )


def test_a_busy_machine_is_an_excuse_and_only_where_one_is_needed():
    m = measured()
    steady(m, SICK, 0.9)
    steady(m, ALONE, 1.0)
    assert "too busy" not in demo_story.conclusion(m)
    looked(m, 20, late=[0.3] * 10)
    assert "too busy to tell: 1 % of the lookups left 300 ms late" in demo_story.conclusion(m)
    steady(m, ALONE, 4.0, count=5000)
    assert "too busy" not in demo_story.conclusion(m)


def test_the_table_fits_and_compares():
    m = measured()
    steady(m, SICK, 0.02)
    steady(m, ALONE, 4.5, "rcode 2", phases=["stalls", "dead"])
    looked(m, 19, late=[0.001])
    lines = plain(demo_story.summary(m))
    assert len(lines) == 9
    assert max(map(len, lines)) < 80
    squeezed = [" ".join(line.split()) for line in lines]
    assert squeezed[3] == "it stalls node 1 100 20 ms 20 ms 20 ms 0 0"
    assert squeezed[4] == "without peers 100 4.50 s 4.50 s 4.50 s 100"
    assert "1.0 ms late" in demo_story.lateness(m)


def test_off_a_terminal_there_are_lines(capsys):
    m, lines = measured(), Lines(20, err=False)
    lines.starting(0, 0)
    lines.starting(3, 0)
    for seconds in (0, 1, 10, 11):
        looked(m, seconds, [Done(SICK, seconds, 0.01, ANSWER)])
        lines.update(m, 5300)
    lines.close()
    assert capsys.readouterr().out.splitlines() == [
        "starting 5 nodes on loopback",
        "   0 s  All is well: every node asks its own site's nameserver.",
        "        node 1: p99 10 ms, 0 of 2 failed; without peers: p99 -, 0 of 0 failed",
        "   9 s  Site 1's nameserver is dead: it answers nobody.",
    ]


# -- the picture --------------------------------------------------------------------------------


def busy():
    """As much as the picture ever has to show."""
    m = measured(60)
    m.silent = True
    for node in range(MEMBERS):
        done = [Done(node, n / 10, 4.5 if n % 50 == 7 else 0.004, ANSWER) for n in range(400)]
        done += [Done(node, 20.0, 4.5, "rcode 2")] * 1000
        looked(m, 40.0, done, {ALONE: [36.0] * 60})
        m.status(node, status())
        told = None if node == ALONE else coop("recovering", 0.199)
        answers = {"cache": 1600, "stale": 300, "local": 300, "peer": 1900, "error": 900}
        m.status(node, status(cooperation=told, **answers))
    return m


def printed(shown, width=80, **options):
    console = Console(file=io.StringIO(), width=width, height=24, record=True, **options)
    console.print(shown)
    return console.export_text().splitlines()


@pytest.mark.parametrize("width", [80, 200])
def test_the_picture_fits(width):
    lines = printed(demo_view.picture(busy(), 60, 65535, width - 1), width)
    assert len(lines) <= 23  # and the cursor's
    assert max(map(len, lines)) <= width
    names = [line[:13].strip() for line in lines]
    assert names.index("without peers") == names.index("node 1") + 2
    assert "65535" in lines[-1]


def test_a_small_terminal_gets_what_fits():
    lines = printed(demo_view.picture(busy(), 60, 5300, 39), 40)
    assert max(map(len, lines)) <= 40


def test_the_timeline_is_under_its_phases():
    m = measured(20)
    looked(m, 16.0, [Done(SICK, 9.3, 0.3, ANSWER), Done(SICK, 15.6, 0.3, "rcode 2")])
    lines = printed(demo_view.picture(m, 20, 5300, 79))
    head = next(line for line in lines if "|well" in line)
    (row,) = [line for line in lines if line.startswith("node 1")]
    assert abs(row.index("▆") - head.index("|dead")) <= 1
    assert abs(row.index("X") - head.index("|back")) <= 1


def test_bars_for_a_terminal_without_unicode():
    lines = printed(demo_view.picture(busy(), 60, 5300, 79, ascii_only=True))
    assert all(line.isascii() for line in lines)


def test_the_start_says_how_far_it_is():
    lines = printed(demo_view.starting(3, 1, 60))
    assert "3 of 5 nodes are up, 1 of 4 have met the others ..." in lines
    assert len(lines) < 24


def test_the_screen_gives_the_terminal_back():
    out = io.StringIO()
    console = Console(file=out, width=80, height=24, force_terminal=True, color_system=None)
    screen = demo_view.Screen(60, console)
    screen.starting(0, 0)
    screen.update(busy(), 5300)
    screen.close()
    assert "\x1b[?25l" in out.getvalue()  # the cursor away while it changes
    assert out.getvalue().rindex("\x1b[?25h") > out.getvalue().index("node 4")


def test_every_node_has_a_row():
    text = "\n".join(printed(demo_view.picture(busy(), 60, 5300, 79)))
    for node in range(NODES):
        assert f"node {node + 1} " in text
