// Races as timelines: a lane for each who was asked, from the asking to what came of it.
import { el, find, put, svg } from "./dom.js";
import { qtype, took } from "./words.js";

const SHOWN = 12;
const WIDE = 1000;

export function races(list, named) {
  const shown = list.slice(-SHOWN).reverse();
  find("races-note").textContent = shown.length
    ? named ? "" : "Names are hidden; http.details: true shows them."
    : "No lookup needed a peer lately.";
  put(find("races"), ...shown.map(race));
}

function race(told) {
  const head = el("p", {}, strong(`${told.name} ${qtype(told.type)}`),
    ` – ${Math.round(told.ago_s)} s ago, ${told.route}, initial delay ${took(told.delay_s)}, `,
    told.winner ? "won by " : "", strong(told.winner || "nobody won"));
  const whole = Math.max(0.001, ...told.events.map((event) => event.at_s));
  const lanes = new Map();
  for (const event of told.events) {
    if (!lanes.has(event.who)) lanes.set(event.who, []);
    lanes.get(event.who).push(event);
  }
  const rows = [...lanes].map(([who, events]) => lane(who, events, whole, told));
  return el("li", {}, head, ...rows);
}

function lane(who, events, whole, told) {
  const at = (s) => (WIDE * s) / whole;
  const won = who === told.winner;
  const begun = events[0].at_s;
  const ended = events.length > 1 ? events[events.length - 1].at_s : whole;
  const color = won ? "var(--peer)" : who === "local" ? "var(--local)" : "var(--cache)";
  const words = events.map((event) => `${event.what} ${took(event.at_s)}`).join(", ");
  const picture = svg("svg", { viewBox: `0 0 ${WIDE} 14`, preserveAspectRatio: "none",
    "aria-hidden": "true" },
    svg("line", { class: "track", x1: 0, x2: WIDE, y1: 7, y2: 7 }),
    svg("rect", { x: Math.min(at(begun), WIDE - 4), y: 2, height: 10, fill: color,
      width: Math.max(4, at(ended) - at(begun)) }),
    told.delay_s < whole
      ? svg("line", { class: "delay", x1: at(told.delay_s), x2: at(told.delay_s), y1: 0, y2: 14,
        "vector-effect": "non-scaling-stroke" }) : null);
  const label = el("span", { title: who });
  if (won) label.append(strong(who));
  else label.textContent = who;
  return el("div", { class: "lane" }, label, picture, el("span", { class: "weak" }, words));
}

function strong(text) {
  const node = el("b");
  node.textContent = text;
  return node;
}
