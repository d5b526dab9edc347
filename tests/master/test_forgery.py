"""What slaves say of forged answers: counted, and logged once for all of them."""

from codns.master.forgery import LOG_S, Forgery
from codns.wire.batch import FOLDED, GUARDED, UNMATCHED, WRONG_CASE

A, B = "192.0.2.1#53", "192.0.2.2#53"


def test_counts_and_lines():
    now, lines = 100.0, []
    forgery = Forgery(lambda *line: lines.append(line), lambda: now)
    for event, server, count in [
        (UNMATCHED, "", 7),
        (WRONG_CASE, "", 2),
        (WRONG_CASE, "", 1),
        (GUARDED, "", 1),
        (FOLDED, A, 1),
        (FOLDED, A, 1),  # another slave's finding
        (FOLDED, B, 1),
    ]:
        forgery.told(event, server, count)
    assert forgery.counts == {"unmatched": 7, "wrong_case": 3, "guarded": 1, "folded": 3}
    event = "nameserver does not keep the letters of a question"
    assert lines == [("warning", event, {"nameserver": server}) for server in (A, B)]
    now += LOG_S - 1
    forgery.told(FOLDED, A, 1)
    assert len(lines) == 2
    now += 1
    forgery.told(FOLDED, A, 1)
    assert lines[2:] == lines[:1]
