"""resolv.conf: the site's nameservers, and who they are when the file points at codns.

The file is read as glibc reads it (res_init.c): a keyword stands at the start of a line and is
followed by a space or tab, `;` and `#` are comments only at the start of a line, a nameserver is
one address (old forms like 127.1 too) and what follows it is ignored, the last of `search` and
`domain` wins. Unlike glibc, which asks the first three, all nameservers count.

`discover` then leaves out what would be a loop:
  1. codns' own addresses: a listen address, or any address of this host for a wildcard one, and
     the same port (another resolver on another port or loopback address is a fine nameserver);
  2. systemd-resolved's stub: the file with its real upstreams is read instead (RULES 10.1);
  3. a file that `codns resolvconf install` wrote holds a copy of the nameservers there were. The
     original beside it comes first, since it may be a link to a file that is kept up to date; a
     file that holds only ourselves is taken for such a one.
"""

import errno
import os
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from codns.config.paths import ORIGINAL, RESOLV_CONF, RESOLVED_STUB, RESOLVED_UPLINK
from codns.config.units import DNS_PORT, parse_endpoint, parse_name, split_server

FILE_SIZE_MAX: Final = 1 << 16
NAMESERVERS_MAX: Final = 16  # each costs every slave 512 sockets (RULES 9.2)
SEARCH_MAX: Final = 64
INSTALLED: Final = b"# codns-resolvconf:"  # how the file begins that cli/resolvconf.sh writes
_OWN_LIMITS: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # nothing is wrong with the file
STUB_ADDRESSES: Final = frozenset({"127.0.0.53", "127.0.0.54"})  # systemd-resolved(8)


class ResolvConf(NamedTuple):
    """What a file says: nameservers as "192.0.2.1#53".

    `search` is the list in force; `domains` are all search and domain entries, also those that a
    later line replaced, as names in lower case with a trailing dot.
    """

    nameservers: list[str]
    search: list[str]
    domains: list[str]
    options: list[str]
    warnings: list[str]

    @property
    def trust_ad(self) -> bool:
        """Does the stub believe the AD bit of these nameservers (resolv.conf(5))?"""
        return "trust-ad" in self.options


class Discovery(NamedTuple):
    """What was found. `source` is the file the nameservers are from.

    `search` holds every search and domain entry on the way, for the private zones. A change of
    any file in `watched` (existing or not) may change the outcome. `unread`: for want of a
    descriptor or memory a file was not read: what it says is not known.
    """

    nameservers: list[str]
    search: list[str]
    warnings: list[str]
    source: Path
    watched: tuple[Path, ...]
    unread: bool


