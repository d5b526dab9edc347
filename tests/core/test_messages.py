"""What of a peer's reply may be given to a client."""

import pytest

from codns.core.messages import QueryReply, Status, is_answer
from codns.wire.outcome import Outcome


@pytest.mark.parametrize(
    ("outcome", "rcode", "good"),
    [
        (Outcome.ANSWER, 0, True),
        (Outcome.NODATA, 0, True),
        (Outcome.NXDOMAIN, 3, True),
        (Outcome.ANSWER, 3, False),
        (Outcome.NXDOMAIN, 0, False),
        (Outcome.ANSWER, 0x20, False),  # AD, if it stood in a header
        (Outcome.SERVFAIL, 2, False),
    ],
)
def test_the_rcode_is_that_of_the_outcome(outcome, rcode, good):
    assert is_answer(QueryReply(1, Status.ANSWER, outcome, rcode, soa=True)) is good
