// The page: what is asked goes to the models, and what they say is shown: the answer in the next frame, the charts one by
// one after it, and the rest when the control rests.
"use strict";

const BANDS = 120;
const RESTED = 140; // ms without a move after which the rest is shown
const engine = Engine(data);
const cost = Cost(data, engine);
const caveats = Caveats(data);
const charts = Charts(data);
const figures = Figures(charts);
const mine = data.space && Mine();
const pins = data.space && Pins();

// ---- what is shown -----------------------------------------------------------------------------------------------------------

const frontiers = new Map();

// The frontier at one target and n, computed once.
function frontierOf(target, n) {
  const key = `${target} ${n}`;
  if (!frontiers.has(key)) {
    const { low, high } = data.budgets;
    const budgets = Array.from({ length: BANDS + 1 }, (_, i) => Math.min(high, low * (high / low) ** (i / BANDS)));
    if (frontiers.size > 40) frontiers.clear();
    frontiers.set(key, { budgets, frontier: engine.frontier(target, n, budgets) });
  }
  return frontiers.get(key);
}

// Everything that is known of the question asked.
function current() {
  return { ...frontierOf(state.target, state.n), ...answered(), mine: state.own ? mine.known() : null };
}

// Whether the question is the one that the page was made with.
const isFirst = ({ target, n, budget }) => data.first !== null && target === data.main && n === START.n && budget === START.budget;

let lastAnswer = null; // many pieces show it, and each in a task of its own

// What the answer alone needs, computed once for each question.
function answered() {
  const { target, n, budget } = state;
  const asked = `${target} ${n} ${budget}`;
  if (lastAnswer?.asked !== asked) lastAnswer = { asked, ...answerTo(state) };
  return lastAnswer;
}

function answerTo({ target, n, budget }) {
  const { chosen, ranges } = isFirst({ target, n, budget }) ? data.first : { chosen: engine.optimum(target, n, budget), ranges: engine.ranges(target, n, budget) };
  const outside = data.hasData && data.warnings.n[stepOf(n)] !== null;
  const inside = (step) => !outside && step.x.every((value, k) => data.warnings.factors[k][levelOf(k, value)] === null);
  const { label, rangeName } = data.targets[target];
  return { chosen, ranges, inside, label, rangeName, target, n, budget };
}

function drawErrors() {
  const view = current();
  const { steps } = view.frontier;
  const [first, last] = [steps[0], steps[steps.length - 1]];
  const { name } = data.targets[state.target];
  figures.draw("chart-error", charts.errorChart(view), `Predicted ${name} along the frontier: ${points(first.f)} at ${human(first.from)}, ${points(last.f)} at ${human(last.from)} ${data.budgetUnit}; at ${human(state.budget)} ${points(view.chosen.f)}. ${plural(data.runs.count, "run")} as points; the table of runs has their numbers.`);
}

function drawFactor(factor, k) {
  const view = current();
  const { steps } = view.frontier;
  const [first, last] = [steps[0], steps[steps.length - 1]];
  const label = `${factor.name} of x*: ${amount(k, first.x[k])} at ${human(first.from)}, ${amount(k, last.x[k])} at ${human(last.from)} ${data.budgetUnit}; at ${human(state.budget)} ${amount(k, view.chosen.x[k])}.`;
  figures.draw(`chart-${k}`, charts.factorChart(view, k), label);
}

function speakAnswer() {
  const { chosen } = answered();
  const warned = caveats.extrapolated(chosen.x, state.n).length > 0 ? " Outside the runs: see the warning." : "";
  speak(`Deploy ${words(chosen.x)}: predicted ${data.targets[state.target].name} ${points(chosen.f)}.${warned}`);
}

function showPrediction() {
  const { target, n } = state;
  const { rangeName, name } = data.targets[target];
  const here = engine.predicted(target, n, state.mine);
  at("answer-title").textContent = questionText();
  at("answer").replaceChildren(
    ...state.mine.map((value, k) => card(data.factors[k].label, human(value, "B"), data.factors[k].unit && counted(value, data.factors[k].unit, "").trim(), "", "", value)),
    card(`predicted ${name}`, points(here.f), "", bothRanges(rangeName, here), "error", here.f),
  );
  at("sure").textContent = "This study gives no cost, so that there is no frontier: give one in the section “cost” of its configuration. Shown is what its laws predict.";
  showWarnings(caveats.ofPrediction(target, n, here.f, here.high));
}