def is_local(address: str) -> bool:
    """Tell whether `address` is one of this host's: only those can be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address.partition("%")[0], 0))
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class Places:
    """Where things are; another root in tests."""

    resolv_conf: Path = RESOLV_CONF
    stub: Path = RESOLVED_STUB
    uplink: Path = RESOLVED_UPLINK
    original: Path = ORIGINAL
    is_local: Callable[[str], bool] = field(default=is_local)


def parse(text: str) -> ResolvConf:
    """Return what the text of a resolv.conf says."""
    conf = ResolvConf([], [], [], [], [])
    for number, line in enumerate(text.split("\n"), 1):
        keyword, rest = _split(line)
        if keyword == "nameserver":
            server = _nameserver(rest.split()[0]) if rest else None
            if server is None:
                conf.warnings.append(f"line {number}: {line.strip()[:80]!r} has no address")
            elif server not in conf.nameservers:
                conf.nameservers.append(server)
        elif keyword in ("search", "domain"):
            words = rest.split() if keyword == "search" else rest.split()[:1]
            if words:  # an empty line leaves the list as it was
                conf.search[:] = _domains(words, number, conf.warnings)
                conf.domains.extend(name for name in conf.search if name not in conf.domains)
        elif keyword == "options":
            conf.options.extend(rest.split())
    if len(conf.nameservers) > NAMESERVERS_MAX:
        conf.warnings.append(f"more than {NAMESERVERS_MAX} nameservers: the rest is not used")
        del conf.nameservers[NAMESERVERS_MAX:]
    del conf.domains[SEARCH_MAX:]
    return conf


def _split(line: str) -> tuple[str, str]:
    for keyword in ("nameserver", "search", "domain", "options"):
        if line.startswith((f"{keyword} ", f"{keyword}\t")):
            return keyword, line[len(keyword) :].strip()
    return "", ""


def _nameserver(word: str) -> str | None:
    """Return "address#53". inet_aton first, as glibc: 127.1 and 0x7f000001 are addresses."""
    try:
        return f"{socket.inet_ntoa(socket.inet_aton(word))}#{DNS_PORT}"
    except (OSError, ValueError):  # a zero byte is a ValueError
        pass
    if word.count(":") < 2 or "[" in word or "#" in word:
        return None
    try:
        host, port = parse_endpoint(word)
    except ValueError:
        return None
    return f"{host}#{port}"


def _domains(words: list[str], number: int, warnings: list[str]) -> list[str]:
    found = []
    for word in words:
        try:
            name = parse_name(word)
        except ValueError:
            warnings.append(f"line {number}: {word[:80]!r} is not a domain name")
            continue
        if name != "." and name not in found:
            found.append(name)
    return found


def read(path: Path) -> ResolvConf:
    """Return what the file says; OSError when it cannot be read."""
    with path.open("rb") as file:
        data = file.read(FILE_SIZE_MAX)
    return parse(data.decode("utf-8", "replace"))


def is_installed(path: Path) -> bool:
    """Tell whether `codns resolvconf install` wrote the file."""
    try:
        with path.open("rb") as file:
            return file.read(len(INSTALLED)) == INSTALLED
    except OSError:
        return False


def is_own(server: str, own: Collection[str], local: Callable[[str], bool] = is_local) -> bool:
    """Tell whether "192.0.2.1#53" is one of our listen addresses ("127.0.0.1:53", "[::]:53")."""
    host, port = split_server(server)
    if host in ("0.0.0.0", "::"):  # noqa: S104 - the kernel takes it for loopback
        host = "::1" if host == "::" else "127.0.0.1"
    for mine, mine_port in map(parse_endpoint, own):
        if mine_port != port or (":" in mine) != (":" in host):
            continue
        if mine == host or (mine in ("0.0.0.0", "::") and local(host)):  # noqa: S104
            return True
    return False


def discover(
    path: Path | None = None, own: Collection[str] = (), places: Places | None = None
) -> Discovery:
    """Return the nameservers of this site without ourselves (see above).

    `own` are the listen addresses. Never raises for what the files hold or lack: no nameserver is
    an outcome, told in `warnings`.
    """
    places = places or Places()
    path = path or places.resolv_conf
    search = _Search(own, places)
    source = path
    nameservers = search.look(places.original) if is_installed(path) else []
    if nameservers:
        source = places.original
    else:
        nameservers = search.look(path)
    if not nameservers and search.only_own:
        source = places.original
        nameservers = search.look(places.original)
    if search.uplink_used:
        source = places.uplink
    if not nameservers:
        search.warnings.append("no nameserver found: set nameservers in the configuration")
    watched = (path, places.uplink, places.original)
    return Discovery(nameservers, search.domains, search.warnings, source, watched, search.unread)


class _Search:
    """The files looked at so far, and what they gave."""

    def __init__(self, own: Collection[str], places: Places) -> None:
        self.own = own
        self.places = places
        self.domains: list[str] = []
        self.warnings: list[str] = []
        self.only_own = False  # there were nameservers, all of them ourselves
        self.uplink_used = False
        self.unread = False

    def look(self, path: Path) -> list[str]:
        """Return the usable nameservers of a file, by way of resolved's if it is a stub's."""
        servers = self._read(path)
        if servers is None:
            return []
        if self._is_stub(path, servers):
            uplinks = self._read(self.places.uplink)
            if uplinks:
                self.uplink_used = True
                servers = uplinks
            elif not all(is_own(s, self.own, self.places.is_local) for s in servers):
                self.warnings.append(
                    f"{path} names the stub of systemd-resolved and {self.places.uplink} has no "
                    "nameserver: the stub is asked"
                )
        usable = [s for s in servers if not is_own(s, self.own, self.places.is_local)]
        self.only_own = bool(servers) and not usable
        return usable

    def _is_stub(self, path: Path, servers: list[str]) -> bool:
        hosts = {split_server(server)[0] for server in servers}
        return bool(hosts) and (
            os.path.realpath(path) == os.path.realpath(self.places.stub) or hosts <= STUB_ADDRESSES
        )

    def _read(self, path: Path) -> list[str] | None:
        try:
            conf = read(path)
        except OSError as error:
            self.warnings.append(f"{path}: {error.strerror}")
            self.unread = self.unread or error.errno in _OWN_LIMITS
            return None
        self.domains.extend(name for name in conf.domains if name not in self.domains)
        self.warnings.extend(f"{path}: {warning}" for warning in conf.warnings)
        return conf.nameservers


Fingerprint = tuple[str, int, int, int, int] | None


def fingerprint(path: Path) -> Fingerprint:
    """Return what changes when the file, or what a link of its name points at, changes.

    (text of the link or "", device, inode, mtime in ns, size), None if there is no file.
    """
    try:
        link = str(path.readlink()) if path.is_symlink() else ""
        seen = path.stat()
    except OSError:
        return None
    return link, seen.st_dev, seen.st_ino, seen.st_mtime_ns, seen.st_size
