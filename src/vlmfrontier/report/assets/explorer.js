// The page: what the controls say, what the models answer, and where it is shown. The state stands in the address.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const engine = Engine(data);
const charts = Charts(data);
const caveats = Caveats(data);
const at = (id) => document.getElementById(id);
const SLIDER = 1000;
const BANDS = 120;
const SPOKEN_AFTER = 500;
const THEMES = ["auto", "light", "dark"];
const PARTS = ["--first", "--second", "--third", "--fourth"];

const state = {
  target: data.main,
  budget: data.budgets && data.budgets.start,
  n: data.hasData ? data.examples.start : 1,
  held: data.factors.map((factor) => factor.center),
  theme: "auto",
};

// ---- the address ---------------------------------------------------------------------------------------------------------

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (Object.hasOwn(data.targets, given.get("target"))) state.target = given.get("target");
  if (THEMES.includes(given.get("theme"))) state.theme = given.get("theme");
  if (data.budgets && Number(given.get("c")) > 0) state.budget = withinBudgets(Number(given.get("c")));
  if (data.hasData && Number(given.get("n")) > 0) state.n = nearestStep(Number(given.get("n")));
  data.factors.forEach((factor, k) => {
    const value = Number(given.get(factor.name));
    if (!data.space && value > 0) state.held[k] = nearestOf(factor.curve, value);
  });
}

function writeAddress() {
  const said = new URLSearchParams({ target: state.target });
  if (data.budgets) said.set("c", String(state.budget));
  if (data.hasData) said.set("n", String(state.n));
  if (!data.space) data.factors.forEach((factor, k) => said.set(factor.name, String(state.held[k])));
  if (state.theme !== "auto") said.set("theme", state.theme);
  history.replaceState(null, "", `#${said}`);
}

// ---- from what is asked to what there is -----------------------------------------------------------------------------------

const withinBudgets = (budget) => Math.min(Math.max(budget, data.budgets.low), data.budgets.high);
const nearestOf = (values, wanted) => values.reduce((best, value) => (Math.abs(Math.log(value / wanted)) < Math.abs(Math.log(best / wanted)) ? value : best));
const nearestStep = (n) => nearestOf(data.examples.steps, n);
const stepOf = (n) => data.examples.steps.indexOf(n);
const onSlider = (value, low, high) => Math.round((SLIDER * Math.log(value / low)) / Math.log(high / low));
const offSlider = (place, low, high) => low * (high / low) ** (place / SLIDER);

const levelOf = (k, value) => data.factors[k].levels.indexOf(value);
const amount = (k, value) => (data.factors[k].texts ? data.factors[k].texts[levelOf(k, value)] : human(value, "B"));
const words = (x) => x.map((value, k) => `${data.factors[k].name} = ${amount(k, value)}`).join(", ");
const examplesText = (n) => data.examples.texts[stepOf(n)];

// ---- what is shown ---------------------------------------------------------------------------------------------------------

function showControls() {
  at("target").value = state.target;
  if (data.budgets) {
    const { low, high } = data.budgets;
    at("budget").value = onSlider(state.budget, low, high);
    at("budget").setAttribute("aria-valuetext", `${human(state.budget)} ${data.budgetUnit}`);
    at("budget-text").value = human(state.budget);
  }
  if (data.hasData) {
    at("n").value = stepOf(state.n);
    at("n").setAttribute("aria-valuetext", `n = ${examplesText(state.n)}`);
    at("n-text").value = examplesText(state.n);
  }
  if (!data.space) {
    data.factors.forEach((factor, k) => {
      const input = at(`held-${k}`);
      input.value = onSlider(state.held[k], factor.curve[0], factor.curve.at(-1) * (factor.curve.length > 1 ? 1 : 1.001));
      input.setAttribute("aria-valuetext", `${factor.name} = ${human(state.held[k], "B")}`);
      at(`held-${k}-text`).textContent = human(state.held[k], "B");
    });
  }
}

