"""A web server with a made-up fleet behind it: 1,000 peers, a path that failed, races."""

import random
import threading

import trio

from codns.config.schema import Config, HttpSettings
from codns.core.node import Node
from codns.core.peer_state import Why
from codns.core.settings import Settings
from codns.master.http_app import App
from codns.master.http_connection import HttpLimits, Turns
from codns.master.http_server import BACKLOG, HttpServer
from codns.master.sockets import bind_tcp

PEERS = 1_000
NEIGHBOURS = 10
HOSTILE = "<img src=x onerror=alert(1)>.example."


class FleetNode:
    """What the app asks a node, of a fleet that was never there."""

    def __init__(self, peers=PEERS):
        self.rng = random.Random(4)
        real = Node(Settings(nameservers=("192.0.2.1#53", "192.0.2.2#53")), self.rng, 0.0)
        self._status = real.status(0.0)
        self._peers = [self._peer(number) for number in range(peers)]

    def _peer(self, number):
        near = number < NEIGHBOURS
        rtt = self.rng.uniform(0.001, 0.03) if near else self.rng.uniform(0.03, 0.2)
        why = Why.ELIGIBLE if near else Why.NOT_NEIGHBOUR
        if number in (3, 7):
            why = (Why.FAILING, Why.BUSY)[number == 7]
        if number > 900:
            why = Why.DOWN
        known = why is not Why.DOWN
        return {
            "peer": f"10.{number // 250}.{number % 250}.7:7353",
            "neighbour": near,
            "why": why.value,
            "rtt_s": rtt if known else None,
            "nameserver_s": self.rng.uniform(0.002, 0.04) if known else None,
            "score_s": rtt + 0.01 if known else None,
            "up": known,
            "failing": why is Why.FAILING,
            "full": False,
            "busy": why is Why.BUSY,
            "validates": False,
            "heard_ago_s": self.rng.uniform(0, 2) if known else None,
        }

    def status(self, now):
        told = dict(self._status)
        told["uptime_s"] = 3 * 86400 + 5 * 3600
        told["answers"] = {**told["answers"], "cache": 1_204_000, "local": 311_000, "peer": 9_400}
        told["cache"] = {**told["cache"], "entries": 153_211, "bytes": 71 << 20}
        told["clients"] = {"outstanding": 12, "lookups": 9}
        told["nameservers"][0].update(up=True, srtt_s=0.0041, sent=311_000, timeouts=912)
        told["nameservers"][1].update(up=False, srtt_s=0.3, sent=4_100, timeouts=3_500)
        told["cooperation"] = {
            "me": "10.9.9.9:7353", "listed": True, "policy": "adaptive",
            "initial_delay_s": 0.0185,
            "path": {"state": "recovering", "why": "good probes", "for": 42.0, "for_s": 42.0,
                     "share": 0.5, "samples": {"won": 11, "lost": 3}},
            "zones": {},
            "budget": {"tokens": 43.2, "capacity": 50.0, "per_miss": 0.1, "taken": 9000,
                       "refunded": 8500, "denied": 3, "undecided": 1},
            "remote": {"sent": 12_400, "in_flight": 2, "won": 9_400, "lost": 2_800,
                       "failed": 120, "busy": 30, "timeout": 50},
            "suppressed": {"private": 80, "budget": 3}, "saved_s": 7_260.0,
            "served": {"answered": 5_000, "busy": 12, "window": 32}, "validates": False,
            "neighbours": NEIGHBOURS, "peers": len(self._peers), "peers_up": 9, "seats": 11,
            "slow_domains": 2, "learned_zones": 1,
        }  # fmt: skip
        return told

    def peers_rows(self, now):
        for start in range(0, len(self._peers), 128):
            yield self._peers[start : start + 128]

    def recent_races(self, now):
        return [self._race(number) for number in range(20)]

    def _race(self, number):
        name = HOSTILE if number == 19 else f"www{number}.example.com."
        first, second = self._peers[number % 5]["peer"], self._peers[5]["peer"]
        events = [
            {"at_s": 0.0, "who": "local", "what": "asked"},
            {"at_s": 0.0185, "who": first, "what": "asked"},
        ]
        winner = first
        if number % 3 == 0:
            events.append({"at_s": 0.06, "who": second, "what": "asked"})
            events.append({"at_s": 0.071, "who": first, "what": "servfail"})
            events.append({"at_s": 0.093, "who": second, "what": "answered"})
            winner = second
        else:
            events.append({"at_s": 0.0312, "who": first, "what": "answered"})
        if number % 4 == 1:
            events.append({"at_s": 0.8, "who": "local", "what": "timeout"})
        return {
            "ago_s": 200.0 - 10 * number, "name": name, "type": (1, 28, 65)[number % 3],
            "route": "race", "delay_s": 0.0185, "winner": winner, "events": events,
        }  # fmt: skip

    def slow_names(self, now):
        return [{"ago_s": 3.0, "name": "slow.example.", "type": 1, "source": "peer",
                 "took_s": 0.4}]  # fmt: skip

    def history(self):
        rng = random.Random(5)
        steps = []
        for number in range(110):
            bad = 60 <= number < 80
            path = "failing" if bad else "recovering" if 80 <= number < 90 else "healthy"
            buckets = [0] * 17
            for _ in range(60):
                buckets[rng.choice((8, 9, 10)) if bad and rng.random() < 0.1 else
                        rng.choice((3, 4, 4, 5, 5, 6))] += 1  # fmt: skip
            steps.append(
                {
                    "ago_s": 5.0 * (110 - number),
                    "seconds": 5.0,
                    "answers": {
                        "cache": rng.randrange(900, 1100),
                        "local": 40 if bad else 250,
                        "peer": 210 if bad else 6,
                        "stale": 12 if bad else 0,
                        "special": 3,
                        "error": 0,
                    },
                    "buckets": buckets,
                    "path": path,
                    "initial_delay_s": 0.0 if bad else 0.0185,
                }
            )
        return steps


