// Numbers and words, as the command line says them.
"use strict";

const SUFFIXES = [["Y", 1e24], ["Z", 1e21], ["E", 1e18], ["P", 1e15], ["T", 1e12], ["G", 1e9], ["M", 1e6], ["k", 1e3]];
const NUMBER = /^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([kKMGBTPEZY]?)\s*$/;

// A number of so many significant digits and a suffix: 83280 → 83.3k. `billions` is G for FLOPs and B for everything
// counted.
function human(value, billions = "G", digits = 3) {
  if (value === 0 || !Number.isFinite(value)) return String(value);
  const rounded = Number(value.toPrecision(digits));
  if (Math.abs(rounded) >= 1e27) return String(rounded);
  for (const [suffix, factor] of SUFFIXES) {
    if (Math.abs(rounded) >= factor) return `${Number((rounded / factor).toPrecision(digits))}${suffix === "G" ? billions : suffix}`;
  }
  return String(rounded);
}

// 77.5M → 77500000, by the rules of the command line; null for what is no number there.
function parseHuman(text) {
  const match = NUMBER.exec(text);
  if (!match) return null;
  const letter = { K: "k", B: "G" }[match[2]] || match[2];
  const [, factor] = SUFFIXES.find(([suffix]) => suffix === letter) || ["", 1];
  return Number(match[1]) * factor;
}

const notANumber = (text) => `“${text}” is not a number; write for example 250k, 2M, 7.5B, 10T or 1.0e12${text.includes(",") ? " (a point before decimals, and no comma)" : ""}.`;

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
function points(value, target = state.target) {
  const { largest } = data.targets[target];
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
function measuredText(value, se, target) {
  if (value === null) return "not measured";
  return se === null ? points(value, target) : `${points(value, target)} ± ${Math.abs(value) >= 1 ? se.toFixed(2) : points(se, target)}`;
}

// What is counted, in the singular where there is one of it: 1 frame, 1 token per frame, 2 frames.
function counted(value, unit, text = human(value, "B")) {
  if (!unit) return text;
  return `${text} ${value === 1 ? unit.replace(/^(\w+?)s\b/, "$1") : unit}`;
}

const whole = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, ",");
const plural = (count, word) => `${whole(count)} ${count === 1 ? word : `${word}s`}`;

// Words of our own, which say what they count, begin a sentence; a column of somebody's table is called as it is.
const capital = ({ label, unit }) => (unit ? label[0].toUpperCase() + label.slice(1) : label);

// ---- elements ----------------------------------------------------------------------------------------------------------

const at = (id) => document.getElementById(id);

function withAttributes(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const element = (tag, attributes = {}, ...children) => withAttributes(document.createElement(tag), attributes, children);
const drawn = (tag, attributes = {}, ...children) => withAttributes(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

// A sentence whose `code` is shown as such.
const marked = (text) => text.split("`").map((part, i) => (i % 2 === 1 ? element("code", {}, part) : part));

// A button that does `act`.
function button(text, act, attributes = {}) {
  const made = element("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", act);
  return made;
}

// A table's head and body; cells that are {number: text} stand to the right.
function fillTable(table, heads, rows) {
  const cell = (tag, content, scope) =>
    content !== null && typeof content === "object" && !(content instanceof Node)
      ? element(tag, { class: "number", scope }, content.number)
      : element(tag, { scope }, content);
  const head = element("thead", {}, element("tr", {}, ...heads.map((name) => cell(name === "" ? "td" : "th", name, name === "" ? null : "col"))));
  const body = element("tbody");
  for (const [first, ...others] of rows) {
    body.append(element("tr", {}, cell("th", first, "row"), ...others.map((content) => cell("td", content))));
  }
  table.replaceChildren(head, body);
}