function card(name, value, unit, range, kind = "", exact = null) {
  const strong = element("strong", {}, value, unit ? element("small", {}, ` ${unit}`) : null);
  return element("div", { class: `value ${kind}`, "data-name": name, "data-value": exact }, element("span", { class: "name" }, name), strong, range ? element("span", { class: "range" }, range) : null);
}

function showAnswer(view) {
  const { chosen } = view;
  const ranges = chosenRanges(view);
  const cards = chosen.x.map((value, k) => {
    const factor = data.factors[k];
    const name = factor.names && factor.names[levelOf(k, value)];
    const [low, high] = ranges[k].map((level) => amount(k, level));
    const range = low === high ? "90% of the fits agree" : `90% of the fits choose ${low}–${high}`;
    return card(factor.label, amount(k, value), factor.unit + (name ? ` (${name})` : ""), range, "", value);
  });
  cards.push(card(`predicted ${data.targets[state.target].name}`, points(chosen.f), "", bothRanges(view.rangeName, chosen), "error", chosen.f));
  cards.push(card("cost", human(chosen.cost), data.budgetUnit, `of a budget of ${human(state.budget)}`, "", chosen.cost));
  at("answer").replaceChildren(...cards);
  const lost = chosen.regret < 1e-9 ? "90% of them lose nothing by it" : `90% of them lose at most ${Number(chosen.regret.toPrecision(2))} points by it`;
  at("sure").textContent =
    `${percent(chosen.pBest)} of ${data.targets[state.target].fits} resampled fits rank it first; for ${percent(chosen.pNear)} ` +
    `it is within ${Number((100 * chosen.near).toPrecision(2))}% of their best; ${lost}.`;
  const predict = (x) => engine.prediction(state.target, state.n, x);
  showMeasured(caveats.ofMeasured(state.target, state.n, state.budget, chosen, predict));
  showWarnings(caveats.ofAnswer(state.target, state.n, state.budget, chosen));
}

// Both ranges by name: what the law is, and what a new run would measure.
function bothRanges(rangeName, { low, high, runLow, runHigh }) {
  return `${rangeName} of the law ${points(low)} to ${points(high)}; a new run would measure ${points(runLow)} to ${points(runHigh)}`;
}

// The 90% range of the fits' own optima at the budget: that of the last band that starts below it.
function chosenRanges(view) {
  return engine.frontier(state.target, state.n, [state.budget]).bands.map((band) => band[0]);
}

function showMeasured(sentences) {
  at("measured").replaceChildren(...sentences.map((sentence) => element("li", {}, sentence)));
}

function showWarnings(sentences) {
  at("warnings").replaceChildren(...sentences.map((sentence) => element("li", {}, sentence)));
}

function showSplit(chosen) {
  const { parts } = data.space;
  at("split-section").hidden = parts === null;
  if (parts === null) return;
  const shares = Object.entries(parts).map(([name, values]) => [name, values[chosen.index]]);
  const said = shares.map(([name, share]) => `${name}: ${percent(share)}, ${human(share * chosen.cost)} ${data.unit}`);
  const bar = element("div", { class: "bar", "aria-hidden": "true" }, ...shares.map(([, share], i) => element("span", { style: `width:${100 * share}%;background:var(${PARTS[i]})` })));
  const list = element("ul", { class: "parts" }, ...said.map((text, i) => element("li", {}, element("i", { style: `background:var(${PARTS[i]})`, "aria-hidden": "true" }), text)));
  at("split").replaceChildren(bar, list);
}

function showRivals(view) {
  const { chosen } = view;
  const row = (name, other) => [name, words(other.x), { number: human(other.cost) }, { number: compared(other, chosen) }];
  const rows = engine.rivals(state.target, state.n, state.budget, data.rules.alternatives).map((other) => row("next best", other));
  rows.push(row("twice the budget", engine.optimum(state.target, state.n, 2 * state.budget)));
  if (data.hasData) rows.push(row(`twice the ${data.examples.word}`, engine.optimum(state.target, 2 * state.n, state.budget)));
  fillTable(at("rivals"), ["", "configuration", { number: "cost" }, { number: "error (difference)" }], rows);
}

