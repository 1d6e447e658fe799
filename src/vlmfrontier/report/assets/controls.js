// The controls: task, budget, number of examples (or the factors of a study without a cost), theme, link, print.
"use strict";

const SLIDER = 1000;
const SPOKEN_AFTER = 500;
const COPIED_FOR = 2000;

const onSlider = (value, low, high) => Math.round((SLIDER * Math.log(value / low)) / Math.log(high / low));
const offSlider = (place, low, high) => low * (high / low) ** (place / SLIDER);
// A place on a slider or a chart means a number that a person can write.
const rounded = (value) => Number(value.toPrecision(3));

function note(...sentences) {
  at("note").replaceChildren(...sentences.filter(Boolean).map((sentence) => element("span", {}, sentence)));
}

let speaking = null;
function speak(sentence) {
  clearTimeout(speaking);
  speaking = setTimeout(() => (at("spoken").textContent = sentence), SPOKEN_AFTER);
}

// A slider with a text box: `step(place)` is the slider's value, `fit(number)` what can be shown for a written one.
function setUpPair(id, { step, fit, set }) {
  at(id).addEventListener("input", () => {
    set(step(Number(at(id).value)));
    note();
    schedule(id, false);
  });
  at(id).addEventListener("change", () => schedule(id, true));
  at(`${id}-text`).addEventListener("change", () => {
    const read = positive(at(`${id}-text`).value);
    const { value, problem } = read.problem ? read : fit(read.value);
    note(problem);
    if (value !== null) set(value);
    schedule(`${id}-text`, true);
  });
}

function setUpHeld(factor, k) {
  const input = element("input", { type: "range", id: `held-${k}`, min: 0, max: SLIDER, step: 1 });
  const shown = element("output", { id: `held-${k}-text`, for: `held-${k}` });
  at("held").append(element("div", { class: "control" }, element("label", { for: `held-${k}` }, capital(factor)), element("div", { class: "pair" }, input, shown)));
  input.addEventListener("input", () => {
    state.mine[k] = rounded(offSlider(Number(input.value), factor.curve[0], factor.curve.at(-1)));
    schedule(`held-${k}`, false);
  });
  input.addEventListener("change", () => schedule(`held-${k}`, true));
}

function setUpControls() {
  for (const name of Object.keys(data.targets)) at("target").append(element("option", { value: name }, name));
  at("target-control").hidden = Object.keys(data.targets).length === 1;
  at("budget-control").hidden = !data.budgets;
  at("n-control").hidden = !data.hasData;
  at("target").addEventListener("change", () => {
    state.target = at("target").value;
    schedule("target", true);
  });
  if (data.budgets) {
    const { low, high } = data.budgets;
    at("budget-unit").textContent = data.budgetUnit;
    setUpPair("budget", { step: (place) => withinBudgets(rounded(offSlider(place, low, high))), fit: budgetFor, set: (budget) => (state.budget = budget) });
  }
  if (data.hasData) {
    at("n-label").textContent = capital(data.examples);
    at("n").max = data.examples.steps.length - 1;
    setUpPair("n", { step: (place) => data.examples.steps[place], fit: examplesFor, set: (n) => (state.n = n) });
  }
  if (!data.space) data.factors.forEach(setUpHeld);
  at("controls").addEventListener("submit", (event) => event.preventDefault());
  setUpPage();
}

// What is not a question: the link, paper, colours.
function setUpPage() {
  at("copy").addEventListener("click", copyLink);
  at("print").addEventListener("click", () => window.print());
  at("theme").addEventListener("click", () => {
    state.theme = THEMES[(THEMES.indexOf(state.theme) + 1) % THEMES.length];
    applyTheme();
    schedule("theme", true);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", figures.recolour);
  // Charts are drawn for paper while the page is laid out for it.
  addEventListener("beforeprint", () => ((at("paper").media = "all"), figures.fit()));
  addEventListener("afterprint", () => ((at("paper").media = "print"), figures.fit()));
  at("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address is the question
    at("answer").focus();
  });
}

async function copyLink() {
  const link = `${location.href.split("#")[0]}${address()}`;
  let copied = true;
  try {
    await navigator.clipboard.writeText(link);
  } catch {
    copied = false;
  }
  at("copy").dataset.link = link;
  at("copy").textContent = copied ? "Copied" : "Copy it below";
  at("link").hidden = copied;
  at("link-text").value = link;
  if (!copied) at("link-text").select();
  at("spoken").textContent = copied ? "The link is copied." : "The link cannot be copied by the page; it is selected for you.";
  setTimeout(() => (at("copy").textContent = "Copy link"), COPIED_FOR);
}

function applyTheme() {
  if (state.theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = state.theme;
  at("theme").textContent = `Colours: ${state.theme === "auto" ? "as the system" : state.theme}`;
  figures.recolour();
}

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
      input.value = onSlider(state.mine[k], factor.curve[0], factor.curve.at(-1) * (factor.curve.length > 1 ? 1 : 1.001));
      input.setAttribute("aria-valuetext", `${factor.name} = ${human(state.mine[k], "B")}`);
      at(`held-${k}-text`).textContent = human(state.mine[k], "B");
    });
  }
}