function drawLaw(factor, k) {
  const { target, n, mine: x } = state;
  const { label, rangeName, name } = data.targets[target];
  const curve = engine.along(target, n, k, x, factor.curve);
  const [low, high] = [curve[0], curve[curve.length - 1]];
  figures.draw(`chart-${k}`, charts.lawChart({ curve, label, rangeName, mine: x, target, n }, k), `Predicted ${name}: ${points(low.f)} at ${factor.name} = ${human(low.value, "B")}, ${points(high.f)} at ${human(high.value, "B")}.`);
}

function speakPrediction() {
  const { target, n, mine: x } = state;
  speak(`Predicted ${data.targets[target].name} ${points(engine.predicted(target, n, x).f)} at ${words(x)}.`);
}

const showFirst = data.space ? () => showAnswer(answered()) : showPrediction;
const DRAWN = data.space ? [() => showSplit(answered().chosen), drawErrors, ...data.factors.map((factor, k) => () => drawFactor(factor, k))] : data.factors.map((factor, k) => () => drawLaw(factor, k));
const RESTING = data.space ? [() => showRivals(answered()), () => showNearest(answered().chosen.x), () => mine.show(answered()), () => pins.show(), speakAnswer] : [() => showNearest(state.mine), speakPrediction];

// ---- when it is shown ----------------------------------------------------------------------------------------------------------

let waiting = false; // for the next frame
let resting = null; // for the controls to rest
let mover = null; // the control that moved last
let following = []; // what is still to be done, in this order; nothing of it twice

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

function show() {
  showControls();
  showFirst();
  const rest = resting === null ? [...RESTING, finish] : [];
  // What a drag has not come to draw stays ahead of what it has drawn, so that every chart follows it.
  const waited = following.filter((piece) => !RESTING.includes(piece) && piece !== finish);
  follow([...waited, ...DRAWN.filter((piece) => !waited.includes(piece)), ...rest]);
}

function finish() {
  if (mover !== null) writeAddress(mover);
  document.body.dataset.shown = "";
}

// Do each piece in a task of its own after the frame, so that another move of the control comes between them.
const channel = new MessageChannel();
let posted = false;
channel.port1.onmessage = () => {
  posted = false;
  const piece = following.shift();
  if (piece) piece();
  if (!waiting) goOn();
};

function goOn() {
  if (posted || following.length === 0) return;
  posted = true;
  channel.port2.postMessage(null);
}

function follow(pieces) {
  following = pieces;
  goOn();
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
  at("about").replaceChildren(...marked(data.about.join(" ")));
  at("footer").replaceChildren(...data.footer.map((text) => element("p", {}, text)));
  for (const id of ["split-section", "rivals-section", "mine-section", "pin", "why", "measured"]) at(id).hidden = !data.space;
  at("pins-section").hidden = true;
}

function readAgain() {
  note(...readAddress());
  applyTheme();
}

function setUpRest() {
  setUpCharts();
  setUpRuns();
  figures.measure();
  at("charts-csv").addEventListener("click", data.space ? saveFrontier : saveCurves);
  if (data.space) {
    mine.setUp();
    pins.setUp();
  }
}

setUpText();
setUpControls();
readAgain();
addEventListener("popstate", () => {
  readAgain();
  schedule(null, true);
});

// The answer to the first question came with the page, and that to another one about the main target needs only the laws that
// stand before this script; those of others are still to come. All else follows once the answer is seen.
function begin() {
  showControls();
  showFirst();
  requestAnimationFrame(() => follow([setUpRest, ...DRAWN, ...RESTING, finish]));
}

if ([state, ...state.pins].every(({ target }) => target === data.main)) begin();
else addEventListener("DOMContentLoaded", begin);