function showNearest(x) {
  const rows = engine.nearest(x, state.n, data.rules.nearestRuns).map((run) => runRow(run, [state.target]));
  fillTable(at("nearest"), runHeads([state.target]), rows);
}

function runHeads(targets) {
  const cost = data.runs.cost ? [{ number: "c" }] : [];
  const examples = data.hasData ? [{ number: "n" }] : [];
  const errors = targets.map((name) => ({ number: targets.length > 1 ? name : `measured ${name}` }));
  return ["run", ...errors, ...data.factors.map((factor) => ({ number: factor.name })), ...examples, ...cost];
}

function runRow(run, targets) {
  const { runs } = data;
  const error = (name) => measured(runs.errors[name][run], runs.se[name] && runs.se[name][run]);
  const cells = [runs.names[run], ...targets.map((name) => ({ number: error(name) }))];
  cells.push(...data.factors.map((_, k) => ({ number: human(runs.factors[k][run], "B") })));
  if (data.hasData) cells.push({ number: human(runs.n[run], "B") });
  if (runs.cost) cells.push({ number: runs.cost[run] === null ? "" : human(runs.cost[run]) });
  return cells;
}

// ---- charts ----------------------------------------------------------------------------------------------------------------

function figure(id, caption, wide) {
  const holder = element("div", { class: "chart", id, role: "img" });
  return element("figure", { class: wide ? "wide" : "" }, element("figcaption", {}, caption), element("ul", { class: "keys", id: `${id}-keys` }), holder);
}

function draw(id, { traces, keys, layout, config }, label) {
  const holder = at(id);
  holder.setAttribute("aria-label", label);
  const sign = (key) => element("b", { style: `color:${key.colour}`, "aria-hidden": "true" }, key.sign);
  at(`${id}-keys`).replaceChildren(...keys.map((key) => element("li", {}, sign(key), key.name)));
  Plotly.react(holder, traces, layout, config);
}

function setUpCharts() {
  at("charts").dataset.factors = data.factors.length;
  at("charts-title").textContent = data.space ? "The frontier" : "The law";
  if (data.space) {
    const figures = data.factors.map((factor, k) => figure(`chart-${k}`, `${capital(factor)} along the frontier; shaded: 90% of the fits`, data.factors.length === 1));
    at("charts").replaceChildren(figure("chart-error", "The frontier, and every run at its cost", true), ...figures);
  } else {
    const figures = data.factors.map((factor, k) => figure(`chart-${k}`, `Prediction against ${factor.label}`, data.factors.length === 1));
    at("charts").replaceChildren(...figures);
  }
}

// Words of our own, which say what they count, begin a sentence; a column of somebody's table is called as it is.
const capital = ({ label, unit }) => (unit ? label[0].toUpperCase() + label.slice(1) : label);

function drawFrontier(view) {
  const { steps } = view.frontier;
  const [first, last] = [steps[0], steps[steps.length - 1]];
  const { asked } = data.budgets;
  draw("chart-error", charts.errorChart(view), `Predicted ${data.targets[state.target].name} along the frontier: ${points(first.f)} at ${human(first.from)}, ${points(last.f)} at ${human(last.from)} ${data.budgetUnit}; at ${human(state.budget)} ${points(view.chosen.f)}. ${data.runs.count} runs as points; the table of runs has their numbers.`);
  data.factors.forEach((factor, k) => {
    const label = `${factor.name} of x*: ${amount(k, first.x[k])} at ${human(first.from)}, ${amount(k, last.x[k])} at ${human(last.from)} ${data.budgetUnit}; at ${human(state.budget)} ${amount(k, view.chosen.x[k])}.`;
    draw(`chart-${k}`, charts.factorChart(view, k), label);
  });
}

