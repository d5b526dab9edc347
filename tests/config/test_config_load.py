"""Reading the configuration: values, problems, files, the documented example."""

from pathlib import Path

import msgspec
import pytest

from codns.config import load, rules
from codns.config.convert import keys
from codns.config.problems import ConfigError
from codns.config.schema import CacheSettings, Config, LogSettings, ZoneSettings

EXAMPLE = Path(__file__).parents[2] / "conf" / "codns.yaml"


def problems(text, overrides=None):
    """What is wrong with a text, a line each."""
    with pytest.raises(ConfigError) as caught:
        load.parse(text, overrides, "f")
    return str(caught.value).split("\n")


def test_nothing_is_the_defaults():
    assert load.parse("") == Config()
    assert load.parse("# only a comment\n") == Config()
    assert load.parse("cache:\nlog:\nzones:\n") == Config()  # sections with nothing in them


def test_values():
    config = load.parse(
        """
        listen: ["127.0.0.1:5300", "[0:0::1]:5300", 192.0.2.9]
        allow: [127.0.0.1, 10.0.0.0/8, "2001:DB8::/32"]
        nameservers: ["192.0.2.1", "2001:db8::1", "[2001:db8::2]:5353", "::ffff:192.0.2.7"]
        slaves: 3
        private_zones: [LAN, "bücher.example."]
        zones:
          Corp.Example: {nameservers: ["10.0.0.1:5353"], peers: false}
          no:
        cache: {entries: 5k, min_ttl: 0, max_ttl: 2h, max_negative_ttl: 90s, stale: 0s,
                prefetch: false}
        log: {level: debug, format: json}
        """
    )
    assert config == Config(
        listen=("127.0.0.1:5300", "[::1]:5300", "192.0.2.9:53"),
        allow=("127.0.0.1/32", "10.0.0.0/8", "2001:db8::/32"),
        nameservers=("192.0.2.1#53", "2001:db8::1#53", "2001:db8::2#5353", "192.0.2.7#53"),
        slaves=3,
        private_zones=("lan.", "xn--bcher-kva.example."),
        zones={"corp.example.": ZoneSettings(("10.0.0.1#5353",), False), "no.": ZoneSettings()},
        cache=CacheSettings(5000, 0, 7200, 90, 0, False),
        log=LogSettings("debug", "json"),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lisen: []", "f:1: lisen: unknown key; did you mean listen?"),
        ("Listen: []", "f:1: Listen: unknown key; did you mean listen?"),
        ("max_ttl: 1d", "f:1: max_ttl: unknown key; did you mean cache.max_ttl?"),
        ("cache: {max-ttl: 1d}", "f:1: cache.max-ttl: unknown key; did you mean cache.max_ttl?"),
        (
            "log: {qqq: 1}",
            "f:1: log.qqq: unknown key; known in log: level, format, queries",
        ),
        (
            "zones: {a.example: {nameserver: x}}",
            (
                "f:1: zones.a.example.nameserver: unknown key; "
                "did you mean zones.a.example.nameservers?"
            ),
        ),
        ("listen: 127.0.0.1", 'f:1: listen: "127.0.0.1" is not a list; write [a, b]'),
        ("listen: []", "f:1: listen: is empty; leave the key out for its default"),
        ("listen:", "f:1: listen: nothing is not a list; write [a, b]"),
        (
            "\nlisten:\n- 127.0.0.1\n- localhost:53\n",
            (
                'f:4: listen[1]: "localhost:53" is not an address; '
                "write it like 192.0.2.1:53 or [2001:db8::1]:53"
            ),
        ),
        (
            "listen: [53]",
            (
                "f:1: listen[0]: 53 is not an address; "
                "write it like 192.0.2.1:53 or [2001:db8::1]:53"
            ),
        ),
        (
            'listen: ["127.0.0.1:65536"]',
            'f:1: listen[0]: "127.0.0.1:65536" has no valid port; ports are 1 to 65535',
        ),
        (
            'listen: ["127.0.0.1:53", "[::1]:53", 127.0.0.1]',
            "f:1: listen[2]: 127.0.0.1:53 stands here twice",
        ),
        (
            'listen: ["127.0.0.1:53", "0.0.0.0:53"]',
            "f:1: listen[0]: 127.0.0.1:53 is part of 0.0.0.0:53; leave one out",
        ),
        (
            "allow: [all]",
            'f:1: allow[0]: "all" is not a network; write it like 192.0.2.0/24 or 2001:db8::/32',
        ),
        (
            "allow: [192.0.2.1/24]",
            'f:1: allow[0]: "192.0.2.1/24" has bits set behind the prefix; write 192.0.2.0/24',
        ),
        (
            'allow: ["::ffff:10.0.0.0/104"]',
            'f:1: allow[0]: "::ffff:10.0.0.0/104" is IPv4 in disguise; write the IPv4 network',
        ),
        ("nameservers: atuo", 'f:1: nameservers: "atuo" is neither auto nor a list'),
        (
            'nameservers: ["192.0.2.1:0"]',
            'f:1: nameservers[0]: "192.0.2.1:0" has no valid port; ports are 1 to 65535',
        ),
        (
            'nameservers: ["0.0.0.0"]',
            'f:1: nameservers[0]: "0.0.0.0" is not the address of one host',
        ),
        (
            'nameservers: ["192.0.2.1", "192.0.2.1:53"]',
            "f:1: nameservers[1]: 192.0.2.1#53 stands here twice",
        ),
        (
            'nameservers: ["127.0.0.1"]',
            "f:1: nameservers[0]: 127.0.0.1#53 is codns itself: a loop; see listen",
        ),
        (
            'zones:\n  a.example:\n    nameservers: ["127.0.0.1"]',
            (
                "f:3: zones.a.example.nameservers[0]: 127.0.0.1#53 is codns itself: a loop; "
                "see listen"
            ),
        ),
        (
            'listen: ["0.0.0.0:53"]\nnameservers: ["127.0.0.2", "[::1]:53", "127.0.0.1:5353"]',
            "f:2: nameservers[0]: 127.0.0.2#53 is codns itself: a loop; see listen",
        ),
        ("slaves: many", 'f:1: slaves: "many" is not a whole number, or auto'),
        ("slaves: 0", "f:1: slaves: 0 is out of range: 1 to 64, or auto"),
        ("slaves: true", "f:1: slaves: true is not a whole number, or auto"),
        ("zones: [a]", "f:1: zones: a list is not a mapping; write key: value"),
        ("zones: {a: 1}", "f:1: zones.a: 1 is not a mapping; its keys are nameservers, peers"),
        ('http: "off"', 'f:1: http: "off" is not a mapping; its keys are listen, hosts, details'),
        ("zones: {a..b: {}}", 'f:1: zones.a..b: "a..b" is not a domain name'),
        ("zones: {a.b: {}, A.B.: {}}", "f:1: zones.A.B.: stands here twice, written differently"),
        ("zones: {10: {}}", "f:1: zones: the key 10 is not text; put it in quotes"),
        (
            "private_zones: [10]",
            "f:1: private_zones[0]: 10 is not a domain name; write it in quotes",
        ),
        ("log: 5", "f:1: log: 5 is not a mapping; its keys are level, format, queries"),
        ("cache: {entries: -3}", "f:1: cache.entries: -3 is out of range: 1 to 10000000"),
        ("cache: {entries: 1.5}", "f:1: cache.entries: 1.5 is not a whole number"),
        (
            "cache: {max_ttl: soon}",
            'f:1: cache.max_ttl: "soon" is not a duration; write it like 200ms, 5s, 1h or 1d',
        ),
        (
            "cache: {max_ttl: 60}",
            "f:1: cache.max_ttl: 60 has no unit; write 60s, 60ms, 60m or 60h",
        ),
        ("cache: {max_ttl: 8d}", 'f:1: cache.max_ttl: "8d" is out of range: 1s to 7d'),
        (
            "cache: {max_ttl: 1500ms}",
            'f:1: cache.max_ttl: "1500ms" is not a whole number of seconds',
        ),
        (
            "cache:\n  min_ttl: 2h\n  max_ttl: 1h",
            "f:2: cache.min_ttl: 2h is more than cache.max_ttl, 1h",
        ),
        ("cache: {prefetch: yes}", 'f:1: cache.prefetch: "yes" is not true or false'),
        ("log: {level: off}", 'f:1: log.level: "off" is not one of debug, info, warning, error'),
        (
            "log: {level: warn}",
            (
                'f:1: log.level: "warn" is not one of debug, info, warning, error; '
                "did you mean warning?"
            ),
        ),
        ("- listen", "f:1: a list is not a mapping; write key: value"),
        (
            "slaves: 1\nlog: {}\nslaves: 2",
            ("f:3: slaves: stands here twice; the first is on line 1"),
        ),
    ],
)
def test_problem(text, said):
    assert problems(text) == [said]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &x [1]\nb: *x", "f:2: aliases (*name) are not allowed; write the value itself"),
        ("a: !foo 1", "f:1: tags (!name) are not allowed"),
        ("a: !!python/object:os.system x", "f:1: tags (!name) are not allowed"),
        ("[" * 5000, "f:1: nested too deeply"),
        ("a: !!int x", 'f:1: "x" is not a value'),
        (
            "listen: [::1]:53",
            (
                "f:1: not YAML: expected the node content, but found ':'; "
                "text with : or [ in it belongs in quotes"
            ),
        ),
        ("--- {}\n--- {}", "f:2: but found another document"),
        (
            "\0",
            "f: not YAML: unacceptable character #x0000: special characters are not allowed",
        ),
    ],
)
def test_no_yaml_of_ours(text, said):
    assert problems(text) == [said]


