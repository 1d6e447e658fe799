// The page: what is asked goes to the models, and what they say is shown. While a control moves only what a look needs is
// shown; the rest follows when it rests.
"use strict";

const BANDS = 120;
const RESTED = 140; // ms without a move after which the rest is shown
const SLOW = 45; // ms: models that take longer are not asked at every move
const engine = Engine(data);
const cost = Cost(data, engine);
const caveats = Caveats(data);
const charts = Charts(data);
const figures = Figures(charts);
const mine = data.space && Mine();
const pins = data.space && Pins();

// ---- what is shown -----------------------------------------------------------------------------------------------------------

const frontiers = new Map();
let slow = false;

// The frontier at one target and n, computed once.
function frontierOf(target, n) {
  const key = `${target} ${n}`;
  if (!frontiers.has(key)) {
    const { low, high } = data.budgets;
    const began = performance.now();
    const budgets = Array.from({ length: BANDS + 1 }, (_, i) => Math.min(high, low * (high / low) ** (i / BANDS)));
    if (frontiers.size > 40) frontiers.clear();
    frontiers.set(key, { budgets, frontier: engine.frontier(target, n, budgets) });
    slow = performance.now() - began > SLOW;
  }
  return frontiers.get(key);
}

// Everything that is known of the question asked.
function current() {
  return { ...frontierOf(state.target, state.n), ...answered(), mine: state.own ? mine.known() : null };
}

// What the answer alone needs.
function answered() {
  const { target, n, budget } = state;
  const outside = data.hasData && data.warnings.n[stepOf(n)] !== null;
  const inside = (step) => !outside && step.x.every((value, k) => data.warnings.factors[k][levelOf(k, value)] === null);
  const { label, rangeName } = data.targets[target];
  return { chosen: engine.optimum(target, n, budget), ranges: engine.ranges(target, n, budget), inside, label, rangeName, target, n, budget };
}

function drawFrontier(view) {
  const { steps } = view.frontier;
  const [first, last] = [steps[0], steps[steps.length - 1]];
  const { name } = data.targets[state.target];
  figures.draw("chart-error", charts.errorChart(view), `Predicted ${name} along the frontier: ${points(first.f)} at ${human(first.from)}, ${points(last.f)} at ${human(last.from)} ${data.budgetUnit}; at ${human(state.budget)} ${points(view.chosen.f)}. ${plural(data.runs.count, "run")} as points; the table of runs has their numbers.`);
  data.factors.forEach((factor, k) => {
    const label = `${factor.name} of x*: ${amount(k, first.x[k])} at ${human(first.from)}, ${amount(k, last.x[k])} at ${human(last.from)} ${data.budgetUnit}; at ${human(state.budget)} ${amount(k, view.chosen.x[k])}.`;
    figures.draw(`chart-${k}`, charts.factorChart(view, k), label);
  });
}

function showFrontier() {
  const view = current();
  showAnswer(view);
  showSplit(view.chosen);
  drawFrontier(view);
  return () => {
    showRivals(view);
    showNearest(view.chosen.x);
    mine.show(view);
    pins.show();
    const warned = caveats.extrapolated(view.chosen.x, state.n).length > 0 ? " Outside the runs: see the warning." : "";
    speak(`Deploy ${words(view.chosen.x)}: predicted ${data.targets[state.target].name} ${points(view.chosen.f)}.${warned}`);
  };
}

function showLaw() {
  const { label, rangeName, name } = data.targets[state.target];
  const { target, n } = state;
  const curves = data.factors.map((factor, k) => engine.along(target, n, k, state.mine, factor.curve));
  const here = engine.predicted(target, n, state.mine);
  at("answer-title").textContent = questionText();
  at("answer").replaceChildren(
    ...state.mine.map((value, k) => card(data.factors[k].label, human(value, "B"), data.factors[k].unit && counted(value, data.factors[k].unit, "").trim(), "", "", value)),
    card(`predicted ${name}`, points(here.f), "", bothRanges(rangeName, here), "error", here.f),
  );
  at("sure").textContent = "This study gives no cost, so that there is no frontier: give one in the section “cost” of its configuration. Shown is what its laws predict.";
  showWarnings(caveats.ofPrediction(target, n, here.f, here.high));
  const view = { curves, label, rangeName, mine: state.mine, target, n };
  data.factors.forEach((factor, k) => {
    const [low, high] = [curves[k][0], curves[k][curves[k].length - 1]];
    figures.draw(`chart-${k}`, charts.lawChart(view, k), `Predicted ${name}: ${points(low.f)} at ${factor.name} = ${human(low.value, "B")}, ${points(high.f)} at ${human(high.value, "B")}.`);
  });
  return () => {
    showNearest(state.mine);
    speak(`Predicted ${name} ${points(here.f)} at ${words(state.mine)}.`);
  };
}