// ---- one pass ----------------------------------------------------------------------------------------------------------------

let memory = { key: null };

function frontierView() {
  const key = `${state.target} ${state.n}`;
  if (memory.key !== key) {
    const { low, high } = data.budgets;
    const budgets = Array.from({ length: BANDS + 1 }, (_, i) => Math.min(high, low * (high / low) ** (i / BANDS)));
    memory = { key, budgets, frontier: engine.frontier(state.target, state.n, budgets) };
  }
  const chosen = engine.optimum(state.target, state.n, state.budget);
  const outside = data.hasData && data.warnings.n[stepOf(state.n)] !== null;
  const inside = (step) => !outside && step.x.every((value, k) => data.warnings.factors[k][levelOf(k, value)] === null);
  const { label, rangeName } = data.targets[state.target];
  return { ...memory, chosen, inside, label, rangeName, words, target: state.target, budget: state.budget };
}

function showFrontier() {
  const view = frontierView();
  showAnswer(view);
  showSplit(view.chosen);
  showRivals(view);
  showNearest(view.chosen.x);
  drawFrontier(view);
  const warned = caveats.extrapolated(view.chosen.x, state.n).length > 0 ? " Outside the runs: see the warning." : "";
  speak(`Deploy ${words(view.chosen.x)}: predicted ${data.targets[state.target].name} ${points(view.chosen.f)}.${warned}`);
}

function showLaw() {
  const { label, rangeName } = data.targets[state.target];
  const curves = data.factors.map((factor, k) => engine.along(state.target, state.n, k, state.held, factor.curve));
  const [here] = engine.along(state.target, state.n, 0, state.held, [state.held[0]]);
  at("answer").replaceChildren(
    ...state.held.map((value, k) => card(data.factors[k].label, human(value, "B"), data.factors[k].unit, "", "", value)),
    card(`predicted ${data.targets[state.target].name}`, points(here.f), "", bothRanges(rangeName, { low: here.range[0], high: here.range[1], runLow: here.run[0], runHigh: here.run[1] }), "error", here.f),
  );
  at("sure").textContent = "This study gives no cost, so that there is no frontier: give one in the section “cost” of its configuration. Shown is what its laws predict.";
  showMeasured([]);
  showWarnings(caveats.ofPrediction(state.target, state.n, here.f, here.range[1]));
  showNearest(state.held);
  const view = { curves, label, rangeName, held: state.held, target: state.target };
  data.factors.forEach((factor, k) => {
    const [low, high] = [curves[k][0], curves[k][curves[k].length - 1]];
    draw(`chart-${k}`, charts.lawChart(view, k), `Predicted ${data.targets[state.target].name}: ${points(low.f)} at ${factor.name} = ${human(low.value, "B")}, ${points(high.f)} at ${human(high.value, "B")}.`);
  });
  speak(`Predicted ${data.targets[state.target].name} ${points(here.f)} at ${words(state.held)}.`);
}

let speaking = null;
function speak(sentence) {
  clearTimeout(speaking);
  speaking = setTimeout(() => (at("spoken").textContent = sentence), SPOKEN_AFTER);
}

function show() {
  showControls();
  if (data.space) showFrontier();
  else showLaw();
  writeAddress();
  document.body.dataset.shown = location.hash; // gone while something is still to be shown
}

let waiting = false;
function schedule() {
  if (waiting) return;
  waiting = true;
  delete document.body.dataset.shown;
  requestAnimationFrame(() => {
    waiting = false;
    show();
  });
}

// ---- controls ------------------------------------------------------------------------------------------------------------

function note(text = "") {
  at("note").textContent = text;
}

