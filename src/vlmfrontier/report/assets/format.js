// Numbers and words, as the command line says them.
"use strict";

const SUFFIXES = [["Y", 1e24], ["Z", 1e21], ["E", 1e18], ["P", 1e15], ["T", 1e12], ["G", 1e9], ["M", 1e6], ["k", 1e3]];

// Three significant digits and a suffix: 83280 → 83.3k. `billions` is G for FLOPs and B for everything counted.
function human(value, billions = "G") {
  if (value === 0 || !Number.isFinite(value)) return String(value);
  const rounded = Number(value.toPrecision(3));
  if (Math.abs(rounded) >= 1e27) return String(rounded);
  for (const [suffix, factor] of SUFFIXES) {
    if (Math.abs(rounded) >= factor) return `${Number((rounded / factor).toPrecision(3))}${suffix === "G" ? billions : suffix}`;
  }
  return String(rounded);
}

// 77.5M → 77500000; null for what is no number.
function parseHuman(text) {
  const match = /^\s*([+-]?\d*\.?\d+(?:e[+-]?\d+)?)\s*([kKMGBTPEZY]?)\s*$/i.exec(text.replace(/,/g, ""));
  if (!match) return null;
  const letter = match[2] === "K" ? "k" : match[2] === "B" ? "G" : match[2];
  const factor = letter === "" ? 1 : (SUFFIXES.find(([suffix]) => suffix === letter) || [])[1];
  return factor === undefined ? null : Number(match[1]) * factor;
}

// A difference has as many decimals as the error `beside` it, and no minus before nothing.
function signed(value, beside) {
  const decimals = beside === 0 || Math.abs(beside) >= 1 ? 2 : 2 - Math.floor(Math.log10(Math.abs(beside)));
  const size = Math.abs(value).toFixed(decimals);
  return `${value < 0 && Number(size) !== 0 ? "−" : "+"}${size}`;
}

// Python's {:.0%} and {:.1%}: a half goes to the even neighbour; 0% and 100% are said of none and all only.
function percent(share, digits = 0) {
  if (digits === 0 && share > 0 && share < 0.005) return "<1%";
  if (digits === 0 && share >= 0.995 && share < 1) return ">99%";
  const scaled = 100 * share * 10 ** digits;
  const below = Math.floor(scaled);
  const half = Math.abs(scaled - below - 0.5) < 1e-9;
  return `${((half ? below + (below % 2) : Math.round(scaled)) / 10 ** digits).toFixed(digits)}%`;
}

// A number's error has two digits behind the point, as long as that says enough; it is never above the largest that can
// be.
function points(value) {
  const { largest } = data.targets[state.target];
  if (largest != null && value >= largest) return String(largest);
  if (Math.abs(value) >= 1) return value.toFixed(2);
  return Math.abs(value) < 1e-9 ? "0" : value.toPrecision(3);
}

// A prediction with its difference from the recommended one's.
function compared(other, chosen) {
  const said = points(other.f);
  const { largest } = data.targets[state.target];
  const capped = largest != null && Math.max(other.f, chosen.f) >= largest;
  return capped ? said : `${said} (${signed(other.f - chosen.f, chosen.f)})`;
}

// A measured error with its standard error, where it has one.
const measured = (value, se) => (value === null ? "not measured" : se === null ? points(value) : `${points(value)} ± ${Math.abs(value) >= 1 ? se.toFixed(2) : points(se)}`);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

// A table's head and body; cells that are {number: text} stand to the right.
function fillTable(table, heads, rows) {
  const cell = (tag, content, scope) =>
    content !== null && typeof content === "object"
      ? element(tag, { class: "number", scope }, content.number)
      : element(tag, { scope }, content);
  const head = element("thead", {}, element("tr", {}, ...heads.map((name) => cell("th", name, "col"))));
  const body = element("tbody");
  for (const [first, ...others] of rows) {
    body.append(element("tr", {}, cell("th", first, "row"), ...others.map((content) => cell("td", content))));
  }
  table.replaceChildren(head, body);
}
