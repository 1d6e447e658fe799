// What is asked, and the address that holds it: `#target=avg&c=160M&n=800`, with N, T and V of the reader's own
// configuration, and pinned questions. Nothing of a link is rewritten before the reader changes something.
"use strict";

const THEMES = ["auto", "light", "dark"];
const MOST_PINS = 2;
const ONE_STEP = 1500; // ms within which moves of one control are one step of the history

const state = {
  target: data.main,
  budget: data.budgets && data.budgets.start,
  n: data.hasData ? data.examples.start : 1,
  mine: data.factors.map((factor) => factor.center),
  own: !data.space, // whether the reader has asked for a configuration of their own
  pins: [],
  theme: "auto",
};
const START = structuredClone(state);

// ---- from what is asked to what there is -----------------------------------------------------------------------------------

const near = (one, other) => Math.abs(one / other - 1) < 1e-9;
const withinBudgets = (budget) => Math.min(Math.max(budget, data.budgets.low), data.budgets.high);
const nearestOf = (values, wanted) => values.reduce((best, value) => (Math.abs(Math.log(value / wanted)) < Math.abs(Math.log(best / wanted)) ? value : best));
const nearestStep = (n) => nearestOf(data.examples.steps, n);
const stepOf = (n) => data.examples.steps.indexOf(n);
const examplesText = (n) => data.examples.texts[stepOf(n)];

const levelOf = (k, value) => (data.factors[k].levels ? data.factors[k].levels.indexOf(value) : -1);
const amount = (k, value) => (levelOf(k, value) >= 0 ? data.factors[k].texts[levelOf(k, value)] : human(value, "B"));
const nameOf = (k, value) => (data.factors[k].names && data.factors[k].names[levelOf(k, value)]) || null;

// A configuration: N = 195k (l), T = 6, V = 25.
const words = (x) => x.map((value, k) => `${data.factors[k].name} = ${amount(k, value)}${nameOf(k, value) ? ` (${nameOf(k, value)})` : ""}`).join(", ");

// Each returns what is to be shown for a wanted number, and why it is not the number itself, if so.
function budgetFor(wanted) {
  const { low, high } = data.budgets;
  const budget = withinBudgets(wanted);
  if (near(budget, wanted)) return { value: budget, problem: null };
  return { value: budget, problem: `This page answers for budgets from ${human(low)} to ${human(high)} ${data.budgetUnit}; ${human(wanted)} is ${wanted < low ? "below" : "above"} them, and ${human(budget)} is shown.` };
}

function examplesFor(wanted) {
  const { steps } = data.examples;
  const n = nearestStep(wanted);
  if (near(n, wanted)) return { value: n, problem: null };
  const ends = `${human(steps[0], "B")} to ${human(steps[steps.length - 1], "B")}`;
  const why = wanted < steps[0] || wanted > steps[steps.length - 1] ? `This page answers for n from ${ends}; n = ${human(wanted, "B")} is outside` : `This page answers for n in steps of two digits; n = ${human(wanted, "B", 6)} is between them`;
  return { value: n, problem: `${why}, and ${examplesText(n)} is shown.` };
}

// A positive number as a person writes it, and what is wrong with it.
function positive(text) {
  const value = parseHuman(text);
  return value === null || value <= 0 ? { value: null, problem: value === null ? notANumber(text) : `“${text}” is not positive.` } : { value, problem: null };
}

// ---- reading the address -----------------------------------------------------------------------------------------------------

// Take what the address asks for; returns a sentence for everything in it that cannot be shown as it stands.
function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const problems = [];
  Object.assign(state, structuredClone(START));
  const readers = { target: readTarget, theme: readTheme, pin: readPin, ...(data.budgets ? { c: readBudget } : {}), ...(data.hasData ? { n: readExamples } : {}) };
  data.factors.forEach((factor, k) => (readers[factor.name] = (text) => readFactor(text, k)));
  for (const [key, text] of given) {
    const problem = Object.hasOwn(readers, key) ? readers[key](text) : `this page has no setting of that name; it has ${Object.keys(readers).join(", ")}.`;
    if (problem) problems.push(`In the link, ${key}${text === "" ? "" : `=${text}`}: ${problem}`);
  }
  return problems;
}

function readTarget(text) {
  if (!Object.hasOwn(data.targets, text)) return `there is no such task; shown is ${state.target} of ${Object.keys(data.targets).join(", ")}.`;
  state.target = text;
  return null;
}

