// What was measured beside an answer, and what makes it less sure: the sentences of the frontier room, with their gaps
// filled in as it does.
"use strict";

const Caveats = (data) => {
  const { caveats, factors, runs } = data;
  const filled = (text, gaps) => text.replace(/\{(\w+)\}/g, (_, gap) => gaps[gap]);
  const fill = (name, gaps) => filled(caveats.sentences[name], gaps);
  const mean = ({ count, trained }) => (trained ? filled(caveats.elsewhere[count > 1 ? "many" : "one"], { count, trained }) : count > 1 ? filled(caveats.mean, { count }) : "");
  const same = (one, other) => Math.abs(one - other) <= 1e-9 * Math.abs(other) + 1e-8;

  // The configurations that were run with n examples and measured, the mean over their seeds; models that were trained at
  // other levels apart.
  function measured(target, n) {
    const found = new Map();
    for (let run = 0; run < runs.count; run += 1) {
      const error = runs.errors[target][run];
      if (error === null || (data.hasData && !same(runs.n[run], n))) continue;
      const x = factors.map((_, k) => runs.factors[k][run]);
      const trained = runs.trained ? runs.trained[run] : "";
      const key = `${x.join(" ")} ${trained}`;
      if (!found.has(key)) found.set(key, { x, trained, sum: 0, count: 0, cost: runs.cost[run] });
      const one = found.get(key);
      one.sum += error;
      one.count += 1;
    }
    return [...found.values()].map((one) => ({ ...one, error: one.sum / one.count }));
  }

  function outsideItsRange(itself, chosen) {
    return itself
      .filter((one) => !one.trained && (one.error < chosen.runLow || one.error > chosen.runHigh))
      .map((one) => fill("measured", { mean: mean(one), measured: points(one.error), range: `${points(chosen.runLow)} to ${points(chosen.runHigh)}` }));
  }

  const bestOf = (configurations) => configurations.reduce((least, one) => (least === null || one.error < least.error ? one : least), null);
  const named = (x) => x.map((value, k) => `${factors[k].name} = ${human(value, "B")}`).join(", ");

  // The best affordable configuration that was measured, if it beats what x* promises beyond noise; else null.
  function standsOut(others, chosen, noise) {
    if (others.length === 0 || chosen.low <= 0) return null;
    const best = bestOf(others);
    const spread = Math.hypot(Math.log(chosen.f / chosen.low) / caveats.side, noise / Math.sqrt(best.count));
    return best.error >= chosen.f * Math.exp(-caveats.scores[others.length - 1] * spread) ? null : best;
  }

  function better(others, chosen, noise) {
    const best = standsOut(others, chosen, noise);
    if (best === null) return [];
    return [fill("better", { x: named(best.x), mean: mean(best), measured: points(best.error), cost: human(best.cost), unit: data.unit, f: points(chosen.f) })];
  }

  // What was run with n examples: x* itself, other configurations within the budget, and the noise of a run.
  function rivals(target, n, budget, chosen) {
    const known = measured(target, n);
    const isChosen = (one) => one.x.every((value, k) => same(value, chosen.x[k]));
    const affordable = known.filter((one) => one.cost !== null && one.cost <= budget);
    return { itself: known.filter(isChosen), affordable, others: affordable.filter((one) => !isChosen(one)), noise: median(data.targets[target].laws.noise) };
  }

  // What was measured of x* itself, and the best run within the budget beside it; `predict` says what the law does of a
  // configuration, null outside the space.
  function ofMeasured(target, n, budget, chosen, predict) {
    const { itself, affordable, others, noise } = rivals(target, n, budget, chosen);
    const at = data.hasData ? caveats.at.replace("{n}", human(n, "B")) : "";
    const own = itself.find((one) => !one.trained) || bestOf(itself);
    const range = `${points(chosen.runLow)} to ${points(chosen.runHigh)}`;
    const said = own === null ? fill("not itself", { at }) : fill(own.trained ? "itself elsewhere" : "itself", { mean: mean(own), measured: points(own.error), range });
    const best = bestOf(affordable);
    if (best === null || best === own) return [said, fill(best === null ? "no best" : "best itself", { at })];
    const predicted = predict(best.x);
    const law = predicted === null ? "" : caveats.law.replace("{predicted}", points(predicted));
    const kind = standsOut(others, chosen, noise) !== null ? "better" : best.error < chosen.f ? "lucky" : "worse";
    const verdict = filled(caveats.verdicts[kind], { f: points(chosen.f), law });
    return [said, fill("best", { at, x: named(best.x), outside: predicted === null ? caveats.outside : "", measured: points(best.error), mean: mean(best), cost: human(best.cost), unit: data.unit, verdict })];
  }

  function above(target, f, high) {
    const { largest } = data.targets[target];
    if (largest === null || high < largest) return [];
    return [fill(f >= largest ? "prediction above" : "range above", { largest })];
  }

  // Sentences for the levels of x, of those that `kind` names: what is extrapolated, or at an end of the space.
  const ofLevels = (kind, x) => x.map((value, k) => data.warnings[kind][k][factors[k].levels.indexOf(value)]).filter((sentence) => sentence !== null);
  const ofData = (n) => (data.hasData ? [data.warnings.n[data.examples.steps.indexOf(n)]].filter((sentence) => sentence !== null) : []);
  const exhausted = (budget) => {
    const dearest = data.space.cost[data.space.cost.length - 1];
    return budget < dearest ? [] : [fill("exhausted", { cost: human(dearest), unit: data.unit })];
  };

  // What lies outside the runs.
  const extrapolated = (x, n) => [...ofLevels("factors", x), ...ofData(n)];

  // Everything that makes the answer `chosen` less sure.
  function ofAnswer(target, n, budget, chosen) {
    const { itself, others, noise } = rivals(target, n, budget, chosen);
    return [
      ...data.targets[target].caveats,
      ...outsideItsRange(itself, chosen),
      ...better(others, chosen, noise),
      ...above(target, chosen.f, chosen.high),
      ...extrapolated(chosen.x, n),
      ...ofLevels("edges", chosen.x),
      ...exhausted(budget),
    ];
  }

  // The same for a prediction of a study without a cost.
  const ofPrediction = (target, n, f, high) => [...data.targets[target].caveats, ...above(target, f, high), ...ofData(n)];

  return { ofAnswer, ofMeasured, ofPrediction, extrapolated, measured, bestOf, above };
};