def test_all_problems_at_once_in_order_of_the_file():
    text = """
allow: [everybody]
cache: {min_ttl: 1d, max_ttl: x, entries: 0}
lisen: []
"""
    assert problems(text, {"log.level": "loud", "slaves": None}) == [
        'f:2: allow[0]: "everybody" is not a network; write it like 192.0.2.0/24 or 2001:db8::/32',
        'f:3: cache.max_ttl: "x" is not a duration; write it like 200ms, 5s, 1h or 1d',
        "f:3: cache.entries: 0 is out of range: 1 to 10000000",
        "f:4: lisen: unknown key; did you mean listen?",
        'command line: log.level: "loud" is not one of debug, info, warning, error',
    ]


def test_hostile_text_is_shown_on_one_short_line():
    for text in (
        '"a\\nb\\e[31m": 1',
        'log: {level: "a\\nb\\e[31m"}',
        f"log: {{level: {'x' * 9999}}}",
    ):
        (said,) = problems(text)
        assert said.isprintable()
        assert len(said) < 250


def test_a_wrong_value_is_not_also_a_contradiction():
    assert len(problems("cache: {min_ttl: 25h, max_ttl: 1s}")) == 1


@pytest.mark.parametrize("where", ["cache: 5", "cache: [1]"])
def test_an_override_in_a_broken_section(where):
    (said,) = problems(where, {"cache.entries": 5})
    assert said.startswith("f:1: cache: ")


