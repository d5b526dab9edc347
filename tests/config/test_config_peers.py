"""The sections race and peers: values, contradictions, and addresses written as the link does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codns.config import load, rules
from codns.config.problems import ConfigError
from codns.config.rules import NAMES_MAX
from codns.config.schema import PeersSettings, RaceSettings
from codns.config.units import Duration, Label, Node, Peer, Share, is_name
from codns.peer import address

ON = 'listen: "0.0.0.0:7353", key_file: /k, nodes: ["192.0.2.1"]'


def problems(text):
    with pytest.raises(ConfigError) as caught:
        load.parse(text, None, "f")
    return str(caught.value).split("\n")


def test_values():
    config = load.parse(
        """
        race: {policy: codns2004, initial_delay: 150ms, initial_delay_min: 500us, max_remote: 1,
               budget: 2.5%}
        probe: off
        peers:
          listen: 192.0.2.7
          advertise: "[2001:DB8:0::7]:7000"
          nodes: ["192.0.2.7", "[2001:db8::8]", "::ffff:192.0.2.9", "srv:_codns._udp.Example.net",
                  Node7.example.net, "node8.example.net:7000"]
          key_file: /etc/codns/cluster.key
          cluster: staging
          site: fra1
          neighbours: 5
          heartbeat: 500ms
        state_dir: null
        """.replace("listen: 192.0.2.7", 'listen: "[::]"')
    )
    assert config.race == RaceSettings("codns2004", 0.15, 0.0005, 1, 0.025)
    assert config.probe == "off"
    assert config.state_dir is None
    assert config.peers == PeersSettings(
        "[::]:7353",
        "[2001:db8::7]:7000",
        (
            "192.0.2.7:7353",
            "[2001:db8::8]:7353",
            "192.0.2.9:7353",
            "srv:_codns._udp.example.net.",
            "node7.example.net.:7353",
            "node8.example.net.:7000",
        ),
        "/etc/codns/cluster.key",
        "staging",
        "fra1",
        5,
        0.5,
    )
    assert [is_name(node) for node in config.peers.nodes] == [False] * 3 + [True] * 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'peers: {listen: "0.0.0.0:7353"}',
            (
                "f:1: peers.key_file: peers.listen needs a key: `codns keygen "
                "/etc/codns/cluster.key` makes the file; the same one goes to every node"
            ),
        ),
        (
            'peers: {nodes: ["192.0.2.1"]}',
            'f:1: peers.nodes: without peers.listen nobody is asked; "0.0.0.0:7353" is usual',
        ),
        (
            'peers: {listen: "0.0.0.0:53", key_file: /k}',
            "f:1: peers.listen: 0.0.0.0:53 is where clients are heard: choose another port",
        ),
        (
            'peers: {listen: "127.0.0.1:0", key_file: /k}',
            'f:1: peers.listen: "127.0.0.1:0" has no valid port; ports are 1 to 65535',
        ),
        (
            f'peers: {{{ON}, advertise: "::1"}}',
            (
                "f:1: peers.advertise: [::1]:7353 cannot be reached through 0.0.0.0:7353: "
                "listen on [::]"
            ),
        ),
        (
            f'peers: {{{ON}, advertise: "0.0.0.0"}}',
            'f:1: peers.advertise: "0.0.0.0" is not the address of one host',
        ),
        (
            'peers: {listen: "0.0.0.0", key_file: /k, nodes: [192.0.2.1, "192.0.2.1:7353"]}',
            "f:1: peers.nodes[1]: 192.0.2.1:7353 stands here twice",
        ),
        (
            'peers: {listen: "0.0.0.0", key_file: key, nodes: [192.0.2.1]}',
            'f:1: peers.key_file: "key" is not an absolute path; write it like /etc/codns/x',
        ),
        (
            f"peers: {{{ON}, cluster: {'x' * 33}}}",
            f'f:1: peers.cluster: "{"x" * 33}" is over 32 bytes',
        ),
        (
            f"peers: {{{ON}, site: a b}}",
            'f:1: peers.site: "a b" is not a label: a word without blanks',
        ),
        (f"peers: {{{ON}, neighbours: 65}}", "f:1: peers.neighbours: 65 is out of range: 1 to 64"),
        (
            f"peers: {{{ON}, heartbeat: 100ms}}",
            'f:1: peers.heartbeat: "100ms" is out of range: 200ms to 1m',
        ),
        (
            "race: {initial_delay: 20ms, initial_delay_min: 30ms}",
            "f:1: race.initial_delay_min: 30ms is more than race.initial_delay, 20ms",
        ),
        ("race: {budget: 0.1}", "f:1: race.budget: 0.1 is not a share; write it like 10%"),
        ("race: {budget: 101%}", 'f:1: race.budget: "101%" is out of range: 0% to 100%'),
        (
            "race: {policy: adaptative}",
            (
                'f:1: race.policy: "adaptative" is not one of adaptive, codns2004, off, shadow; '
                "did you mean adaptive?"
            ),
        ),
        ("race: {max_remote: 0}", "f:1: race.max_remote: 0 is out of range: 1 to 5"),
    ],
)
def test_problems(text, said):
    assert problems(text) == [said]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("192.0.2.1.5", '"192.0.2.1.5" is not an address; write it like 192.0.2.1:53 or '),
        ("192.0.2.1:99999", '"192.0.2.1:99999" has no valid port; ports are 1 to 65535'),
        ("node.example:0", '"node.example:0" has no valid port; ports are 1 to 65535'),
        ("node.example:x", '"node.example:x" has no valid port; ports are 1 to 65535'),
        ("[fe80::1%eth0]:7353", '"[fe80::1%eth0]:7353" has a scope, which means nothing on other'),
        ("ff02::1", '"ff02::1" is not the address of one host'),
        ("192.0.2.1:0", '"192.0.2.1:0" has no valid port; ports are 1 to 65535'),
        ("srv:", '"" is not a domain name; write it in quotes'),
        ("srv:a..b", '"a..b" is not a domain name'),
        (7353, "7353 is not an address; write it like 192.0.2.1:53 or [2001:db8::1]:53"),
    ],
)
def test_what_is_no_node(value, said):
    with pytest.raises(ValueError) as caught:
        Node().read(value)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(("value", "kept"), [("10%", 0.1), (0, 0.0), ("33.333%", 0.33333)])
def test_shares(value, kept):
    assert Share().read(value) == kept


@pytest.mark.parametrize("value", [True, 0.5, "10", "%", None])
def test_what_is_no_share(value):
    with pytest.raises(ValueError, match="write it like 10%"):
        Share().read(value)


def test_a_duration_below_its_range():
    with pytest.raises(ValueError, match="is out of range: 10ms to 1s"):
        Duration(0.01, 1).read("1ms")


@pytest.mark.parametrize("value", ["", "a\nb", 7, None])
def test_what_is_no_label(value):
    with pytest.raises(ValueError, match="is not a label"):
        Label(32).read(value)


@given(st.one_of(st.ip_addresses().map(str), st.text(max_size=30)), st.integers(1, 65535))
def test_an_address_kept_is_written_as_the_link_writes_it(host, port):
    """Sender and receiver are compared as text on all nodes: one way to write each address."""
    for text in (f"{host}:{port}", f"[{host}]:{port}", host):
        try:
            kept = Peer().read(text)
        except ValueError:
            continue
        assert address.parse(kept).text == kept


def test_sections_switched_off_by_null():
    config = load.parse("peers: {listen: null, key_file: , advertise: ~, nodes: []}")
    assert config.peers == PeersSettings()
    assert problems("peers: {nodes: 5}") == ["f:1: peers.nodes: 5 is not a list; write [a, b]"]


def test_names_have_a_limit():
    def text(count):
        nodes = ", ".join(f"n{i}.example" for i in range(count))
        return f'peers: {{listen: "0.0.0.0", key_file: /k, nodes: [{nodes}]}}'

    load.parse(text(NAMES_MAX))
    assert problems(text(NAMES_MAX + 1)) == [
        "f:1: peers.nodes: 257 names; at most 256 are asked for: use one srv: name for them"
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '{listen: "0.0.0.0", key_file: /k}',
            ["peers.nodes: empty, so there is nobody to cooperate with"],
        ),
        (
            '{listen: "0.0.0.0", key_file: /k, nodes: [192.0.2.1], advertise: "192.0.2.9:7000"}',
            ["peers.advertise: another port than peers.listen, 7353: translated on the way?"],
        ),
        (
            '{listen: "0.0.0.0", key_file: /k, nodes: ["::1", "::2", 192.0.2.1]}',
            ["peers.nodes: not of the family of 0.0.0.0:7353, so left out: [::1]:7353 and 1 more"],
        ),
        ('{listen: "[::]", key_file: /k, nodes: ["::1", 192.0.2.1]}', []),
        ("{}", []),
    ],
)
def test_warnings(text, said):
    assert rules.warnings(load.parse(f"peers: {text}")) == said