function readTheme(text) {
  if (!THEMES.includes(text)) return `the colours are ${THEMES.join(", ")}.`;
  state.theme = text;
  return null;
}

function readNumber(text, fit, take) {
  const read = positive(text);
  if (read.problem) return read.problem;
  const { value, problem } = fit(read.value);
  take(value);
  return problem;
}

const readBudget = (text) => readNumber(text, budgetFor, (value) => (state.budget = value));
const readExamples = (text) => readNumber(text, examplesFor, (value) => (state.n = value));

function readFactor(text, k) {
  const { value, problem } = factorFor(text, k);
  if (value !== null) state.mine[k] = value;
  state.own ||= value !== null;
  return problem;
}

// A factor's value by number or by the name of a model; a number as it is shown means the level it stands for.
function factorFor(text, k) {
  const { levels, names, curve } = data.factors[k];
  const named = names ? names.indexOf(text.trim()) : -1;
  if (named >= 0) return { value: levels[named], problem: null };
  const read = positive(text);
  if (read.problem) return read;
  if (!data.space) {
    const value = Math.min(Math.max(read.value, curve[0]), curve.at(-1));
    return { value, problem: near(value, read.value) ? null : `the law is shown from ${human(curve[0], "B")} to ${human(curve.at(-1), "B")}, and ${human(value, "B")} is shown.` };
  }
  const level = nearestOf(levels, read.value);
  return { value: human(level, "B") === human(read.value, "B") ? level : read.value, problem: null };
}

function readPin(text) {
  const pin = pinOf(text);
  if (pin === null) return `a pin is a task${data.budgets ? ", a budget" : ""}${data.hasData ? " and an n" : ""} of this page, as in ${pinText(state)}.`;
  if (state.pins.length === MOST_PINS) return `there are at most ${MOST_PINS} pins.`;
  state.pins.push(pin);
  return null;
}

function pinOf(text) {
  const [target, c, n] = text.split(",");
  if (!Object.hasOwn(data.targets, target) || c === undefined || (data.hasData && n === undefined)) return null;
  const [budget, examples] = [parseHuman(c), data.hasData ? parseHuman(n) : 1];
  if (!(budget > 0) || !(examples > 0)) return null;
  const fits = near(withinBudgets(budget), budget) && (!data.hasData || near(nearestStep(examples), examples));
  return fits ? { target, budget: withinBudgets(budget), n: data.hasData ? nearestStep(examples) : 1 } : null;
}

// ---- writing it ----------------------------------------------------------------------------------------------------------------

// The shortest way to write a number that is as good as the number itself.
function shortest(value, billions, same) {
  for (let digits = 3; digits < 16; digits += 1) {
    const text = human(value, billions, digits);
    if (same(parseHuman(text))) return text;
  }
  return String(value);
}

// Budgets that afford the same give the same answer, digit by digit.
function sameAnswer(one, other) {
  const { low, high } = data.budgets;
  const runs = (budget) => data.runs.cost.filter((cost) => cost !== null && cost <= budget).length;
  return one !== null && one >= low && one <= high && [1, 2].every((times) => engine.affordable(times * one) === engine.affordable(times * other)) && runs(one) === runs(other);
}

const budgetText = (budget) => shortest(budget, "G", (other) => sameAnswer(other, budget));
const exactText = (value) => shortest(value, "B", (other) => other !== null && near(other, value));
const pinText = ({ target, budget, n }) => [encodeURIComponent(target), budgetText(budget), ...(data.hasData ? [exactText(n)] : [])].join(",");

function address() {
  const said = [`target=${encodeURIComponent(state.target)}`];
  if (data.budgets) said.push(`c=${budgetText(state.budget)}`);
  if (data.hasData) said.push(`n=${exactText(state.n)}`);
  if (state.own) data.factors.forEach((factor, k) => said.push(`${encodeURIComponent(factor.name)}=${exactText(state.mine[k])}`));
  for (const pin of state.pins) said.push(`pin=${pinText(pin)}`);
  if (state.theme !== "auto") said.push(`theme=${state.theme}`);
  return `#${said.join("&")}`;
}

// Keep what is asked in the address. Moves of one control that follow each other are one step back.
const written = { by: null, when: -Infinity };
function writeAddress(by) {
  const told = address();
  const again = by === written.by && performance.now() - written.when < ONE_STEP;
  Object.assign(written, { by, when: performance.now() });
  if (told === location.hash) return;
  history[again ? "replaceState" : "pushState"](null, "", told);
}
