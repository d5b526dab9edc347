"""`case_randomization` from end to end: a daemon, its log and its metrics."""

import signal

import dns.message
import dns.rcode
import pytest
from daemon_rig import FakeNameserver, ask, running

JSON = "log: {format: json}\nslaves: 1\nprobe: off\n"
NAME = "WwW.bank.eXample"


class Folding(FakeNameserver):
    """One that writes the question anew in lower case, and speaks no TCP."""

    def _answer(self, query, source):
        query.question[0].name = query.question[0].name.canonicalize()
        super()._answer(query, source)


@pytest.fixture(params=[FakeNameserver, Folding])
def nameserver(request):
    server = request.param()
    yield server
    server.close()


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "codns.yaml"
    path.write_text(JSON)
    return path


def sent(nameserver):
    """The names that clients asked for, as they reached the nameserver."""
    return [name for name in nameserver.asked if name.lower().endswith("bank.example")]


@pytest.mark.parametrize("nameserver", [FakeNameserver], indirect=True)
def test_the_nameserver_sees_random_letters_and_the_client_its_own(nameserver, config):
    config.write_text(JSON + "case_randomization: true\n")
    with running(nameserver=nameserver, config=config) as codns:
        (address,) = codns.addresses
        for number in range(10):
            response = ask(address, f"{NAME[:3]}{number}{NAME[3:]}")
            name = response.question[0].name.to_text(omit_final_dot=True)
            assert name == f"{NAME[:3]}{number}{NAME[3:]}"
            assert response.answer[0].name.to_text(omit_final_dot=True) == name
        asked = sent(nameserver)
        assert len(asked) == 10
        assert all(name.lower() not in (name, "") for name in asked)  # 2^-14 each
        assert len({name[5:] for name in asked}) > 5
        # One question, whatever its letters: the cache's keys are lower case
        before = len(nameserver.asked)
        for name in ("www0.bank.example", "WWW0.BANK.EXAMPLE"):
            assert ask(address, name).question[0].name.to_text(omit_final_dot=True) == name
        assert len(nameserver.asked) == before
        # Off with a reload, at once
        config.write_text(JSON)
        codns.signal(signal.SIGHUP)
        codns.wait_for("reloaded")
        ask(address, "after.Bank.example")
        assert sent(nameserver)[-1] == "after.bank.example"


@pytest.mark.parametrize("nameserver", [Folding], indirect=True)
def test_one_that_folds_and_speaks_no_tcp_is_not_lost(nameserver, config):
    config.write_text(JSON + "case_randomization: true\n")
    with running(nameserver=nameserver, config=config) as codns:
        (address,) = codns.addresses
        rcodes = [ask(address, f"n{number}.bank.example").rcode() for number in range(12)]
        line = codns.wait_for("nameserver does not keep the letters of a question")
        assert line["nameserver"].endswith(nameserver.text.replace(":", "#"))
        assert rcodes[-6:] == [dns.rcode.NOERROR] * 6
        assert sent(nameserver)[-1] == "n11.bank.example"
