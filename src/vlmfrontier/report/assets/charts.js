// The charts, as traces and layouts for the plotting library; nothing here knows of controls.
"use strict";

const Charts = (data) => {
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const VIRIDIS_LIGHT = ["#440154", "#3b528b", "#21918c", "#3f9f4a", "#a08a00", "#b35900"];
  const VIRIDIS_DARK = ["#c39bff", "#8fb4ff", "#4fd6cf", "#7fe08a", "#e6dc5a", "#ffb36b"];
  const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "triangle-down"];
  const MOST_COLOURS = SYMBOLS.length;
  const FEW_TICKS = 9;
  const SIGNS = { circle: "●", square: "■", diamond: "◆", "triangle-up": "▲", cross: "✚", "triangle-down": "▼", star: "★" };
  const config = { displayModeBar: false, responsive: true, showTips: false };

  function layout(x, y, extra = {}) {
    const axis = { gridcolor: css("--grid"), linecolor: css("--line"), zeroline: false, fixedrange: true };
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif", size: 12, color: css("--ink") },
      margin: { l: 62, r: 14, t: 8, b: 46 }, // fixed: the library measures too long for margins of its own
      showlegend: false, // the page has one of its own
      hovermode: "closest",
      hoverlabel: { bgcolor: css("--card"), bordercolor: css("--line"), font: { color: css("--ink"), size: 12 }, align: "left" },
      xaxis: { ...axis, ...x },
      yaxis: { ...axis, ...y },
      ...extra,
    };
  }

  // A scale of colours stands below a chart that has no room beside it.
  const narrow = () => innerWidth <= 600;
  const title = (text) => ({ text, standoff: 8, font: { size: 12, color: css("--soft") } });

  // Ticks at round numbers of a logarithmic axis: 1, 2, 5 where there is room.
  function logTicks(low, high, billions) {
    const decades = Math.log10(high / low);
    const steps = decades < 2 ? [1, 2, 5] : decades < 3 ? [1, 3] : [1];
    const values = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
      for (const step of steps) {
        const value = Number(`${step}e${power}`);
        if (value >= low * 0.999 && value <= high * 1.001) values.push(value);
      }
    }
    const shown = values.length >= 2 ? values : [low, high];
    return { tickvals: shown, ticktext: shown.map((value) => human(value, billions)) };
  }

  // Ticks at levels, far enough from each other for their labels; the last always.
  function levelTicks(levels, texts) {
    const gap = Math.log(levels[levels.length - 1] / levels[0]) / FEW_TICKS;
    const kept = [levels.length - 1];
    for (let i = levels.length - 2; i >= 0; i -= 1) {
      if (Math.log(levels[kept[kept.length - 1]] / levels[i]) >= gap) kept.push(i);
    }
    return { tickvals: kept.map((i) => levels[i]), ticktext: kept.map((i) => texts[i]) };
  }

  const logRange = (low, high, share = 0.03) => {
    const room = Math.max(share * Math.log10(high / low), 0.02);
    return [Math.log10(low) - room, Math.log10(high) + room];
  };

  // A vertical line at the chosen value of x.
  const cursor = (value) => [{ type: "line", x0: value, x1: value, yref: "paper", y0: 0, y1: 1, line: { color: css("--mark"), width: 1.5, dash: "dash" } }];

  // Steps as a line: each holds from its own x to the next one's; breaks where `shown` says no.
  function stairs(steps, end, value, shown = () => true) {
    const x = [];
    const y = [];
    steps.forEach((step, i) => {
      const until = i + 1 < steps.length ? steps[i + 1].from : end;
      if (shown(step)) {
        x.push(step.from, until);
        y.push(value(step), value(step));
      } else {
        x.push(null);
        y.push(null);
      }
    });
    return { x, y };
  }

  function band(x, low, high) {
    const outline = { x: [...x, ...[...x].reverse()], y: [...high, ...[...low].reverse()] };
    return { ...outline, mode: "lines", line: { width: 0 }, fill: "toself", fillcolor: css("--band"), hoverinfo: "skip", type: "scatter" };
  }

  // ---- runs --------------------------------------------------------------------------------------------------------

  // The record of a run, a line per fact.
  function record(run, target) {
    const { runs } = data;
    const x = data.factors.map((factor, k) => `${factor.name} = ${human(runs.factors[k][run], "B")}`);
    if (data.hasData) x.push(`n = ${human(runs.n[run], "B")}`);
    const lines = [`<b>${runs.names[run]}</b>`, x.join(", ")];
    if (runs.cost && runs.cost[run] !== null) lines.push(`c = ${human(runs.cost[run])} ${data.budgetUnit}`);
    for (const name of Object.keys(data.targets)) {
      const text = `${name}: ${measured(runs.errors[name][run], runs.se[name] && runs.se[name][run])}`;
      lines.push(name === target ? `<b>${text}</b>` : text);
    }
    for (const [label, text] of runs.notes[run]) lines.push(`${label}: ${text}`);
    return lines.join("<br>");
  }

  // Runs in groups of one n each, or all in one group where there are too many sizes for colours.
  function groups() {
    const all = Array.from({ length: data.runs.count }, (_, i) => i);
    if (!data.hasData) return [{ name: "runs", runs: all }];
    const sizes = [...new Set(data.runs.n)].sort((a, b) => a - b);
    if (sizes.length > MOST_COLOURS) return [{ name: "runs, by n", runs: all, scale: true }];
    return sizes.map((n) => ({ name: `runs, n = ${human(n, "B")}`, runs: all.filter((i) => data.runs.n[i] === n) }));
  }

  function runTraces(target, x, shown = () => true) {
    const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
    const colours = dark ? VIRIDIS_DARK : VIRIDIS_LIGHT;
    const found = groups();
    return found.map((group, place) => {
      const runs = group.runs.filter((run) => x(run) !== null && shown(run));
      const colour = found.length === 1 ? 2 : Math.round((place * (colours.length - 1)) / (found.length - 1));
      const marker = { size: 8, symbol: SYMBOLS[place % SYMBOLS.length], color: colours[colour], line: { width: 1, color: css("--card") } };
      if (group.scale) {
        marker.color = runs.map((run) => Math.log10(data.runs.n[run]));
        marker.colorscale = colours.map((value, i) => [i / (colours.length - 1), value]);
        const ticks = logTicks(Math.min(...data.runs.n), Math.max(...data.runs.n), "B");
        const place = narrow() ? { orientation: "h", y: -0.24, yanchor: "top", len: 1 } : { len: 0.8 };
        marker.colorbar = { title: { text: "n", side: "top" }, thickness: 10, tickvals: ticks.tickvals.map(Math.log10), ticktext: ticks.ticktext, outlinewidth: 0, ...place };
      }
      return {
        type: "scatter",
        mode: "markers",
        name: group.name,
        x: runs.map(x),
        y: runs.map((run) => data.runs.errors[target][run]),
        text: runs.map((run) => record(run, target)),
        hovertemplate: "%{text}<extra></extra>",
        marker,
      };
    });
  }

  // What the marks mean, for a legend outside of the chart, which wraps as text does.
  function keys(traces) {
    return traces.filter((trace) => trace.name && trace.x.length > 0).map((trace) => {
      if (trace.fill) return { name: trace.name, sign: "▆", colour: css("--band-solid") };
      if (trace.mode === "lines") return { name: trace.name, sign: trace.line.dash === "dot" ? "┄┄" : "━━", colour: trace.line.color };
      const colour = typeof trace.marker.color === "string" ? trace.marker.color : css("--ink");
      return { name: trace.name, sign: SIGNS[trace.marker.symbol], colour };
    });
  }

  const star = (x, y, low, high, text) => ({
    type: "scatter",
    mode: "markers",
    name: "x* at the budget",
    x: [x],
    y: [y],
    text: [text],
    hovertemplate: "%{text}<extra></extra>",
    marker: { symbol: "star", size: 15, color: css("--mark"), line: { width: 1, color: css("--card") } },
    ...(low === null ? {} : { error_y: { type: "data", symmetric: false, array: [high - y], arrayminus: [y - low], color: css("--mark"), thickness: 1.5, width: 4 } }),
  });

  // ---- the charts of a study with a cost ---------------------------------------------------------------------------

  function errorChart(view) {
    const { steps } = view.frontier;
    const { target, chosen, budget } = view;
    const end = data.budgets.high;
    const costs = data.runs.cost.filter((cost) => cost !== null);
    const low = Math.min(data.budgets.low, ...costs);
    const high = Math.max(end, ...costs);
    const upper = stairs(steps, end, (step) => step.high);
    const lower = stairs(steps, end, (step) => step.low);
    const line = { color: css("--accent"), width: 2.5 };
    const hover = { hoverinfo: "skip", type: "scatter", mode: "lines" };
    const traces = [
      { ...band(upper.x, lower.y, upper.y), name: view.rangeName },
      { ...hover, ...stairs(steps, end, (step) => step.f), name: "outside the runs", line: { ...line, width: 1.5, dash: "dot" } },
      { ...hover, ...stairs(steps, end, (step) => step.f, view.inside), name: "predicted for x*", line, connectgaps: false },
      ...runTraces(target, (run) => data.runs.cost[run]),
      star(budget, chosen.f, chosen.low, chosen.high, `<b>x* at ${human(budget)}</b><br>${view.words(chosen.x)}<br>predicted ${points(chosen.f)}`),
    ];
    const x = { type: "log", title: title(`budget c (${data.budgetUnit})`), range: logRange(low, high), ...logTicks(low, high) };
    return { traces, keys: keys(traces), layout: layout(x, { title: title(view.label) }, { shapes: cursor(budget) }), config };
  }

  function factorChart(view, k) {
    const factor = data.factors[k];
    const { steps, bands } = view.frontier;
    const end = data.budgets.high;
    const line = { color: css("--accent"), width: 2.5 };
    const hover = { type: "scatter", mode: "lines", hoverinfo: "skip" };
    const edges = view.budgets.flatMap((from, i) => (i + 1 < view.budgets.length ? [from, view.budgets[i + 1]] : []));
    const held = (end) => bands[k].flatMap((range, i) => (i + 1 < bands[k].length ? [range[end], range[end]] : []));
    const traces = [
      band(edges, held(0), held(1)),
      { ...hover, ...stairs(steps, end, (step) => step.x[k]), line: { ...line, width: 1.5, dash: "dot" } },
      { ...hover, ...stairs(steps, end, (step) => step.x[k], view.inside), line, connectgaps: false },
      star(view.budget, view.chosen.x[k], null, null, `${factor.name} = ${human(view.chosen.x[k], "B")} at ${human(view.budget)}`),
    ];
    const { low, high } = data.budgets;
    const levels = factor.levels;
    const x = { type: "log", title: title(`budget c (${data.budgetUnit})`), range: logRange(low, high), ...logTicks(low, high) };
    const y = { type: "log", title: title(factor.unit || factor.name), range: logRange(levels[0], levels[levels.length - 1], 0.06), ...levelTicks(levels, factor.texts) };
    return { traces, keys: [], layout: layout(x, y, { shapes: cursor(view.budget) }), config };
  }

  // ---- the charts of a study without one ---------------------------------------------------------------------------

  function lawChart(view, k) {
    const factor = data.factors[k];
    const curve = view.curves[k];
    const x = curve.map((point) => point.value);
    const chosen = view.held[k];
    const line = { color: css("--accent"), width: 2.5 };
    const onLine = (run) => view.held.every((value, other) => other === k || Math.abs(Math.log(data.runs.factors[other][run] / value)) < 0.02);
    const traces = [
      { ...band(x, curve.map((p) => p.range[0]), curve.map((p) => p.range[1])), name: view.rangeName },
      ...runTraces(view.target, (run) => data.runs.factors[k][run], onLine),
      { type: "scatter", mode: "lines", name: "predicted", x, y: curve.map((p) => p.f), line, hoverinfo: "skip" },
    ];
    const axis = { type: "log", title: title(factor.label), range: logRange(x[0], x[x.length - 1]), ...logTicks(x[0], x[x.length - 1], "B") };
    const scaled = narrow() && traces.some((trace) => trace.marker && trace.marker.colorbar);
    const extra = { shapes: cursor(chosen), ...(scaled ? { margin: { l: 62, r: 14, t: 8, b: 110 } } : {}) };
    return { traces, keys: keys(traces), layout: layout(axis, { title: title(view.label) }, extra), config };
  }

  return { errorChart, factorChart, lawChart, record };
};
