"""The programs under test, configured as a good operator would for this task.

Each alternative comes twice: a node knows its own site's nameserver only ("one site"), or those
of all four sites, its own first ("all sites"), which few organisations open to each other. What
is set beyond the defaults, and why:

  SmartDNS  `response-mode fastest-response` and no speed check: the first answer of all servers
            wins, which is what it does best. Expired answers are served. No prefetch: it would ask
            for every expiring name at every server.
  unbound   expired answers after 1.8 s (its manual, RFC 8767); prefetch; `infra-keep-probing`, or
            one outage turns it away for a quarter of an hour; `infra-cache-min-rtt 200`, or names
            that take 150 ms are SERVFAIL (it asks again and drops what comes for the query
            before); `discard-timeout 0`, or its client is left without any answer after 1.9 s.
            With all sites `fast-server-permil 900`.
  dnsmasq   `--all-servers` and `--use-stale-cache`; `--fast-dns-retry` from 300 ms on, as it
            otherwise leaves retransmission to the client, whose 5 s all would see.
  dnsdist   a packet cache that serves stale answers while no server is up; health checks each
            second, a server down after the first missed, in 500 ms. With all sites
            `leastOutstanding`. It never retransmits.
  kresd     `serve_stale` and `predict`; `FORWARD` picks servers by their times (`STUB` does not
            cache).

None validates, and nothing but memory limits any. codns runs with its defaults and one slave a
node: sixteen nodes share two processors here.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from bench import servers
from bench.masking.load import ZONE
from bench.servers import Server, free_address, program
from codns.config.schema import Config
from codns.peer.keyfile import generate

Address = tuple[str, int]
NODES: Final = 4
POLICIES: Final = ("off", "codns2004", "adaptive")


def smartdns(folder: Path, upstreams: Sequence[Address]) -> Server:
    """All servers at once, the first answer wins."""
    host, port = free_address()
    lines = [
        f"bind {host}:{port}",
        f"bind-tcp {host}:{port}",
        "cache-size 100000",
        "cache-persist no",
        "speed-check-mode none",
        "response-mode fastest-response",
        "dualstack-ip-selection no",
        "serve-expired yes",
        "serve-expired-ttl 86400",
        "serve-expired-reply-ttl 30",
        "log-level error",
        f"log-file {folder}/smartdns-{port}.own",
        *(f"server {name}:{number}" for name, number in upstreams),
    ]
    config = folder / f"smartdns-{port}.conf"
    config.write_text("\n".join([*lines, ""]))
    command = [program("smartdns"), "-f", "-c", str(config), "-p", f"{folder}/smartdns-{port}.pid"]
    return Server("smartdns", command, (host, port), folder)


def unbound(folder: Path, upstreams: Sequence[Address]) -> Server:
    """One server a query, the quick ones more often; the next after a time-out."""
    host, port = free_address()
    lines = [
        "server:",
        f"  interface: {host}",
        f"  port: {port}",
        *('  username: ""', '  chroot: ""', '  pidfile: ""', f"  directory: {folder}"),
        *("  use-syslog: no", "  do-daemonize: no", "  do-ip6: no", "  num-threads: 1"),
        "  do-not-query-localhost: no",
        '  module-config: "iterator"',
        *("  outgoing-range: 4096", "  num-queries-per-thread: 4096"),
        *("  prefetch: yes", "  serve-expired: yes", "  serve-expired-ttl: 86400"),
        *("  serve-expired-client-timeout: 1800", "  serve-expired-reply-ttl: 30"),
        *("  infra-keep-probing: yes", "  infra-cache-min-rtt: 200", "  discard-timeout: 0"),
        *(["  fast-server-permil: 900"] if len(upstreams) > 1 else []),
        *("remote-control:", "  control-enable: no"),
        *("forward-zone:", "  name: ."),
        *(f"  forward-addr: {name}@{number}" for name, number in upstreams),
    ]
    config = folder / f"unbound-{port}.conf"
    config.write_text("\n".join([*lines, ""]))
    return Server("unbound", [program("unbound"), "-d", "-c", str(config)], (host, port), folder)


def dnsmasq(folder: Path, upstreams: Sequence[Address]) -> Server:
    """All servers at once, the first answer wins."""
    host, port = free_address()
    command = [program("dnsmasq"), "-k", "-p", str(port), f"--listen-address={host}"]
    command += ["--bind-interfaces", "-C", "/dev/null", "--no-resolv", "--no-hosts", "-u", "root"]
    command += ["-c", "10000", "--dns-forward-max=5000", "--pid-file=", "--all-servers"]
    command += ["--use-stale-cache", "--fast-dns-retry=300"]
    for name, number in upstreams:
        command += ["-S", f"{name}#{number}"]
    return Server("dnsmasq", command, (host, port), folder)


def dnsdist(folder: Path, upstreams: Sequence[Address]) -> Server:
    """One server a query; failing ones are found by checks."""
    host, port = free_address()
    check = f'checkName="{ZONE}", checkType="SOA", checkInterval=1, checkTimeout=500'
    lines = [
        'setSecurityPollSuffix("")',
        f'setLocal("{host}:{port}")',
        *(
            f'newServer({{address="{name}:{number}", {check}, maxCheckFailures=1}})'
            for name, number in upstreams
        ),
        'getPool(""):setCache(newPacketCache(100000, {staleTTL=30, keepStaleData=true}))',
        "setStaleCacheEntriesTTL(86400)",
        "setServerPolicy(leastOutstanding)",
    ]
    config = folder / f"dnsdist-{port}.lua"
    config.write_text("\n".join([*lines, ""]))
    command = [program("dnsdist"), "-C", str(config), "--supervised", "--disable-syslog"]
    return Server("dnsdist", command, (host, port), folder)


def kresd(folder: Path, upstreams: Sequence[Address]) -> Server:
    """One server a query, by their times; the next after a time-out."""
    host, port = free_address()
    home = folder / f"kresd-{port}"
    home.mkdir()
    targets = ", ".join(f"'{name}@{number}'" for name, number in upstreams)
    lines = [
        f"net.listen('{host}', {port}, {{ kind = 'dns' }})",
        "trust_anchors.remove('.')",
        "modules.unload('ta_sentinel')",
        "modules = { 'serve_stale < cache', 'predict' }",
        "cache.size = 100 * MB",
        f"policy.add(policy.all(policy.FORWARD({{{targets}}})))",
    ]
    config = home / "kresd.conf"
    config.write_text("\n".join([*lines, ""]))
    command = [program("kresd"), "-n", "-c", str(config), str(home)]
    return Server("kresd", command, (host, port), folder)


ALTERNATIVES: Final[dict[str, Callable[[Path, Sequence[Address]], Server]]] = {
    "smartdns": smartdns,
    "unbound": unbound,
    "dnsmasq": dnsmasq,
    "dnsdist": dnsdist,
    "kresd": kresd,
}


class System(NamedTuple):
    """What one row of the table is about."""

    program: str
    variant: str  # codns: the policy; others: "one site" or "all sites"

    @property
    def label(self) -> str:
        """In tables."""
        return f"{self.program}, {self.variant}"


def systems(programs: Sequence[str], policies: Sequence[str]) -> list[System]:
    """In the order in which they run."""
    found = [System("codns", policy) for policy in policies if "codns" in programs]
    for name in ALTERNATIVES:
        if name in programs:
            found += [System(name, "one site"), System(name, "all sites")]
    return found


def codns_configs(
    folder: Path, nameservers: Sequence[Address], policy: str
) -> list[tuple[Address, Path]]:
    """A configuration for each node: where it listens, and the file."""
    known = set(Config.__struct_fields__)
    key = folder / f"key-{free_address()[1]}"
    key.write_text(generate())
    key.chmod(0o600)
    peers = [free_address() for _ in nameservers]
    found = []
    for nameserver, peer in zip(nameservers, peers, strict=True):
        host, port = free_address()
        state = folder / f"codns-{port}"
        state.mkdir()
        document: dict[str, object] = {
            "listen": [f"{host}:{port}"],
            "nameservers": [f"{nameserver[0]}:{nameserver[1]}"],
            "slaves": 1,
            "race": {"policy": policy},
            "peers": {
                "listen": f"{peer[0]}:{peer[1]}",
                "nodes": [f"{name}:{number}" for name, number in peers],
                "key_file": str(key),
            },
            "state_dir": str(state),
            "control": str(state / "control.sock"),
            "http": {"listen": None},
        }
        # a daemon without a control socket yet has no key for it either
        kept = {name: value for name, value in document.items() if name in known}
        file = state / "codns.yaml"
        file.write_text(json.dumps(kept))  # JSON is YAML
        found.append(((host, port), file))
    return found


def start_fleet(
    system: System, folder: Path, nameservers: Sequence[Address], stack: ExitStack
) -> list[Server]:
    """Four nodes, each in front of its own nameserver; not waited for. They end with `stack`."""
    if system.program == "codns":
        return [
            stack.enter_context(
                servers.codns(folder, [], address=address, options=["--config", str(file)])
            )
            for address, file in codns_configs(folder, nameservers, system.variant)
        ]
    start = ALTERNATIVES[system.program]
    found = []
    for i, own in enumerate(nameservers):
        others = [*nameservers[i + 1 :], *nameservers[:i]] if system.variant == "all sites" else []
        found.append(stack.enter_context(start(folder, [own, *others])))
    return found