// ---- when it is shown ----------------------------------------------------------------------------------------------------------

let waiting = false; // for the next frame
let resting = null; // for the controls to rest
let mover = null; // the control that moved last

// Show what has changed by a control; `done` if it is not still being moved.
function schedule(by, done) {
  delete document.body.dataset.shown; // gone while something is still to be shown
  mover = by;
  clearTimeout(resting);
  resting = done ? null : setTimeout(() => schedule(by, true), RESTED);
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    show();
  });
}

function show(first = false) {
  showControls();
  const busy = resting !== null && slow && data.space && !engine.isKnown(state.target, state.n);
  at("answer-section").setAttribute("aria-busy", String(busy));
  if (busy) return;
  if (first && data.space) {
    showAnswer(answered());
    return requestAnimationFrame(() => setTimeout(show)); // the answer is seen before the charts are drawn
  }
  const rest = data.space ? showFrontier() : showLaw();
  if (resting !== null) return;
  const finish = () => {
    rest();
    document.body.dataset.shown = "";
  };
  if (mover !== null) writeAddress(mover);
  return finish();
}

// ---- the page ------------------------------------------------------------------------------------------------------------------

function setUpCharts() {
  at("charts").dataset.factors = data.factors.length;
  at("charts-title").textContent = data.space ? "The frontier" : "The law";
  const wide = data.factors.length === 1;
  if (!data.space) {
    data.factors.forEach((factor, k) => {
      const [low, high] = [factor.curve[0], factor.curve.at(-1)];
      const pick = (x) => ((state.mine[k] = Math.min(Math.max(rounded(x), low), high)), note(), schedule(`pick-${k}`, true));
      figures.add(`chart-${k}`, { caption: `Prediction against ${factor.label}`, wide, along: factor.name, pick });
    });
    return;
  }
  const pick = (x, exact) => ((state.budget = withinBudgets(exact ? x : rounded(x))), note(), schedule("pick", true));
  figures.add("chart-error", { caption: "The frontier, and every run at its cost", wide: true, along: "budget", pick });
  data.factors.forEach((factor, k) => figures.add(`chart-${k}`, { caption: `${capital(factor)} along the frontier; shaded: 90% of the fits`, wide, along: "budget", pick }));
}

function saveFrontier() {
  const { frontier, budgets, target, n } = current();
  const names = data.factors.map(({ name }) => name);
  const heads = ["c", "n", ...names, "cost", "f", "f_lo", "f_hi", ...names.flatMap((name) => [`${name}_lo`, `${name}_hi`])];
  const rows = budgets.map((budget, i) => {
    const step = frontier.steps.findLast(({ from }) => from <= budget * (1 + 1e-12));
    return [budget, data.hasData ? n : "", ...step.x, step.cost, step.f, step.low, step.high, ...frontier.bands.flatMap((band) => band[i])];
  });
  saveCsv(heads, rows, `frontier-${target}`);
}

function saveCurves() {
  const { target, n } = state;
  const rows = data.factors.flatMap((factor, k) => engine.along(target, n, k, state.mine, factor.curve).map(({ value, f, range }) => [...state.mine.map((own, other) => (other === k ? value : own)), data.hasData ? n : "", f, ...range]));
  saveCsv([...data.factors.map(({ name }) => name), "n", "f", "f_lo", "f_hi"], rows, `law-${target}`);
}

function setUpText() {
  const many = data.space ? plural(data.space.cost.length, "feasible configuration") : null;
  at("title").textContent = data.space ? `${data.study}: what to deploy?` : `${data.study}: what its laws predict`;
  at("lede").textContent = data.space
    ? `Say what one answer may cost${data.hasData ? " and how much data there is to train on" : ""}. The page searches all ${many} with the laws fitted to ${plural(data.runs.count, "run")}, and says how sure it is.`
    : `The laws fitted to ${plural(data.runs.count, "run")}, and how sure they are.`;
  at("about").textContent = data.about.join(" ");
  at("footer").replaceChildren(...data.footer.map((text) => element("p", {}, text)));
  for (const id of ["split-section", "rivals-section", "mine-section", "pin", "why", "measured"]) at(id).hidden = !data.space;
  at("pins-section").hidden = true;
}

function readAgain() {
  note(...readAddress());
  applyTheme();
}

setUpText();
setUpCharts();
setUpControls();
setUpRuns();
figures.measure();
if (data.space) {
  mine.setUp();
  pins.setUp();
}
at("charts-csv").addEventListener("click", data.space ? saveFrontier : saveCurves);
addEventListener("popstate", () => {
  readAgain();
  schedule(null, true);
});
readAgain();
// The laws of the main target stand before this script; those of others are still to come.
if ([state, ...state.pins].every(({ target }) => target === data.main)) show(true);
else addEventListener("DOMContentLoaded", () => show(true));
