import pytest
from slave_rig import Nameserver, SlaveRig


@pytest.fixture
def nameserver():
    server = Nameserver(tcp=True)
    yield server
    server.close()


@pytest.fixture(scope="module")
def shared_slave():
    rig = SlaveRig()
    yield rig
    rig.close()


@pytest.fixture
def slave(shared_slave, nameserver):
    """For tests that leave nothing outstanding: starting a process takes longer than they do."""
    shared_slave.server(nameserver)
    yield shared_slave
    assert shared_slave.quiet()


@pytest.fixture
def own_slave(nameserver):
    rig = SlaveRig()
    rig.server(nameserver)
    yield rig
    rig.close()


@pytest.fixture
def small_slave(nameserver):
    """One that has so few descriptors that its sets are as small as they get."""
    rig = SlaveRig("--nofile", "297")
    rig.server(nameserver)
    yield rig
    rig.close()