function setUpControls() {
  for (const name of Object.keys(data.targets)) at("target").append(element("option", { value: name }, name));
  at("target-control").hidden = Object.keys(data.targets).length === 1;
  at("budget-control").hidden = !data.budgets;
  at("n-control").hidden = !data.hasData;
  for (const id of ["split-section", "rivals-section"]) at(id).hidden = !data.space;
  at("answer-title").textContent = data.space ? "Deploy" : "Prediction";
  at("target").addEventListener("change", () => {
    state.target = at("target").value;
    schedule();
  });
  if (data.budgets) setUpBudget();
  if (data.hasData) setUpExamples();
  if (!data.space) data.factors.forEach(setUpHeld);
  at("theme").addEventListener("click", () => {
    state.theme = THEMES[(THEMES.indexOf(state.theme) + 1) % THEMES.length];
    applyTheme();
    schedule();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", schedule);
  at("controls").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", () => {
    readAddress();
    applyTheme();
    schedule();
  });
}

function setUpBudget() {
  const { low, high } = data.budgets;
  at("budget-unit").textContent = data.budgetUnit;
  at("budget").addEventListener("input", () => {
    state.budget = withinBudgets(offSlider(Number(at("budget").value), low, high));
    note();
    schedule();
  });
  at("budget-text").addEventListener("change", () => {
    const wanted = parseHuman(at("budget-text").value);
    if (wanted === null || wanted <= 0) note(`“${at("budget-text").value}” is no number; write for example ${human(state.budget)}.`);
    else {
      state.budget = withinBudgets(wanted);
      note(state.budget === wanted ? "" : `This page answers for budgets from ${human(low)} to ${human(high)} ${data.budgetUnit}.`);
    }
    schedule();
  });
}

function setUpExamples() {
  const { steps } = data.examples;
  at("n-label").textContent = capital(data.examples);
  at("n").max = steps.length - 1;
  at("n").addEventListener("input", () => {
    state.n = steps[Number(at("n").value)];
    note();
    schedule();
  });
  at("n-text").addEventListener("change", () => {
    const wanted = parseHuman(at("n-text").value);
    if (wanted === null || wanted <= 0) note(`“${at("n-text").value}” is no number; write for example ${human(state.n, "B")}.`);
    else {
      state.n = nearestStep(wanted);
      note(state.n === wanted ? "" : `The nearest n that this page answers for is ${examplesText(state.n)}.`);
    }
    schedule();
  });
}

function setUpHeld(factor, k) {
  const input = element("input", { type: "range", id: `held-${k}`, min: 0, max: SLIDER, step: 1 });
  const shown = element("output", { id: `held-${k}-text`, for: `held-${k}` });
  at("held").append(element("div", { class: "control" }, element("label", { for: `held-${k}` }, capital(factor)), element("div", { class: "pair" }, input, shown)));
  input.addEventListener("input", () => {
    state.held[k] = offSlider(Number(input.value), factor.curve[0], factor.curve.at(-1));
    schedule();
  });
}

function applyTheme() {
  if (state.theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = state.theme;
  at("theme").textContent = `Colours: ${state.theme === "auto" ? "as the system" : state.theme}`;
}

function setUpText() {
  const many = data.space ? data.space.cost.length.toLocaleString("en") : null;
  at("title").textContent = data.space ? `${data.study}: what to deploy?` : `${data.study}: what its laws predict`;
  at("lede").textContent = data.space
    ? `Say what one answer may cost${data.hasData ? " and how much data there is to train on" : ""}. The page searches all ${many} feasible configurations with the laws fitted to ${data.runs.count} runs, and says how sure it is.`
    : `The laws fitted to ${data.runs.count} runs, and how sure they are.`;
  at("runs-summary").textContent = `All ${data.runs.count} runs with their measured errors`;
  const targets = Object.keys(data.targets);
  fillTable(at("runs"), runHeads(targets), Array.from({ length: data.runs.count }, (_, run) => runRow(run, targets)));
  at("footer").replaceChildren(...data.footer.map((text) => element("p", {}, text)));
}

setUpText();
setUpControls();
setUpCharts();
readAddress();
applyTheme();
show();
