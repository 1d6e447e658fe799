// What each chart shows, as plain models: axes, curves, points and what is read at a place. Nothing here draws.
"use strict";

const Charts = (data) => {
  const GROUPS = 6; // more data sizes share colours
  const SHAPES = ["circle", "square", "diamond", "triangle-up", "cross", "triangle-down"];
  const SIGNS = { circle: "●", square: "■", diamond: "◆", "triangle-up": "▲", cross: "✚", "triangle-down": "▼", star: "★" };
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const STAR = "x* at the budget";
  const MINE = "my configuration";
  const OUTSIDE = "predicted, outside the runs";

  // ---- runs --------------------------------------------------------------------------------------------------------

  // The record of a run, a line per fact.
  function record(run, target) {
    const { runs } = data;
    const x = data.factors.map((factor, k) => `${factor.name} = ${human(runs.factors[k][run], "B")}`);
    if (data.hasData) x.push(`n = ${human(runs.n[run], "B")}`);
    const lines = [runs.names[run], x.join(", ")];
    if (runs.cost && runs.cost[run] !== null) lines.push(`c = ${human(runs.cost[run])} ${data.budgetUnit}`);
    const error = (name) => `${name}: ${measuredText(runs.errors[name][run], runs.se[name] && runs.se[name][run], name)}`;
    lines.push(error(target), ...Object.keys(data.targets).filter((name) => name !== target).map(error));
    return [...lines, ...runs.notes[run].map(([label, text]) => `${label}: ${text}`)];
  }

  // Runs in groups of one n each; of many sizes neighbours share a group.
  function grouped() {
    const all = Array.from({ length: data.runs.count }, (_, i) => i);
    if (!data.hasData) return [{ name: "runs", runs: all, low: -Infinity, high: Infinity }];
    const sizes = [...new Set(data.runs.n)].sort((a, b) => a - b);
    const many = Math.min(sizes.length, GROUPS);
    return Array.from({ length: many }, (_, g) => {
      const own = sizes.slice(Math.round((g * sizes.length) / many), Math.round(((g + 1) * sizes.length) / many));
      const [low, high] = [own[0], own[own.length - 1]];
      const size = low === high ? human(low, "B") : `${human(low, "B")} to ${human(high, "B")}`;
      return { name: `runs, n = ${size}`, low, high, runs: all.filter((i) => data.runs.n[i] >= low && data.runs.n[i] <= high) };
    });
  }

  const groups = grouped();
  const colourOf = (g) => data.colours.sizes[Math.round((g * (data.colours.sizes.length - 1)) / Math.max(1, groups.length - 1))];

  // The runs whose error was measured and for which `x` is known.
  function runPoints(target, x, shown = () => true) {
    return groups.map((group, g) => {
      const runs = group.runs.filter((run) => data.runs.errors[target][run] !== null && x(run) !== null && shown(run));
      const y = runs.map((run) => data.runs.errors[target][run]);
      return { name: group.name, symbol: SHAPES[g % SHAPES.length], colour: colourOf(g), x: runs.map(x), y, lines: (i) => record(runs[i], target) };
    });
  }

  // Runs of other n are faded, as long as some have the n that is asked for.
  function fading(n) {
    const own = groups.filter(({ low, high }) => n >= low * (1 - 1e-9) && n <= high * (1 + 1e-9));
    return (name) => data.hasData && own.length > 0 && !own.some((group) => group.name === name);
  }

  // ---- curves ------------------------------------------------------------------------------------------------------

  // Steps as a line: each holds from its own x to the next one's; breaks where `shown` says no.
  function stairs(steps, end, value, shown = () => true) {
    const x = [];
    const y = [];
    steps.forEach((step, i) => {
      const until = i + 1 < steps.length ? steps[i + 1].from : end;
      x.push(...(shown(step) ? [step.from, until] : [null]));
      y.push(...(shown(step) ? [value(step), value(step)] : [null]));
    });
    return { x, y };
  }

  // The step that answers a budget; null outside of the page's budgets.
  function stepAt(view, budget) {
    if (!(budget >= view.frontier.steps[0].from) || budget > data.budgets.high) return null;
    return view.frontier.steps.findLast((step) => step.from <= budget);
  }

  const extent = (values) => [Math.min(...values), Math.max(...values)];
  const interval = (low, high) => `${points(low)} to ${points(high)}`;

  // What the marks mean, for a legend outside of the chart, which wraps as text does.
  function keys(model) {
    const band = model.bands.filter(({ name }) => name).map(({ name }) => ({ name, sign: "▆", colour: css("--band-solid") }));
    const lines = model.lines.filter(({ name }) => name).map(({ name, kind }) => ({ name, sign: kind === "dotted" ? "┄┄" : "━━", colour: css("--accent") }));
    const runs = model.points.filter(({ x }) => x.length > 0).map(({ name, symbol, colour }) => ({ name, sign: SIGNS[symbol], colour, outlined: true }));
    const marks = model.marks.map(({ name, symbol, kind }) => ({ name, sign: SIGNS[symbol], colour: css(kind === "mine" ? "--mine" : "--mark") }));
    return [...lines, ...band, ...runs, ...marks];
  }

  // ---- the charts of a study with a cost ---------------------------------------------------------------------------

  function budgetAxis(values) {
    return { log: true, range: roomy({ log: true }, extent(values), 0.03), title: `budget c (${data.budgetUnit})`, text: (value) => human(value) };
  }

  // Three values that decide how a curve is drawn, as one text.
  const keyOf = (view) => `${view.target} ${view.n}`;

  function ownMark(view, y) {
    const { mine } = view;
    return mine === null || mine.cost === null ? [] : [{ name: MINE, symbol: "diamond", kind: "mine", x: mine.cost, y: y(mine) }];
  }

  function errorChart(view) {
    const { steps } = view.frontier;
    const { target, chosen, budget } = view;
    const { low, high: end } = data.budgets;
    const costs = data.runs.cost.filter((cost) => cost !== null);
    const [upper, lower] = [stairs(steps, end, (step) => step.high), stairs(steps, end, (step) => step.low)];
    const found = runPoints(target, (run) => data.runs.cost[run]);
    const heights = [...found.flatMap(({ y }) => y), ...upper.y, ...lower.y];
    const model = {
      key: keyOf(view),
      pointsKey: target,
      x: budgetAxis([low, end, ...costs]),
      y: { log: false, range: roomy({}, extent(heights), 0.04), title: view.label, text: (value) => human(value, "G", 4) },
      bands: [{ name: view.rangeName, x: upper.x, low: lower.y, high: upper.y }],
      lines: [
        { name: OUTSIDE, kind: "dotted", ...stairs(steps, end, (step) => step.f) },
        { name: "predicted for x*", ...stairs(steps, end, (step) => step.f, view.inside) },
      ],
      points: found,
      faded: fading(view.n),
      cursor: budget,
      marks: [{ name: STAR, symbol: "star", kind: "star", x: budget, y: chosen.f, low: chosen.low, high: chosen.high }, ...ownMark(view, (mine) => mine.f)],
      read(at) {
        const step = stepAt(view, at);
        return step && { x: at, y: step.f, lines: [`x* at ${human(at)} ${data.budgetUnit}`, words(step.x), `predicted ${points(step.f)}`, `${view.rangeName} of the law ${interval(step.low, step.high)}`] };
      },
    };
    return { ...model, legend: () => keys(model) };
  }

  function factorChart(view, k) {
    const factor = data.factors[k];
    const { frontier: { steps, bands }, budgets } = view;
    const { low, high: end } = data.budgets;
    const edges = budgets.flatMap((from, i) => (i + 1 < budgets.length ? [from, budgets[i + 1]] : []));
    const held = (side) => bands[k].flatMap((range, i) => (i + 1 < bands[k].length ? [range[side], range[side]] : []));
    const value = (step) => step.x[k];
    return {
      key: keyOf(view),
      pointsKey: "",
      x: budgetAxis([low, end]),
      y: { log: true, range: roomy({ log: true }, extent(factor.levels), 0.06), levels: factor.levels, title: factor.unit || factor.name, text: (level) => amount(k, level) },
      bands: [{ x: edges, low: held(0), high: held(1) }],
      lines: [{ kind: "dotted", ...stairs(steps, end, value) }, stairs(steps, end, value, view.inside)],
      points: [],
      faded: () => false,
      cursor: view.budget,
      marks: [{ symbol: "star", kind: "star", x: view.budget, y: view.chosen.x[k] }, ...ownMark(view, (mine) => mine.x[k])],
      legend: () => [],
      read(at) {
        const step = stepAt(view, at);
        if (!step) return null;
        const band = bands[k][Math.max(0, budgets.findLastIndex((from) => from <= at))].map((level) => amount(k, level));
        const fits = band[0] === band[1] ? `90% of the fits choose ${band[0]}` : `90% of the fits choose ${band[0]}–${band[1]}`;
        return { x: at, y: step.x[k], lines: [`x* at ${human(at)} ${data.budgetUnit}`, `${factor.name} = ${counted(step.x[k], factor.unit, amount(k, step.x[k]))}`, fits, `predicted ${points(step.f)}`] };
      },
    };
  }

  // ---- the charts of a study without one ---------------------------------------------------------------------------

  function lawChart(view, k) {
    const factor = data.factors[k];
    const { curve } = view;
    const x = curve.map((point) => point.value);
    const onLine = (run) => view.mine.every((value, other) => other === k || Math.abs(Math.log(data.runs.factors[other][run] / value)) < 0.02);
    const found = runPoints(view.target, (run) => data.runs.factors[k][run], onLine);
    const [low, high] = [0, 1].map((side) => curve.map(({ range }) => range[side]));
    const here = nearestIndex(x, view.mine[k]);
    const model = {
      key: `${view.target} ${view.n} ${view.mine.join(" ")}`,
      pointsKey: `${view.target} ${view.mine.filter((_, other) => other !== k).join(" ")}`,
      x: { log: true, range: roomy({ log: true }, extent(x), 0.03), title: factor.label, text: (value) => human(value, "B") },
      y: { log: false, range: roomy({}, extent([...found.flatMap(({ y }) => y), ...low, ...high]), 0.04), title: view.label, text: (value) => human(value, "G", 4) },
      bands: [{ name: view.rangeName, x, low, high }],
      lines: [{ name: "predicted", x, y: curve.map(({ f }) => f) }],
      points: found,
      faded: fading(view.n),
      cursor: view.mine[k],
      marks: [{ name: "here", symbol: "star", kind: "star", x: view.mine[k], y: curve[here].f }],
      read(at) {
        if (at < x[0] * 0.99 || at > x[x.length - 1] * 1.01) return null;
        const point = curve[nearestIndex(x, at)];
        return { x: point.value, y: point.f, lines: [`${factor.name} = ${counted(point.value, factor.unit)}`, `predicted ${points(point.f)}`, `${view.rangeName} of the law ${interval(...point.range)}`] };
      },
    };
    return { ...model, legend: () => keys(model) };
  }

  const nearestIndex = (values, wanted) => values.reduce((best, value, i) => (Math.abs(Math.log(value / wanted)) < Math.abs(Math.log(values[best] / wanted)) ? i : best), 0);

  return { errorChart, factorChart, lawChart, record };
};
