"""Which replies of peers say that they are answers; whether they are is `test_vetting.py`."""

import pytest

from codns.core.messages import QueryReply, Status, is_answer
from codns.wire.outcome import Outcome


@pytest.mark.parametrize(
    ("status", "outcome", "soa", "usable"),
    [
        (Status.ANSWER, Outcome.ANSWER, False, True),
        (Status.ANSWER, Outcome.NODATA, True, True),
        (Status.ANSWER, Outcome.NXDOMAIN, True, True),
        (Status.ANSWER, Outcome.NXDOMAIN, False, False),
        (Status.ANSWER, Outcome.NODATA, False, False),
        (Status.ANSWER, Outcome.SERVFAIL, True, False),
        (Status.FAILURE, Outcome.ANSWER, True, False),
    ],
)
def test_what_claims_to_be_usable(status, outcome, soa, usable):
    assert is_answer(QueryReply(1, status, outcome, soa=soa)) is usable
