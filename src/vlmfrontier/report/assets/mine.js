// My configuration: any value of every factor, what the laws predict for it, what it costs, and how it ranks.
"use strict";

const Mine = () => {
  let last = { key: null };
  const box = (k) => at(`mine-${k}`);
  const shown = (k, value) => nameOf(k, value) || (levelOf(k, value) >= 0 ? amount(k, value) : exactText(value));

  function field(factor, k) {
    const levels = factor.levels.map((level, i) => element("option", { value: (factor.names && factor.names[i]) || factor.texts[i] }, factor.texts[i]));
    const list = element("datalist", { id: `mine-${k}-levels` }, ...levels);
    const input = element("input", { type: "text", id: `mine-${k}`, list: `mine-${k}-levels`, size: 9, spellcheck: "false" });
    input.addEventListener("change", () => {
      const { value, problem } = factorFor(input.value, k);
      note(problem ? `My configuration, ${factor.name}: ${problem}` : "");
      if (value !== null) take(state.mine.map((own, other) => (other === k ? value : own)));
      else fill();
    });
    return element("div", { class: "field" }, element("label", { for: `mine-${k}` }, capital(factor), factor.unit ? element("span", { class: "unit" }, ` ${factor.unit}`) : null), input, list);
  }

  function take(x) {
    state.mine = [...x];
    state.own = true;
    schedule("mine", true);
  }

  function setUp() {
    at("mine").replaceChildren(...data.factors.map(field));
    at("mine-chosen").addEventListener("click", () => take(current().chosen.x));
    at("mine-measured").addEventListener("click", () => {
      const known = caveats.measured(state.target, state.n).filter(({ cost }) => cost !== null && cost <= state.budget);
      if (known.length > 0) take(caveats.bestOf(known).x);
      else note("My configuration: no run with this n is within the budget.");
    });
    at("mine-form").addEventListener("submit", (event) => event.preventDefault());
  }

  const fill = () => data.factors.forEach((_, k) => (box(k).value = shown(k, state.mine[k])));

  // What is known of the configuration at the question asked.
  function known() {
    const x = state.mine;
    const key = `${state.target} ${state.n} ${x}`;
    if (last.key !== key) last = { key, found: { x, cost: cost.of(x), ...engine.predicted(state.target, state.n, x) } };
    return last.found;
  }

  function rankText(price, f, what) {
    const { count, better, top } = engine.standing(state.target, state.n, price, f);
    if (count === 0) return `No configuration of the space costs so little.`;
    const rank = better === 0 ? "None" : whole(better);
    const verb = better === 1 ? "is" : "are";
    const best = better === 0 ? "" : `; the best of them, ${words(top.x)}, at ${compared(top, { f })}`;
    return `${rank} of the ${plural(count, "configuration")} ${what} ${verb} predicted better${best}.`;
  }

  function outside(x) {
    const sentences = data.factors.flatMap((factor, k) => {
      const [low, high] = [factor.runs[0], factor.runs.at(-1)];
      if (levelOf(k, x[k]) >= 0) return [data.warnings.factors[k][levelOf(k, x[k])]].filter((sentence) => sentence !== null);
      if (x[k] >= low && x[k] <= high) return [];
      return [`${factor.name} = ${human(x[k], "B")} is extrapolated: the runs have ${human(low, "B")} to ${human(high, "B")}.`];
    });
    const models = cost.models.filter((k) => !data.factors[k].levels.includes(x[k])).map((k) => `There is no model of ${data.factors[k].name} = ${human(x[k], "B")}: its error is predicted, its cost is not known.`);
    return [...sentences, ...models];
  }

  function show({ chosen }) {
    fill();
    const one = known();
    const { rangeName, name } = data.targets[state.target];
    const price = one.cost === null ? "not known" : human(one.cost);
    const budget = one.cost === null ? "between the sizes that the cost knows" : `${one.cost <= state.budget ? "within" : "above"} the budget of ${human(state.budget)}`;
    at("mine-answer").replaceChildren(
      card(`predicted ${name}`, points(one.f), "", bothRanges(rangeName, one), "error", one.f),
      card("beside x*", compared(one, chosen).replace(/^.*\((.*)\)$/, "$1"), "", `x* of the budget: ${words(chosen.x)}, predicted ${points(chosen.f)}`),
      card("cost", price, one.cost === null ? "" : data.budgetUnit, budget, "", one.cost),
    );
    const measured = caveats.measured(state.target, state.n).find(({ x }) => x.every((value, k) => near(value, one.x[k])));
    const ranks = [rankText(state.budget, one.f, "within the budget")];
    if (one.cost !== null) ranks.unshift(rankText(one.cost, one.f, "that cost no more than it does"));
    if (measured) ranks.push(`It was measured at ${points(measured.error)}${measured.count > 1 ? ` (mean of ${measured.count} runs)` : ""}.`);
    at("mine-rank").replaceChildren(...ranks.map((text) => element("li", {}, text)));
    at("mine-warnings").replaceChildren(...[...outside(one.x), ...caveats.above(state.target, one.f, one.high)].map((text) => element("li", {}, text)));
  }

  return { setUp, show, known };
};