def test_overrides_win_and_none_is_not_said():
    config = load.parse(
        "listen: [127.0.0.1]\nlog: {format: json}",
        {"listen": ("127.0.0.1:5300",), "log.level": "error", "slaves": None, "cache.stale": "0s"},
    )
    assert config.listen == ("127.0.0.1:5300",)
    assert config.log == LogSettings("error", "json")
    assert config.cache.stale == 0
    assert config.slaves == "auto"


def test_files(tmp_path):
    file, missing = tmp_path / "codns.yaml", tmp_path / "missing.yaml"
    file.write_text("slaves: 2\n")
    assert load.load(file).slaves == 2
    assert load.load(None, default=file).slaves == 2  # the default file, as it is there
    assert load.load(None, default=missing) == Config()
    for path, data, said in [
        (missing, None, "no such file; leave out -c to run with defaults"),
        (tmp_path, None, "cannot be read: Is a directory"),
        (file, b"a: \xff", "not UTF-8 at byte 3"),
        (file, b"#" * (load.FILE_SIZE_MAX + 1), "larger than 1 MiB: that is no configuration"),
    ]:
        if data is not None:
            file.write_bytes(data)
        with pytest.raises(ConfigError) as caught:
            load.load(path)
        assert str(caught.value) == f"{path}: {said}"


def test_example_is_the_defaults_and_has_every_key():
    assert load.load(EXAMPLE) == Config()
    text = EXAMPLE.read_text()
    lines = ["  " * path.count(".") + path.rpartition(".")[2] + ":" for path in keys()]
    for line in lines:  # `listen` is a key of two sections
        found = [row for row in text.splitlines() if row.startswith(line)]
        assert len(found) == lines.count(line), line
    for struct in (ZoneSettings,):  # under names of the user's choice: documented in comments
        for field in msgspec.structs.fields(struct):
            assert f"#     {field.name}: " in text


def test_reading_back_what_is_kept():
    """Kept values are valid input: `codns check --json` can be turned into a file again."""
    config = load.parse('nameservers: ["[2001:db8::1]:5353"]\nzones: {a.example: {peers: false}}')
    said = msgspec.to_builtins(config)
    for section in ("cache",):
        for key in ("min_ttl", "max_ttl", "max_negative_ttl", "stale"):
            said[section][key] = f"{said[section][key]}s"
    for section, key in [
        ("race", "initial_delay"),
        ("race", "initial_delay_min"),
        ("peers", "heartbeat"),
    ]:
        said[section][key] = f"{said[section][key]}s"
    said["race"]["budget"] = f"{100 * said['race']['budget']}%"
    said["log"]["queries"] = f"{100 * said['log']['queries']}%"
    said["peers"]["nodes"] = list(said["peers"]["nodes"])
    said["http"]["hosts"] = list(said["http"]["hosts"])
    said["rate_limit"]["exempt"] = list(said["rate_limit"]["exempt"])
    assert load.parse("", said) == config


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rate_limit: {queries: 100}", []),
        ("rate_limit: {burst: 5}", ["rate_limit: without rate_limit.queries nobody is limited"]),
        (
            'rate_limit: {queries: 1k, exempt: [127.0.0.0/8, "::/0"]}',
            ["rate_limit.exempt: holds all of allow, so nobody is limited"],
        ),
        ("rate_limit: {queries: 1k, exempt: [127.0.0.0/8]}", []),
    ],
)
def test_a_rate_limit_that_limits_nobody(text, said):
    assert rules.warnings(load.parse(text)) == said


@pytest.mark.parametrize("key", ["queries: 0", "burst: none", "ipv4_prefix: 8", "ipv6_prefix: 32"])
def test_rate_limits_out_of_range(key):
    with pytest.raises(ConfigError, match=rf"^rate_limit\.{key.partition(':')[0]}: "):
        load.parse(f"rate_limit: {{{key}}}")