class FleetInside:
    """An `http_app.Inside` of it. `details`: as `http.details`."""

    def __init__(self, *, details=False, peers=PEERS):
        self.node = FleetNode(peers)
        self.config = Config(http=HttpSettings(details=details))
        self.problems = []
        self.reloads = 0

    def clock(self):
        return 1000.0

    def history(self):
        return self.node.history()

    async def run(self):
        await trio.sleep_forever()

    def shell(self):
        return {
            "version": "0.1.0", "python": "3.11.7", "pid": 4711, "listen": ["127.0.0.1:53"],
            "nameservers_from": "/etc/resolv.conf", "config": None, "ailing": self.problems,
            "unready": [], "slaves": {"up": 2, "wanted": 2, "restarts": 0, "outstanding": 3},
            "tcp": {"connections": 0}, "loop": {"late_s": 0.001, "turn_s": 0.002,
            "longest_turn_s": 0.004}, "http": {"listen": "127.0.0.1:9853", "control": None},
            "log": {"lost": 0}, "reload": None, "link": None,
        }  # fmt: skip

    def ailing(self):
        return self.problems

    def unready(self):
        return []

    def reload(self):
        self.reloads += 1
        return []


class WebThread:
    """It, served on loopback by a thread of its own."""

    def __init__(self, inside, *, limits=None, trusted=False):
        self.inside = inside
        self.log = []
        self._sock = bind_tcp("127.0.0.1:0", "http.listen", BACKLOG)
        self.address = self._sock.getsockname()
        self.url = "http://{}:{}/".format(*self.address)
        self._limits = limits or HttpLimits()
        self._trusted = trusted
        self._token = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._serve,))
        self._thread.start()
        self._started.wait()

    async def _serve(self):
        self._token = trio.lowlevel.current_trio_token()
        self._scope = trio.CancelScope()
        self.server = HttpServer(
            App(self.inside),
            lambda *line: self.log.append(line),
            Turns(),
            trusted=self._trusted,
            limits=self._limits,
            hosts=lambda: self.inside.config.http.hosts,
        )
        with self._scope:
            self._started.set()
            await self.server.serve(self._sock)

    def close(self):
        self._token.run_sync_soon(self._scope.cancel)
        self._thread.join()
