"""`codns status`: how is the daemon, who answers, how are its nameservers and its peers?"""

from pathlib import Path
from typing import Any, Final

import click

from codns.cli import control
from codns.cli.output import Common, print_json
from codns.cli.screen import Cell, Row, Section, show
from codns.cli.words import NOTHING, count, lasted, quantile, share, size, took

Told = dict[str, Any]

# Longest first in people's minds: who answers
SOURCES: Final = {
    "cache": "fresh from the cache",
    "local": "our own nameserver",
    "peer": "a peer",
    "stale": "expired, but better than nothing",
    "special": "localhost and the like",
    "error": "no answer to be had",
}
PATH_STYLES: Final = {"healthy": "good", "failing": "bad", "recovering": "warn"}


@click.command(params=control.common_options())
@click.pass_obj
def status(common: Common, path: Path | None) -> None:
    """Tell how the running daemon is."""
    told = control.daemon(common, path).get("/v1/summary")
    if common.json:
        print_json(told)
        return
    show(
        [
            Section(f"codns {told['version']}", _daemon(told)),
            answers(told),
            nameservers(told),
            Section("cache", _cache(told)),
            Section("peers", cooperation(told["cooperation"])),
            Section("dropped and refused", _drops(told)),
        ]
    )


def _daemon(told: Told) -> list[Row]:
    problems = [*told["ailing"], *told["unready"]]
    well: Cell = ("; ".join(problems), "bad") if problems else ("ready", "good")
    rows: list[Row] = [
        ("state", well),
        ("up", f"{lasted(told['uptime_s'])}, pid {told['pid']}"),
        ("listens on", ", ".join(told["listen"])),
        ("clients", f"{told['clients']['outstanding']} waiting"),
    ]
    slaves, loop, reload = told["slaves"], told["loop"], told["reload"]
    restarts = f", {slaves['restarts']} restarts" if slaves["restarts"] else ""
    rows.append(("slaves", f"{slaves['up']} of {slaves['wanted']} up{restarts}"))
    late = f"{took(loop['late_s'])} late at most lately, longest turn {took(loop['turn_s'])}"
    rows.append(("event loop", late))
    if told["http"]["listen"]:
        rows.append(("status page", f"http://{told['http']['listen']}/"))
    if reload is not None:
        failed = "; ".join(reload["problems"])
        said: Cell = (f"failed: {failed}", "bad") if failed else "done"
        rows.append(("last reload", said))
    return rows


def answers(told: Told) -> Section:
    """Return the table of who answered."""
    whole = sum(told["answers"].values())
    rows: list[Row] = []
    for source, meaning in SOURCES.items():
        number = told["answers"].get(source, 0)
        buckets = told["durations"].get(source, {}).get("buckets", ())
        style = "bad" if source == "error" and number else "strong"
        rows.append(
            (
                (source, style),
                count(number),
                share(number, whole),
                took(quantile(buckets, 0.5)),
                took(quantile(buckets, 0.99)),
                (meaning, "weak"),
            )
        )
    return Section("answers", rows, ("", "answers", "share", "median", "p99", ""), (1, 2, 3, 4))


def nameservers(told: Told) -> Section:
    """Return the table of nameservers."""
    rows: list[Row] = []
    for server in told["nameservers"]:
        state: Cell = ("up", "good") if server["up"] else ("down", "bad")
        if server["looped"]:
            state = ("leads back here", "bad")
        lost = share(server["timeouts"], server["sent"])
        rows.append(
            (server["address"], state, took(server["srtt_s"]), count(server["sent"]), lost)
        )
    origin = f" (from {told['nameservers_from']})" if rows else ""
    header = ("", "state", "time", "asked", "lost")
    return Section(f"nameservers{origin}", rows or [(("none", "bad"),)], header, (2, 3, 4))


def _cache(told: Told) -> list[Row]:
    cache = told["cache"]
    asked = cache["hits"] + cache["misses"]
    return [
        ("entries", f"{count(cache['entries'])}, {size(cache['bytes'])}"),
        ("hits", f"{count(cache['hits'])}, {share(cache['hits'], asked)} of what was asked"),
        ("joined", f"{count(cache['coalesced'])} waited for the same answer as another"),
        ("prefetched", count(cache["prefetches"])),
        ("evicted", count(cache["evictions"])),
    ]


def cooperation(said: Told | None) -> list[Row]:
    """Return the rows of what goes on with peers."""
    if said is None:
        return [("off", ("peers.listen is not set", "weak"))]
    path, remote, budget, served = said["path"], said["remote"], said["budget"], said["served"]
    style = PATH_STYLES.get(path["state"], "")
    since = lasted(path.get("for_s", path.get("for")))
    if said["initial_delay_s"] is None:
        delay = f"none: race.policy is {said['policy']}"
    else:
        delay = f"{took(said['initial_delay_s'])} ({said['policy']})"
    held = {reason: n for reason, n in said["suppressed"].items() if n}
    back = ", ".join(f"{count(n)} {reason.replace('_', ' ')}" for reason, n in held.items())
    near, saved_s = said["neighbours"], said["saved_s"]
    saved = took(saved_s) if saved_s < 60 else lasted(saved_s)
    rows: list[Row] = [
        ("this node", said["me"] + ("" if said["listed"] else ", not in its own list")),
        ("local path", (f"{path['state']} for {since} ({path['why']})", style)),
        ("initial delay", delay),
        ("neighbours", f"{said['peers_up']} of {near} up, {said['peers']} peers listed"),
        ("asked peers", ", ".join(f"{count(remote[k])} {k}" for k in remote if remote[k]) or "0"),
        ("not asked", back or "0"),
        ("saved", f"{saved} of clients' waiting"),
        ("budget", f"{budget['tokens']:.1f} of {budget['capacity']:.0f} tokens"),
    ]
    served_rows = {k: n for k, n in served.items() if isinstance(n, int) and n and k != "window"}
    helped = ", ".join(f"{count(n)} {k.replace('_', ' ')}" for k, n in served_rows.items())
    rows.append(("for peers", helped or NOTHING))
    return rows


def _drops(told: Told) -> list[Row]:
    rows: list[Row] = []
    for title, table in (("dropped", told["drops"]), ("refused", told["refusals"])):
        rows += [(title, count(n), reason) for reason, n in table.items() if n]
    return rows
