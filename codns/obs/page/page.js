// The status page: asks the daemon every few seconds and shows what it says. Nothing is changed
// from here, and nothing is asked of anybody else.
import { answers, latency } from "./charts.js";
import { el, find, put, table } from "./dom.js";
import { races } from "./races.js";
import { count, lasted, quantile, rate, share, took } from "./words.js";

const EVERY_MS = 2500, ALL_EVERY_MS = 10000, PATIENCE_MS = 5000;
const PEER_HEADER = ["Peer", "State", "RTT", "Its nameserver", "Score", "Heard"];
const BAD = ["down", "failing", "missed", "unanswering"];

let heard = 0;
let allPeers = [], allAt = 0, sortBy = 0, descending = false;

async function ask(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

async function look() {
  try {
    const [told, near, steps] = await Promise.all([
      ask("v1/summary"), ask("v1/peers?neighbours=1"), ask("v1/history"),
    ]);
    heard = Date.now();
    show(told, near, steps);
    if (find("all").open && heard - allAt > ALL_EVERY_MS) await lookAtAll();
  } catch (error) {
    badge("no answer from the daemon", "bad");
  }
  find("age").textContent = heard ? `as of ${new Date(heard).toLocaleTimeString()}` : "";
  setTimeout(look, document.hidden ? 4 * EVERY_MS : EVERY_MS);
}

function badge(text, kind) {
  const node = find("state");
  if (node.textContent !== text) node.textContent = text;
  node.className = `badge ${kind}`;
}

function show(told, near, steps) {
  const problems = [...told.ailing, ...told.unready];
  const path = told.cooperation && told.cooperation.path.state;
  if (problems.length) badge(problems.join("; "), "bad");
  else if (path === "failing") badge("local path failing, peers help", "warn");
  else if (path === "recovering") badge("local path recovering", "warn");
  else badge("ready", "good");
  const who = told.cooperation ? told.cooperation.me : told.listen.join(", ");
  find("who").textContent = `${told.version} on ${who}`;
  document.title = `codns ${who}`;
  tiles(told, steps);
  latency(steps);
  answers(steps);
  servers(told);
  peers(told, near);
  find("races-section").hidden = !told.cooperation;
  races(told.races, told.named);
}

function tiles(told, steps) {
  const recent = steps.slice(-12);
  const seconds = recent.reduce((sum, step) => sum + step.seconds, 0) || 1;
  const total = {};
  const buckets = new Array(17).fill(0);
  for (const step of recent) {
    for (const [source, n] of Object.entries(step.answers)) total[source] = (total[source] || 0) + n;
    step.buckets.forEach((n, i) => { buckets[i] += n; });
  }
  const all = Object.values(total).reduce((a, b) => a + b, 0);
  const said = told.cooperation;
  const entries = [
    [`${rate(all / seconds)}/s`, "queries, last minute"],
    [took(quantile(buckets, 0.99)), "p99 without the cache"],
    [share(total.cache || 0, all), `from the cache, ${count(told.cache.entries)} entries`],
    [count(told.clients.outstanding), "clients waiting"],
  ];
  if (said) {
    const path = said.path.state;
    entries.push([share(total.peer || 0, all), "answered by peers"],
      [path, `local path, for ${lasted(said.path.for_s ?? said.path.for)}`,
        { healthy: "good", failing: "bad" }[path] || "warn"],
      [said.initial_delay_s == null ? "none" : took(said.initial_delay_s),
        `initial delay, ${said.policy}`],
      [`${said.peers_up} of ${said.neighbours}`, `neighbours up, ${count(said.peers)} peers`,
        said.peers_up < said.neighbours ? "warn" : ""],
      [lasted(said.saved_s), "waiting saved by peers"]);
  }
  entries.push([lasted(told.uptime_s), "up"]);
  put(find("tiles"), ...entries.map(([value, label, kind]) =>
    el("li", {}, el("b", { class: kind || null }, value), el("span", {}, label))));
}

function servers(told) {
  table(find("servers"), ["Address", "State", "Time", "Asked", "Unanswered"],
    told.nameservers.map((server) => [
      server.address,
      server.looped ? ["leads back here", "bad"] : server.up ? ["up", "good"] : ["down", "bad"],
      took(server.srtt_s), count(server.sent), share(server.timeouts, server.sent),
    ]), [2, 3, 4]);
}

const peerRow = (peer) => {
  const why = peer.why.replaceAll("_", " ");
  const kind = peer.why === "eligible" ? "good" : BAD.includes(peer.why) ? "bad"
    : peer.why === "not_neighbour" ? "weak" : "warn";
  return [peer.peer, [why, kind], took(peer.rtt_s), took(peer.nameserver_s), took(peer.score_s),
    peer.heard_ago_s == null ? "never" : `${lasted(peer.heard_ago_s)} ago`];
};

function peers(told, near) {
  const said = told.cooperation;
  find("peers-section").hidden = !said;
  if (!said) return;
  const help = said.remote;
  find("peers-note").textContent = `Asked ${count(help.sent)} times: ${count(help.won)} won, ` +
    `${count(help.lost)} lost, ${count(help.failed + help.timeout)} failed, ${count(help.busy)} busy.`;
  table(find("peers"), PEER_HEADER, near.map(peerRow), [2, 3, 4, 5]);
  find("all").hidden = !said.peers;
  find("all-summary").textContent = `All ${count(said.peers)} peers`;
}

// -- all of them: sorted by a click on a heading, found by a word ---------------------------------

const KEYS = ["peer", "why", "rtt_s", "nameserver_s", "score_s", "heard_ago_s"];

async function lookAtAll() {
  allPeers = await ask("v1/peers");
  allAt = Date.now();
  showAll();
}

function showAll() {
  const wanted = find("find").value.trim().toLowerCase();
  const key = KEYS[sortBy];
  const rows = allPeers.filter((peer) =>
    !wanted || peer.peer.includes(wanted) || peer.why.replaceAll("_", " ").includes(wanted));
  rows.sort((a, b) => {
    const [x, y] = [a[key], b[key]];
    if (x == null || y == null) return (x == null) - (y == null);
    const order = typeof x === "string" ? x.localeCompare(y, undefined, { numeric: true }) : x - y;
    return descending ? -order : order;
  });
  find("found").textContent = wanted ? `${rows.length} of ${allPeers.length}` : "";
  const node = find("all-peers");
  const focused = node.contains(document.activeElement);
  table(node, PEER_HEADER, rows.map(peerRow), [2, 3, 4, 5]);
  node.querySelectorAll("th").forEach((heading, index) => {
    const button = el("button", { type: "button" }, heading.textContent);
    heading.replaceChildren(button);
    heading.setAttribute("aria-sort",
      index !== sortBy ? "none" : descending ? "descending" : "ascending");
    button.addEventListener("click", () => {
      descending = index === sortBy && !descending;
      sortBy = index;
      showAll();
    });
    if (focused && index === sortBy) button.focus();
  });
}

find("all").addEventListener("toggle", () => {
  if (find("all").open) lookAtAll().catch(() => badge("no answer from the daemon", "bad"));
});
find("find").addEventListener("input", showAll);
look();
