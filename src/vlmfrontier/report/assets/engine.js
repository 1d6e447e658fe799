// What the models say, computed in the page exactly as the frontier room does: x*(c; n), its probabilities, its interval.
// Arrays over configurations are in order of cost; a group is the models of one colour of uncertainty, R of them.
"use strict";

const Engine = (study) => {
  const rules = study.rules;

  // The configurations of the study's space: levels by factor, and for each configuration which level it has.
  const space = study.space && {
    levels: study.space.levels,
    index: study.space.index,
    cost: Float64Array.from(study.space.cost),
    size: study.space.cost.length,
  };

  const valueAt = (points, factor, j) => points.levels[factor][points.index[factor][j]];
  const configuration = (points, j) => points.levels.map((_, k) => valueAt(points, k, j));

  // ---- models ------------------------------------------------------------------------------------------------------

  // Each model is g(x, n) = A(x) + B(x)·n^(−d), bent towards its ceiling C where it has one, times exp(level + u·slope),
  // what its form misses. Returns A, B, level and slope as R × size in one array each, and d, C and the sharpness s of
  // the bend for each model.
  function members({ laws: law, largest }, points) {
    const group = law.pool;
    const rows = group.reduce((sum, part) => sum + part.rows.length, 0);
    const size = points.size;
    const found = { A: new Float64Array(rows * size), B: new Float64Array(rows * size), d: new Float64Array(rows), C: new Float64Array(rows), s: new Float64Array(rows), rows, size };
    let r = 0;
    for (const part of group) {
      const bag = law.bags[part.bag];
      const logs = points.levels.map((levels, k) => levels.map((level) => Math.log(level / law.units[k])));
      for (const theta of part.rows.map((row) => bag.theta[row])) {
        found.d[r] = bag.d < 0 ? 0 : theta[bag.d];
        found.s[r] = bag.sharpness === null ? 0 : bag.sharpness;
        found.C[r] = bag.C < 0 ? bag.ceiling : theta[bag.C];
        for (const term of bag.terms) addTerm(found, r, term, theta, logs, points);
        r += 1;
      }
    }
    found.largest = largest === null ? Infinity : largest;
    return law.missed === null ? found : Object.assign(found, missed(law.missed, rows, points));
  }

  // Sines along every factor and their products for pairs, weighted for each model that misses anything.
  function missed(basis, rows, points) {
    const { size } = points;
    const sines = points.levels.map((levels, k) =>
      levels.map((level) => {
        const place = Math.max(-basis.reach, Math.min(basis.reach, (Math.log(level) - basis.centre[k]) / basis.half[k]));
        return Array.from({ length: basis.waves }, (_, w) => Math.sin(((place + basis.box) * (w + 1) * Math.PI) / (2 * basis.box)) / Math.sqrt(basis.box));
      }),
    );
    const [level, slope] = [new Float64Array(rows * size), new Float64Array(rows * size)];
    const weights = [floats(basis.level), floats(basis.slope)];
    const many = weights[0].length / basis.rows.length;
    const features = new Float64Array(many);
    for (let j = 0; j < size; j += 1) {
      const own = sines.map((values, k) => values[points.index[k][j]]);
      let f = 0;
      for (const values of own) for (const value of values) features[f++] = value;
      for (let a = 0; a < own.length; a += 1)
        for (let b = a + 1; b < own.length; b += 1) for (const one of own[a]) for (const other of own[b]) features[f++] = one * other;
      basis.rows.forEach((r, i) => {
        let [constant, tilt] = [0, 0];
        for (let k = 0; k < many; k += 1) {
          constant += weights[0][i * many + k] * features[k];
          tilt += weights[1][i * many + k] * features[k];
        }
        level[r * size + j] = constant;
        slope[r * size + j] = tilt;
      });
    }
    return { level, slope };
  }

  // Where n lies among the runs, from −1 to 1.
  const progress = (law, n) => (law.missed === null || law.missed.data === null ? 0 : Math.max(-1, Math.min(1, (Math.log(n) - law.missed.data[0]) / law.missed.data[1])));

  // Sums in logs, so that no power overflows before its coefficient acts; a coefficient of 0 gives exp(−∞) = 0.
  function addTerm(found, r, term, theta, logs, points) {
    const into = term.data ? found.B : found.A;
    const start = r * found.size;
    const coefficient = Math.log(theta[term.coefficient]);
    if (term.powers.length > 1) {
      for (let j = 0; j < found.size; j += 1) {
        let sum = coefficient;
        for (const power of term.powers) sum += power.sign * theta[power.exponent] * logs[power.factor][points.index[power.factor][j]];
        into[start + j] += Math.exp(sum);
      }
      return;
    }
    if (term.powers.length === 0) {
      const value = Math.exp(coefficient);
      for (let j = 0; j < found.size; j += 1) into[start + j] += value;
      return;
    }
    const { factor, exponent, sign } = term.powers[0];
    const values = logs[factor].map((log) => Math.exp(coefficient + sign * theta[exponent] * log));
    const index = points.index[factor];
    for (let j = 0; j < found.size; j += 1) into[start + j] += values[index[j]];
  }

  // One model's error at one configuration; `at` are its n^(−d), and u of that n.
  function errorOf(group, r, j, { weights, u }) {
    const i = r * group.size + j;
    let f = group.A[i] + group.B[i] * weights[r];
    const s = group.s[r];
    if (s !== 0) {
      const C = group.C[r];
      const low = Math.min(f, C);
      f = low * Math.pow(1 + Math.pow(low / Math.max(f, C), s), -1 / s);
    }
    if (group.level) f *= Math.exp(group.level[i] + u * group.slope[i]);
    return Math.min(f, group.largest);
  }

  // What every model needs to know of n.
  const decay = (law, group, n) => ({ weights: group.d.map((d) => (law.dataUnit === null ? 1 : Math.pow(n / law.dataUnit, -d))), u: progress(law, n) });

  // The models of a target over any points.
  const spread = (target, points) => ({ law: study.targets[target].laws, pool: members(study.targets[target], points) });

  function pooledErrors(law, pool, n) {
    const errors = new Float64Array(pool.size);
    const at = decay(law, pool, n);
    const values = new Float64Array(pool.rows);
    for (let j = 0; j < pool.size; j += 1) {
      for (let r = 0; r < pool.rows; r += 1) values[r] = errorOf(pool, r, j, at);
      errors[j] = median(values);
    }
    return errors;
  }

  // The interval of what a new run would measure: each model's error with log-normal noise around it; never within that
  // of the law.
  function runInterval(found, j, n) {
    const [inner, outer] = [interval(found, j, n), interval(found, j, n, rules.noiseScores)];
    return [Math.min(inner[0], outer[0]), Math.max(inner[1], outer[1])];
  }

  // The interval of f, or of f times noise of the given scores, in standard deviations: the models' spread in logs, each
  // model's distance from the median widened.
  function interval({ law, pool }, j, n, scores = [0]) {
    const at = decay(law, pool, n);
    const logs = Float64Array.from({ length: pool.rows }, (_, r) => Math.log(errorOf(pool, r, j, at)));
    const middle = median(logs);
    const values = new Float64Array(pool.rows * scores.length);
    for (let r = 0; r < pool.rows; r += 1) {
      const away = (logs[r] - middle) * law.widening[r % law.widening.length];
      scores.forEach((score, i) => (values[r * scores.length + i] = away + score * law.noise[r % law.noise.length]));
    }
    values.sort();
    return rules.tails.map((tail) => Math.min(Math.exp(middle + quantile(values, tail)), pool.largest));
  }

  // ---- search ------------------------------------------------------------------------------------------------------

  // How many of the configurations a budget affords.
  function affordable(budget) {
    let low = 0;
    let high = space.size;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (space.cost[middle] <= budget) low = middle + 1;
      else high = middle;
    }
    return low;
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

  // Every model's own optimum at each of the ascending counts, as R arrays.
  function ownOptima(law, pool, n, counts) {
    const at = decay(law, pool, n);
    const optima = [];
    for (let r = 0; r < pool.rows; r += 1) {
      const chosen = new Int32Array(counts.length);
      let index = 0;
      let least = Infinity;
      let j = 0;
      for (let c = 0; c < counts.length; c += 1) {
        for (; j < counts[c]; j += 1) {
          const error = errorOf(pool, r, j, at);
          if (error < least * (1 - rules.tie) || least === Infinity) {
            index = j;
            least = error;
          }
        }
        chosen[c] = index;
      }
      optima.push(chosen);
    }
    return optima;
  }

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

  // ---- what a target says at one n -----------------------------------------------------------------------------------

  const spreads = new Map();
  function spreadOf(target) {
    if (!spreads.has(target)) {
      if (spreads.size >= rules.cached) spreads.delete(spreads.keys().next().value);
      spreads.set(target, spread(target, space));
    }
    return spreads.get(target);
  }

  const views = new Map();
  function viewAt(target, n) {
    const key = `${target} ${n}`;
    if (!views.has(key)) {
      if (views.size >= rules.cached) views.delete(views.keys().next().value);
      const found = spreadOf(target);
      const errors = pooledErrors(found.law, found.pool, n);
      views.set(key, { found, n, errors, best: prefixBest(errors) });
    }
    return views.get(key);
  }

  // The fraction of the error by which a choice may be worse and still be near: less where little is at stake.
  function nearEnough(view, count) {
    let first = space.cost.findIndex((cost) => cost >= space.cost[count - 1] / 2);
    if (count - first < rules.leastRivals) first = 0;
    const middling = median(view.errors.slice(first, count));
    return rules.near * Math.min(1, rules.stakes * (middling / view.errors[view.best[count - 1]] - 1));
  }

  // One configuration and what the models say of it at this budget.
  function judged(view, j, count) {
    const { found, n, errors } = view;
    const { pool, law } = found;
    const at = decay(law, pool, n);
    const optima = ownOptima(law, pool, n, [count]);
    const lost = new Float64Array(pool.rows);
    let best = 0;
    let near = 0;
    const enough = nearEnough(view, count);
    for (let r = 0; r < pool.rows; r += 1) {
      const own = errorOf(pool, r, j, at);
      const least = errorOf(pool, r, optima[r][0], at);
      lost[r] = own - least;
      best += optima[r][0] === j;
      near += own <= least * (1 + enough);
    }
    lost.sort();
    const [low, high] = interval(found, j, n);
    const [runLow, runHigh] = runInterval(found, j, n);
    return {
      index: j,
      x: configuration(space, j),
      cost: space.cost[j],
      f: errors[j],
      low,
      high,
      runLow,
      runHigh,
      pBest: best / pool.rows,
      pNear: near / pool.rows,
      near: enough,
      regret: quantile(lost, rules.regretQuantile),
    };
  }

  // x*(c; n), and the ranges of the models' own optima; null where the budget affords nothing.
  function optimum(target, n, budget) {
    const count = affordable(budget);
    if (count === 0) return null;
    const view = viewAt(target, n);
    return judged(view, view.best[count - 1], count);
  }

  // What the law says of a configuration; null outside the space.
  function prediction(target, n, x) {
    const places = x.map((value, k) => space.levels[k].findIndex((level) => Math.abs(level - value) <= 1e-9 * Math.abs(value) + 1e-8));
    if (places.includes(-1)) return null;
    const j = space.cost.findIndex((_, i) => places.every((place, k) => space.index[k][i] === place));
    return j < 0 ? null : viewAt(target, n).errors[j];
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
      const [low, high] = interval(view.found, index, n);
      const from = steps.length > 0 ? space.cost[j] : Math.max(budgets[0], space.cost[j]);
      steps.push({ index, from, x: configuration(space, index), f: view.errors[index], low, high });
    }
    return { steps, bands: bands(view, counts) };
  }

  // The 90% range of every factor over the models' own optima, as feasible values, at each count.
  function bands(view, counts) {
    const { pool, law } = view.found;
    const optima = ownOptima(law, pool, view.n, counts);
    return space.levels.map((_, k) =>
      counts.map((_, c) => {
        const values = Float64Array.from(optima, (chosen) => valueAt(space, k, chosen[c]));
        values.sort();
        return [atLeast(values, rules.tails[0]), atLeast(values, rules.tails[1])];
      }),
    );
  }

  // Predictions along one factor with the others held, for a study without a cost.
  function along(target, n, factor, held, values) {
    const levels = held.map((value, k) => (k === factor ? values : [value]));
    const index = held.map((_, k) => Int32Array.from(values, (_, j) => (k === factor ? j : 0)));
    const found = spread(target, { levels, index, size: values.length });
    const errors = pooledErrors(found.law, found.pool, n);
    return values.map((value, j) => ({ value, f: errors[j], range: interval(found, j, n), run: runInterval(found, j, n) }));
  }

  // The runs nearest to x and n: distances in logs, each relative to its span over the runs.
  function nearest(x, n, many) {
    const point = study.hasData ? [...x, n] : x;
    const columns = study.hasData ? [...study.runs.factors, study.runs.n] : study.runs.factors;
    const distance = new Float64Array(study.runs.count);
    columns.forEach((column, k) => {
      const logs = column.map(Math.log);
      const span = Math.max(...logs) - Math.min(...logs) || 1;
      logs.forEach((log, i) => (distance[i] += ((log - Math.log(point[k])) / span) ** 2));
    });
    return Array.from(distance.keys()).sort((a, b) => distance[a] - distance[b] || a - b).slice(0, many);
  }

  return { space, affordable, optimum, prediction, rivals, frontier, along, nearest, configuration };
};

// The numbers of an array that came as bytes in base 64.
const floats = (text) => new Float32Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);

// ---- statistics, as numpy defines them -------------------------------------------------------------------------------

function median(values) {
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : 0.5 * (sorted[half - 1] + sorted[half]);
}

// Linear interpolation between the sorted values.
function quantile(sorted, q) {
  const place = (sorted.length - 1) * q;
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  const t = place - below;
  const step = sorted[above] - sorted[below];
  return t >= 0.5 ? sorted[above] - step * (1 - t) : sorted[below] + step * t;
}

// The least of the sorted values that a share q does not exceed.
function atLeast(sorted, q) {
  const place = sorted.length * q - 1;
  return sorted[Math.max(0, Math.min(sorted.length - 1, Math.ceil(place)))];
}
