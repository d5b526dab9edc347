// Elements without markup in strings: what comes from the network is only ever text.
const SVG = "http://www.w3.org/2000/svg";

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  return fill(node, attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value != null) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

export const find = (id) => document.getElementById(id);

// Replace what is in a node, unless it is the same: focus and selection stay.
export function put(node, ...children) {
  const fresh = document.createElement("div");
  fresh.append(...children);
  if (fresh.innerHTML !== node.innerHTML) node.replaceChildren(...fresh.childNodes);
}

// A table of rows; a cell is text, or [text, class].
export function table(node, header, rows, right = []) {
  const cell = (tag, value, index) => {
    const [text, kind] = Array.isArray(value) ? value : [value, ""];
    const classes = [kind, right.includes(index) ? "number" : ""].filter(Boolean).join(" ");
    const made = el(tag, { class: classes || null });
    made.textContent = text;
    if (tag === "th") made.setAttribute("scope", "col");
    return made;
  };
  put(node,
    el("thead", {}, el("tr", {}, ...header.map((text, i) => cell("th", text, i)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((v, i) => cell("td", v, i))))));
}
