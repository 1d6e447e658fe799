// What a configuration costs, also between the levels of the space: c(x) as the study counts it.
"use strict";

const Cost = (data, engine) => {
  const rule = data.cost;
  const BINARY = {
    "+": (a, b) => a + b,
    "-": (a, b) => a - b,
    "*": (a, b) => a * b,
    "/": (a, b) => a / b,
    "//": (a, b) => Math.floor(a / b),
    "%": (a, b) => a - b * Math.floor(a / b),
    "**": Math.pow,
  };
  const FUNCTIONS = { sqrt: Math.sqrt, log: Math.log, log2: Math.log2, exp: Math.exp, abs: Math.abs, ceil: Math.ceil, floor: Math.floor, min: Math.min, max: Math.max };

  function formula(node, x) {
    if (typeof node === "number") return node;
    const [operation, ...operands] = node;
    if (operation === "x") return x[operands[0]];
    return (BINARY[operation] || FUNCTIONS[operation])(...operands.map((operand) => formula(operand, x)));
  }

  function terms({ models, rows }, x) {
    const row = rows.find(({ at }) => at.every((value, i) => value === x[models[i]]));
    if (!row || Object.entries(row.most).some(([k, most]) => x[k] > most)) return NaN;
    return row.terms.reduce((sum, [part, powers]) => sum + Object.entries(powers).reduce((value, [k, power]) => value * x[k] ** power, part), 0);
  }

  // Linear between the measured levels, factor by factor; a neighbour without weight need not be measured.
  function grid({ factors, levels, grid: values, same }, x) {
    let corners = [[0, 1]];
    for (const [i, k] of factors.entries()) {
      const own = levels[i];
      const near = own.reduce((best, level) => (Math.abs(Math.log(x[k] / level)) < Math.abs(Math.log(x[k] / best)) ? level : best));
      const value = Math.abs(x[k] / near - 1) <= same ? near : x[k];
      if (value < own[0] || value > own[own.length - 1]) return NaN;
      const below = own.findLastIndex((level) => level <= value);
      const share = value === own[below] ? 0 : (value - own[below]) / (own[below + 1] - own[below]);
      const ends = share === 0 ? [[below, 1]] : [[below, 1 - share], [below + 1, share]];
      corners = corners.flatMap(([cell, weight]) => ends.map(([place, part]) => [cell * own.length + place, weight * part]));
    }
    return corners.reduce((sum, [cell, weight]) => sum + weight * (values[cell] === null ? NaN : values[cell]), 0);
  }

  // c(x); null where it is not known.
  function of(x) {
    const j = engine.indexOf(x);
    if (j >= 0) return engine.space.cost[j];
    if (rule === null) return null;
    const cost = byRule(x);
    return Number.isFinite(cost) && cost > 0 ? cost : null;
  }

  const byRule = (x) => ({ terms, grid, formula: ({ body }) => formula(body, x) })[rule.kind](rule, x);

  // Which factors are models, of which there are only some sizes.
  const models = rule !== null && rule.kind === "terms" ? rule.models : [];

  return { of, byRule, models };
};
