// The first screen: the question, the answer with units and names, why, what was measured, and what makes it less sure.
"use strict";

// The question as the command line asks it.
function questionText({ target, budget, n } = state) {
  const given = [data.budgets ? `${human(budget)} ${data.budgetUnit}` : null, data.hasData ? (data.examples.unit ? counted(n, data.examples.unit, examplesText(n)) : `n = ${examplesText(n)}`) : null];
  const said = given.filter((text) => text !== null).join(" and ");
  return data.space ? `With ${said}, for the least error of ${target}, deploy` : `Predicted error of ${target}${said ? ` with ${said}` : ""}`;
}

// Why the page asks this question first; nothing where the reader has asked another one.
function whyText() {
  const reasons = [];
  if (data.budgets && near(state.budget, data.budgets.start)) reasons.push(`${human(state.budget)} is the middle one of the study's budgets, ${human(data.budgets.asked[0])} to ${human(data.budgets.asked[1])}`);
  if (data.hasData && data.space && state.n === data.examples.start) reasons.push(`${examplesText(state.n)} is the largest n that the study asks about`);
  return reasons.length === 0 ? "" : `Why these: ${reasons.join("; ")}. Move the sliders to ask another question.`;
}

function card(name, value, unit, range, kind = "", exact = null, title = null) {
  const strong = element("strong", {}, value, unit ? element("small", {}, ` ${unit}`) : null);
  const called = title === null ? null : element("span", { class: "called" }, title);
  return element("div", { class: `value ${kind}`, "data-name": name, "data-value": exact }, element("span", { class: "name" }, name), called, strong, range ? element("span", { class: "range" }, range) : null);
}

// Both ranges by name: what the law is, and what a new run would measure.
function bothRanges(rangeName, { low, high, runLow, runHigh }, target = state.target) {
  const range = (from, to) => `${points(from, target)} to ${points(to, target)}`;
  return `${rangeName} of the law ${range(low, high)}; a new run would measure ${range(runLow, runHigh)}`;
}

function agreementText(chosen, target = state.target) {
  const lost = chosen.regret < 1e-9 ? "90% of them lose nothing by it" : `90% of them lose at most ${Number(chosen.regret.toPrecision(2))} points by it`;
  return `${percent(chosen.pBest)} of ${plural(data.targets[target].fits, "resampled fit")} rank it first; for ${percent(chosen.pNear)} it is within ${Number((100 * chosen.near).toPrecision(2))}% of their best; ${lost}.`;
}

function showAnswer(view) {
  const { chosen } = view;
  const cards = chosen.x.map((value, k) => {
    const factor = data.factors[k];
    const [low, high] = view.ranges[k].map((level) => amount(k, level));
    const range = low === high ? "90% of the fits agree" : `90% of the fits choose ${low}–${high}`;
    return card(factor.label, amount(k, value), factor.unit && counted(value, factor.unit, "").trim(), range, "", value, nameOf(k, value));
  });
  cards.push(card(`predicted ${data.targets[state.target].name}`, points(chosen.f), "", bothRanges(view.rangeName, chosen), "error", chosen.f));
  cards.push(card("cost", human(chosen.cost), data.budgetUnit, `of a budget of ${human(state.budget)}`, "", chosen.cost));
  at("answer").replaceChildren(...cards);
  at("answer-title").textContent = questionText();
  at("why").textContent = whyText();
  at("sure").textContent = agreementText(chosen);
  const { target, n, budget } = state;
  const { measured, warnings } = isFirst(state) ? data.first : said(target, n, budget, chosen);
  showMeasured(measured);
  showWarnings(warnings);
}

// What is said beside an answer.
function said(target, n, budget, chosen) {
  const predict = (x) => engine.prediction(target, n, x);
  return { measured: caveats.ofMeasured(target, n, budget, chosen, predict), warnings: caveats.ofAnswer(target, n, budget, chosen) };
}

function showMeasured(sentences) {
  at("measured").replaceChildren(...sentences.map((sentence) => element("li", {}, ...marked(sentence))));
}

function showWarnings(sentences) {
  at("warnings").replaceChildren(...sentences.map((sentence) => element("li", {}, ...marked(sentence))));
}

// ---- beside the answer --------------------------------------------------------------------------------------------------

function showSplit(chosen) {
  const { parts } = data.space;
  at("split-section").hidden = parts === null;
  if (parts === null) return;
  const shares = Object.entries(parts).map(([name, values]) => [name, values[chosen.index]]);
  const said = shares.map(([name, share]) => `${name}: ${percent(share)}, ${human(share * chosen.cost)} ${data.unit}`);
  const colour = (i) => `background:var(--part-${i})`;
  const bar = element("div", { class: "bar", "aria-hidden": "true" }, ...shares.map(([, share], i) => element("span", { style: `width:${100 * share}%;${colour(i)}` })));
  const list = element("ul", { class: "parts" }, ...said.map((text, i) => element("li", {}, element("i", { style: colour(i), "aria-hidden": "true" }), text)));
  at("split").replaceChildren(bar, list);
}

function showRivals({ chosen }) {
  const row = (name, other) => [name, words(other.x), { number: human(other.cost) }, { number: compared(other, chosen) }];
  const rows = engine.rivals(state.target, state.n, state.budget, data.rules.alternatives).map((other) => row("next best", other));
  rows.push(row("twice the budget", engine.optimum(state.target, state.n, 2 * state.budget)));
  if (data.hasData) rows.push(row(`twice the ${data.examples.word}`, engine.optimum(state.target, 2 * state.n, state.budget)));
  fillTable(at("rivals"), ["", "configuration", { number: "cost" }, { number: "error (difference)" }], rows);
}

function showNearest(x) {
  const rows = engine.nearest(x, state.n, data.rules.nearestRuns, state.target).map((run) => runCells(run, [state.target]));
  fillTable(at("nearest"), runHeads([state.target]).map(({ name, number }) => (number ? { number: name } : name)), rows);
}
