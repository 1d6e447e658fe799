// What the models say, computed in the page exactly as the frontier room does: x*(c; n), its probabilities, its interval.
// What holds at one target and n is computed once and kept, so that another budget is a look-up.
"use strict";

const Engine = (study) => {
  const { rules } = study;
  const laws = Laws(study);
  const { valueAt } = laws;
  const MOST_KEPT = 4e6; // errors of models at configurations, over all targets and n that are kept
  const MOST_VIEWS = 6; // and no more of them: memory that is used again is faster than new memory

  // The configurations of the study's space: levels by factor, and for each configuration which level it has.
  const space = study.space && {
    levels: study.space.levels,
    index: study.space.index.map((index) => Int32Array.from(index)),
    cost: Float64Array.from(study.space.cost),
    size: study.space.cost.length,
  };

  const configuration = (points, j) => points.levels.map((_, k) => valueAt(points, k, j));

  // How many configurations cost less than so much; with `equal`, as much at most.
  function cheaper(cost, equal = false) {
    let low = 0;
    let high = space.size;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (equal ? space.cost[middle] <= cost : space.cost[middle] < cost) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // How many of the configurations a budget affords.
  const affordable = (budget) => cheaper(budget, true);

  // ---- intervals ---------------------------------------------------------------------------------------------------

  // The interval of f, or of f times noise of the given scores, in standard deviations: the models' spread in logs, each
  // model's distance from the median widened. `own` are the models' errors.
  function interval({ law, largest }, own, scores = [0]) {
    const logs = own.map(Math.log);
    const middle = median(logs);
    const values = new Float64Array(own.length * scores.length);
    for (let r = 0; r < own.length; r += 1) {
      const away = (logs[r] - middle) * law.widening[r % law.widening.length];
      const noise = law.noise[r % law.noise.length];
      for (let i = 0; i < scores.length; i += 1) values[r * scores.length + i] = away + scores[i] * noise;
    }
    return rules.tails.map((tail) => Math.min(Math.exp(middle + quantileOf(values, tail)), largest));
  }

  // The interval of what a new run would measure: never within that of the law.
  function runInterval(group, own) {
    const [inner, outer] = [interval(group, own), interval(group, own, rules.noiseScores)];
    return [Math.min(inner[0], outer[0]), Math.max(inner[1], outer[1])];
  }

  // The models' errors at one configuration.
  function column({ all, group: { rows, size } }, j) {
    const own = new Float64Array(rows);
    for (let r = 0; r < rows; r += 1) own[r] = all[r * size + j];
    return own;
  }

  // ---- what a target says at one n -----------------------------------------------------------------------------------

  const groups = new Map();
  const views = new Map();
  const mostKept = (errors) => Math.min(MOST_VIEWS, Math.max(3, Math.floor(MOST_KEPT / errors)));

  // Of many the oldest is forgotten; returns it.
  function forget(known, most) {
    if (known.size < most) return null;
    const [key, oldest] = known.entries().next().value;
    known.delete(key);
    return oldest;
  }

  function groupOf(target) {
    if (!groups.has(target)) {
      const group = laws.over(target, space);
      forget(groups, mostKept(group.A.length));
      groups.set(target, group);
    }
    return groups.get(target);
  }

  // The errors of a target at one n; those of the oldest n give their memory to those of a new one.
  function viewAt(target, n) {
    const key = `${target} ${n}`;
    if (!views.has(key)) {
      const group = groupOf(target);
      const oldest = forget(views, mostKept(group.A.length));
      const all = laws.errors(group, n, oldest !== null && oldest.all.length === group.A.length ? oldest.all : undefined);
      const errors = laws.medians(all, group.rows, group.size);
      views.set(key, { group, n, all, errors, best: prefixBest(errors), own: new Map() });
    }
    return views.get(key);
  }

  // best[j] is the best of the configurations 0 … j; a dearer one must be better by more than rounding.
  function prefixBest(errors) {
    const best = new Int32Array(errors.length);
    let index = 0;
    for (let j = 0; j < errors.length; j += 1) {
      if (errors[j] < errors[index] * (1 - rules.tie)) index = j;
      best[j] = index;
    }
    return best;
  }

  // Every model's own best of the first `count` configurations, for each of the counts: a list of R each.
  function choices({ all, own, group: { rows, size } }, counts) {
    const wanted = [...new Set(counts)].filter((count) => !own.has(count)).sort((a, b) => a - b);
    const found = wanted.map(() => new Int32Array(rows));
    for (let r = 0; r < rows && wanted.length > 0; r += 1) {
      const start = r * size;
      let index = 0;
      let least = all[start] * (1 - rules.tie);
      let j = 1;
      for (let c = 0; c < wanted.length; c += 1) {
        for (const count = wanted[c]; j < count; j += 1) {
          if (all[start + j] < least) {
            index = j;
            least = all[start + j] * (1 - rules.tie);
          }
        }
        found[c][r] = index;
      }
    }
    wanted.forEach((count, c) => own.set(count, found[c]));
    return counts.map((count) => own.get(count));
  }

  // ---- search ------------------------------------------------------------------------------------------------------

  // The best affordable configuration that differs from those taken by a quarter in some factor; −1 if there is none.
  function runnerUp(errors, count, taken) {
    let best = -1;
    for (let j = 0; j < count; j += 1) {
      if (best >= 0 && errors[j] >= errors[best]) continue;
      if (taken.every((other) => distinct(j, other))) best = j;
    }
    return best;
  }

  function distinct(j, other) {
    return space.levels.some((_, k) => {
      const ratio = valueAt(space, k, j) / valueAt(space, k, other);
      return ratio >= rules.distinct || ratio <= 1 / rules.distinct;
    });
  }

  // The fraction of the error by which a choice may be worse and still be near: less where little is at stake.
  function nearEnough(view, count) {
    let first = cheaper(space.cost[count - 1] / 2);
    if (count - first < rules.leastRivals) first = 0;
    const middling = median(view.errors.slice(first, count));
    return rules.near * Math.min(1, rules.stakes * (middling / view.errors[view.best[count - 1]] - 1));
  }

  // One configuration and what the models say of it at this budget.
  function judged(view, j, count) {
    const { all, errors } = view;
    const { rows, size } = view.group;
    const own = column(view, j);
    const lost = new Float64Array(rows);
    const [choice] = choices(view, [count]);
    let best = 0;
    let near = 0;
    const enough = nearEnough(view, count);
    for (let r = 0; r < rows; r += 1) {
      const least = all[r * size + choice[r]];
      lost[r] = own[r] - least;
      best += choice[r] === j;
      near += own[r] <= least * (1 + enough);
    }
    const [low, high] = interval(view.group, own);
    const [runLow, runHigh] = runInterval(view.group, own);
    const said = { index: j, x: configuration(space, j), cost: space.cost[j], f: errors[j], low, high, runLow, runHigh };
    return { ...said, pBest: best / rows, pNear: near / rows, near: enough, regret: quantileOf(lost, rules.regretQuantile) };
  }

  // x*(c; n); null where the budget affords nothing.
  function optimum(target, n, budget) {
    const count = affordable(budget);
    if (count === 0) return null;
    const view = viewAt(target, n);
    return judged(view, view.best[count - 1], count);
  }

  function rivals(target, n, budget, many) {
    const count = affordable(budget);
    const view = viewAt(target, n);
    const taken = [view.best[count - 1]];
    while (taken.length <= many) {
      const second = runnerUp(view.errors, count, taken);
      if (second < 0) break;
      taken.push(second);
    }
    return taken.slice(1).map((j) => ({ x: configuration(space, j), cost: space.cost[j], f: view.errors[j] }));
  }

  // The frontier at one n: its steps, where x* changes, each with its interval; and the bands over budgets.
  function frontier(target, n, budgets) {
    const view = viewAt(target, n);
    const counts = budgets.map(affordable);
    const first = Math.max(0, counts[0] - 1);
    const last = counts[counts.length - 1];
    const steps = [];
    for (let j = first; j < last; j += 1) {
      if (steps.length > 0 && view.best[j] === steps[steps.length - 1].index) continue;
      const index = view.best[j];
      const [low, high] = interval(view.group, column(view, index));
      const from = steps.length > 0 ? space.cost[j] : Math.max(budgets[0], space.cost[j]);
      steps.push({ index, from, x: configuration(space, index), cost: space.cost[index], f: view.errors[index], low, high });
    }
    return { steps, bands: bands(view, counts) };
  }

  // The 90% range of every factor at one budget.
  const ranges = (target, n, budget) => bands(viewAt(target, n), [affordable(budget)]).map(([range]) => range);

  // The 90% range of every factor over the models' own optima, as feasible values, at each count.
  function bands(view, counts) {
    const found = choices(view, counts);
    return space.levels.map((levels, k) => {
      const index = space.index[k];
      const ranges = [];
      found.forEach((choice, c) => {
        if (c > 0 && counts[c] === counts[c - 1]) return ranges.push(ranges[c - 1]);
        const many = new Int32Array(levels.length);
        for (let r = 0; r < choice.length; r += 1) many[index[choice[r]]] += 1;
        return ranges.push(rules.tails.map((tail) => levels[placeAtLeast(many, tail)])); // levels ascend
      });
      return ranges;
    });
  }

  // ---- any configuration -----------------------------------------------------------------------------------------------

  // The models over one factor with the others held.
  function line(target, n, factor, held, values) {
    const levels = held.map((value, k) => (k === factor ? values : [value]));
    const index = held.map((_, k) => Int32Array.from(values, (_, j) => (k === factor ? j : 0)));
    const group = laws.over(target, { levels, index, size: values.length });
    const all = laws.errors(group, n);
    return { group, all, errors: laws.medians(all, group.rows, group.size) };
  }

  // Predictions along one factor with the others held.
  function along(target, n, factor, held, values) {
    const found = line(target, n, factor, held, values);
    return values.map((value, j) => ({ value, f: found.errors[j], range: interval(found.group, column(found, j)) }));
  }

  // The prediction for one configuration, in the space or not.
  function predicted(target, n, x) {
    const found = line(target, n, 0, x, [x[0]]);
    const own = column(found, 0);
    const [[low, high], [runLow, runHigh]] = [interval(found.group, own), runInterval(found.group, own)];
    return { f: found.errors[0], low, high, runLow, runHigh };
  }

  // A configuration's place in the space; −1 if it is not there.
  function indexOf(x) {
    const places = x.map((value, k) => space.levels[k].findIndex((level) => Math.abs(level - value) <= 1e-9 * Math.abs(value) + 1e-8));
    if (places.includes(-1)) return -1;
    return space.cost.findIndex((_, j) => places.every((place, k) => space.index[k][j] === place));
  }

  // What the law says of a configuration; null outside the space.
  function prediction(target, n, x) {
    const j = indexOf(x);
    return j < 0 ? null : viewAt(target, n).errors[j];
  }

  // How many configurations cost at most `cost`, how many of them are predicted to have a smaller error than f, and the
  // best of them.
  function standing(target, n, cost, f) {
    const count = affordable(cost);
    const { errors, best } = viewAt(target, n);
    let better = 0;
    for (let j = 0; j < count; j += 1) better += errors[j] < f * (1 - rules.tie);
    const top = count === 0 ? null : { x: configuration(space, best[count - 1]), f: errors[best[count - 1]] };
    return { count, better, top };
  }

  // The runs nearest to x and n that measured the target: distances in logs, each relative to its span over these runs.
  function nearest(x, n, many, target) {
    const point = study.hasData ? [...x, n] : x;
    const columns = study.hasData ? [...study.runs.factors, study.runs.n] : study.runs.factors;
    const runs = Array.from({ length: study.runs.count }, (_, run) => run).filter((run) => study.runs.errors[target][run] !== null);
    const distance = new Float64Array(study.runs.count);
    columns.forEach((values, k) => {
      const logs = runs.map((run) => Math.log(values[run]));
      const span = Math.max(...logs) - Math.min(...logs) || 1;
      runs.forEach((run, i) => (distance[run] += ((logs[i] - Math.log(point[k])) / span) ** 2));
    });
    return runs.sort((a, b) => distance[a] - distance[b] || a - b).slice(0, many);
  }

  return { space, affordable, optimum, rivals, frontier, ranges, along, predicted, prediction, standing, nearest, indexOf, configuration };
};
