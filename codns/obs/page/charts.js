// Two plots of the last minutes. One point is one step of the daemon's history (5 s).
import { el, find, put, svg } from "./dom.js";
import { quantile, rate, share, took } from "./words.js";

const MINUTES = 10;
const WIDE = 1040, LEFT = 58, RIGHT = 8, TOP = 8, BOTTOM = 22;
const FLOOR = 0.0005, CEILING = 8;  // seconds; what was quicker than 0.5 ms was not waited for

export const SOURCES = [
  ["cache", "cache"], ["local", "local nameserver"], ["peer", "peer"], ["stale", "stale"],
  ["special", "codns itself"], ["error", "error"],
];
const LINES = [["p50", "median", "local"], ["p99", "p99", "stale"]];

const narrow = () => window.innerWidth < 640;
const size = () => ({ wide: narrow() ? 460 : WIDE, high: narrow() ? 220 : 190 });

function frame(steps, high, wide) {
  const span = MINUTES * 60;
  const x = (ago) => LEFT + (wide - LEFT - RIGHT) * (1 - Math.min(ago, span) / span);
  const picture = svg("svg", { viewBox: `0 0 ${wide} ${high}`, role: "img" });
  // The local path was failing or recovering: said by a band behind the lines
  for (const step of steps) {
    if (step.path === "failing" || step.path === "recovering") {
      const to = x(step.ago_s), from = x(step.ago_s + step.seconds);
      picture.append(svg("rect", { x: from, y: TOP, width: Math.max(0, to - from),
        height: high - TOP - BOTTOM, fill: `var(--${step.path})` }));
    }
  }
  for (let minute = 0; minute <= MINUTES; minute += narrow() ? 5 : 2) {
    const at = x(minute * 60);
    const anchor = minute === 0 ? "end" : minute === MINUTES ? "start" : "middle";
    const text = svg("text", { x: at, y: high - 5, "text-anchor": anchor });
    text.textContent = minute ? `${minute} min ago` : "now";
    picture.append(text);
  }
  return { picture, x };
}

function level(picture, y, label, wide) {
  picture.append(svg("line", { class: "grid", x1: LEFT, x2: wide - RIGHT, y1: y, y2: y }));
  const text = svg("text", { x: LEFT - 8, y: y + 4, "text-anchor": "end" });
  text.textContent = label;
  picture.append(text);
}

function legend(id, entries) {
  put(find(id), ...entries.map(([color, label]) => {
    const mark = el("i");
    mark.style.background = `var(--${color})`;
    return el("span", {}, mark, label);
  }));
}

// Draw, and tell the step under the pointer; without one the last.
function show(id, picture, x, steps, reading) {
  const box = find(id);
  let line = box.querySelector(".reading");
  if (!line) line = el("div", { class: "reading" });
  const cursor = svg("line", { class: "cursor", y1: TOP, y2: size().high - BOTTOM,
    visibility: "hidden" });
  picture.append(cursor);
  const tell = (step) => { line.textContent = step ? reading(step) : "no queries yet"; };
  picture.addEventListener("pointermove", (event) => {
    const at = (event.offsetX / picture.clientWidth) * size().wide;
    let best = null;
    for (const step of steps) {
      if (!best || Math.abs(x(step.ago_s) - at) < Math.abs(x(best.ago_s) - at)) best = step;
    }
    if (!best) return;
    cursor.setAttribute("x1", x(best.ago_s));
    cursor.setAttribute("x2", x(best.ago_s));
    cursor.setAttribute("visibility", "visible");
    tell(best);
  });
  picture.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    tell(steps[steps.length - 1]);
  });
  tell(steps[steps.length - 1]);
  box.replaceChildren(picture, line);
}

const when = (step) => (step.ago_s < 8 ? "now" : `${Math.round(step.ago_s)} s ago`);

export function latency(steps) {
  const { wide, high } = size();
  const { picture, x } = frame(steps, high, wide);
  const scale = (high - TOP - BOTTOM) / Math.log(CEILING / FLOOR);
  const y = (s) => high - BOTTOM - scale * Math.log(Math.min(CEILING, Math.max(FLOOR, s)) / FLOOR);
  for (const s of [0.001, 0.01, 0.1, 1]) level(picture, y(s), s < 1 ? `${s * 1000} ms` : "1 s", wide);
  const points = steps.map((step) => {
    // Cached answers take no time worth telling, and are most: without them the plot would be flat
    return { ...step, p50: quantile(step.buckets, 0.5), p99: quantile(step.buckets, 0.99) };
  });
  for (const [key, , color] of LINES) {
    let run = [];
    const flush = () => {
      if (run.length === 1) {
        picture.append(svg("circle", { cx: run[0][0], cy: run[0][1], r: 2.5,
          fill: `var(--${color})` }));
      } else if (run.length) {
        picture.append(svg("polyline", { points: run.map((p) => p.join(",")).join(" "),
          fill: "none", stroke: `var(--${color})`, "stroke-width": 2, "stroke-linejoin": "round" }));
      }
      run = [];
    };
    for (const point of points) {
      if (point[key] == null) flush();
      else run.push([x(point.ago_s), y(point[key])]);
    }
    flush();
  }
  const last = points[points.length - 1];
  picture.setAttribute("aria-label", last
    ? `Waiting of what the cache did not answer: median ${took(last.p50)}, p99 ${took(last.p99)} now`
    : "Nothing measured yet");
  legend("latency-legend", [...LINES.map(([, label, color]) => [color, label]),
    ["failing", "local path failing"], ["recovering", "recovering"]]);
  show("latency", picture, x, points, (p) =>
    `${when(p)}: median ${took(p.p50)}, p99 ${took(p.p99)} of what the cache did not answer` +
    (p.initial_delay_s == null ? "" : `; initial delay ${took(p.initial_delay_s)}`));
}

export function answers(steps) {
  const { wide, high } = size();
  const { picture, x } = frame(steps, high, wide);
  const total = (step) => Object.values(step.answers).reduce((a, b) => a + b, 0) / step.seconds;
  const top = Math.max(1, ...steps.map(total));
  const unit = 10 ** Math.floor(Math.log10(top));
  const most = [1, 2, 5, 10].map((f) => f * unit).find((value) => value >= top);
  const y = (value) => high - BOTTOM - ((high - TOP - BOTTOM) * value) / most;
  for (const part of [0, 0.5, 1]) level(picture, y(part * most), `${rate(part * most)}/s`, wide);
  for (const step of steps) {
    const to = x(step.ago_s), from = x(step.ago_s + step.seconds);
    let below = 0;
    for (const [source] of SOURCES) {
      const value = (step.answers[source] || 0) / step.seconds;
      if (!value) continue;
      picture.append(svg("rect", { x: from, width: Math.max(0.5, to - from - 0.6),
        y: y(below + value), height: y(below) - y(below + value), fill: `var(--${source})` }));
      below += value;
    }
  }
  const last = steps[steps.length - 1];
  const reading = (step) => {
    const all = Object.values(step.answers).reduce((a, b) => a + b, 0);
    const parts = SOURCES.filter(([source]) => step.answers[source])
      .map(([source, label]) => `${label} ${share(step.answers[source], all)}`);
    return `${when(step)}: ${rate(all / step.seconds)} a second` +
      (parts.length ? `; ${parts.join(", ")}` : "");
  };
  picture.setAttribute("aria-label", last ? reading(last) : "Nothing measured yet");
  legend("answers-legend", SOURCES);
  show("answers", picture, x, steps, reading);
}
