// Pinned answers, side by side with the present one.
"use strict";

const Pins = () => {
  const same = (one, other) => one.target === other.target && one.n === other.n && (one.budget === other.budget || sameAnswer(one.budget, other.budget));
  const now = () => ({ target: state.target, budget: state.budget, n: state.n });

  function pin() {
    state.pins.push(now());
    schedule("pin", true);
    at("spoken").textContent = "Pinned.";
  }

  function remove(place) {
    state.pins.splice(place, 1);
    schedule("pin", true);
    at("pin").focus();
  }

  function ask({ target, budget, n }) {
    Object.assign(state, { target, budget, n });
    schedule("pin", true);
  }

  // What a column says, row by row.
  function facts({ target, budget, n }) {
    const found = engine.optimum(target, n, budget);
    const range = (low, high) => `${points(low, target)} to ${points(high, target)}`;
    return [
      ["task", target],
      ["budget", `${human(budget)} ${data.budgetUnit}`],
      ...(data.hasData ? [[data.examples.label, examplesText(n)]] : []),
      ...found.x.map((value, k) => [data.factors[k].label, `${amount(k, value)}${nameOf(k, value) ? ` (${nameOf(k, value)})` : ""}`]),
      ["predicted error", points(found.f, target)],
      [`${data.targets[target].rangeName} of the law`, range(found.low, found.high)],
      ["a new run would measure", range(found.runLow, found.runHigh)],
      ["cost", `${human(found.cost)} ${data.budgetUnit}`],
      ["fits that rank it first", percent(found.pBest)],
    ];
  }

  function show() {
    const { pins } = state;
    const full = pins.length >= MOST_PINS;
    const already = pins.some((one) => same(one, now()));
    at("pin").disabled = full || already;
    at("pin").textContent = already ? "This answer is pinned" : full ? `${MOST_PINS} answers are pinned` : "Pin this answer";
    at("pins-section").hidden = pins.length === 0;
    if (pins.length === 0) return;
    const columns = [...pins, ...(already ? [] : [now()])].map((one) => ({ one, said: facts(one) }));
    const head = columns.map(({ one }, i) => {
      const name = i < pins.length ? `Pinned ${i + 1}` : "Now";
      const acts = i < pins.length ? [button("Ask this", () => ask(one), { "aria-label": `Ask the question of pinned answer ${i + 1}` }), button("Remove", () => remove(i), { "aria-label": `Remove pinned answer ${i + 1}` })] : [];
      return element("th", { scope: "col" }, element("span", {}, name), ...acts);
    });
    const rows = columns[0].said.map(([label], r) => {
      const texts = columns.map(({ said }) => said[r][1]);
      const differs = new Set(texts).size > 1;
      return element("tr", { class: differs ? "differs" : null }, element("th", { scope: "row" }, label), ...texts.map((text) => element("td", {}, text)));
    });
    at("pins").replaceChildren(element("thead", {}, element("tr", {}, element("td", {}), ...head)), element("tbody", {}, ...rows));
  }

  const setUp = () => at("pin").addEventListener("click", pin);

  return { setUp, show };
};
