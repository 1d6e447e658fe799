// The resampled laws of a target over configurations, exactly as the frontier room evaluates them. Arrays over models and
// configurations are R × size, a model's row after the other; configurations are in order of cost.
"use strict";

const Laws = (study) => {
  const valueAt = (points, factor, j) => points.levels[factor][points.index[factor][j]];

  // Each model is g(x, n) = A(x) + B(x)·n^(−d), bent towards its ceiling C where it has one with the sharpness s, times
  // exp(level + u·slope), what its form misses.
  function over(target, points) {
    const { laws: law, largest } = study.targets[target];
    const { size } = points;
    const rows = law.pool.reduce((sum, part) => sum + part.rows.length, 0);
    const found = { law, rows, size, largest: largest === null ? Infinity : largest };
    for (const name of ["A", "B"]) found[name] = new Float64Array(rows * size);
    for (const name of ["d", "C", "s"]) found[name] = new Float64Array(rows);
    let r = 0;
    for (const part of law.pool) {
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
    found.missed = law.missed === null ? new Map() : missed(law.missed, points);
    if (law.gap) takeOff(found, law.gap, points);
    return found;
  }

  // Sums in logs, so that no power overflows before its coefficient acts; a coefficient of 0 gives exp(−∞) = 0.
  function addTerm(found, r, term, theta, logs, points) {
    const into = term.data ? found.B : found.A;
    const start = r * found.size;
    const coefficient = Math.log(theta[term.coefficient]);
    if (term.powers.length === 0) {
      const value = Math.exp(coefficient);
      for (let j = 0; j < found.size; j += 1) into[start + j] += value;
      return;
    }
    // What each factor's levels add to the exponent; a single factor has few levels, and as few exponentials.
    const parts = term.powers.map(({ factor, exponent, sign }) => Float64Array.from(logs[factor], (log) => sign * theta[exponent] * log));
    const [index, other] = term.powers.map(({ factor }) => points.index[factor]);
    if (parts.length === 1) {
      const values = parts[0].map((part) => Math.exp(coefficient + part));
      for (let j = 0; j < found.size; j += 1) into[start + j] += values[index[j]];
    } else if (parts.length === 2) {
      const [one, two] = parts;
      const table = new Float64Array(one.length * two.length); // fewer pairs of levels than configurations
      for (let a = 0; a < one.length; a += 1) for (let b = 0; b < two.length; b += 1) table[a * two.length + b] = Math.exp(coefficient + one[a] + two[b]);
      addPair(into.subarray(start, start + found.size), table, two.length, index, other);
    } else {
      for (let j = 0; j < found.size; j += 1) {
        let sum = coefficient;
        parts.forEach((part, p) => (sum += part[points.index[term.powers[p].factor][j]]));
        into[start + j] += Math.exp(sum);
      }
    }
  }

  // ---- what the forms miss -----------------------------------------------------------------------------------------

  // Level and slope by model, of those models that miss anything: sines along every factor, and their products for
  // pairs. They are added up in tables over levels and pairs of levels: there are far fewer than configurations.
  function missed(basis, points) {
    const { waves } = basis;
    const sines = points.levels.map((levels, k) => sinesOf(basis, levels, k));
    const weights = weightsOf(basis);
    const many = weights[0].length / basis.rows.length;
    const found = new Map();
    basis.rows.forEach((r, i) => {
      const [level, slope] = weights.map((all) => {
        const own = all.subarray(i * many, (i + 1) * many);
        return own.some((weight) => weight !== 0) ? smooth(own, sines, waves, points) : null;
      });
      const only = slope === null && level !== null ? level.map(Math.exp) : null;
      if (level !== null || slope !== null) found.set(r, { level: level || new Float64Array(points.size), slope, only });
    });
    return found;
  }

  const decoded = new WeakMap();
  function weightsOf(basis) {
    if (!decoded.has(basis)) decoded.set(basis, [floats(basis.level), floats(basis.slope)]);
    return decoded.get(basis);
  }

  function sinesOf(basis, levels, k) {
    const { box, reach, waves } = basis;
    const values = new Float64Array(levels.length * waves);
    levels.forEach((level, l) => {
      const place = Math.max(-reach, Math.min(reach, (Math.log(level) - basis.centre[k]) / basis.half[k]));
      for (let w = 0; w < waves; w += 1) values[l * waves + w] = Math.sin(((place + box) * (w + 1) * Math.PI) / (2 * box)) / Math.sqrt(box);
    });
    return values;
  }

  // The weighted sum of all sines at every configuration.
  function smooth(weights, sines, waves, points) {
    const sums = new Float64Array(points.size);
    let at = 0;
    for (const [k, values] of sines.entries()) {
      const own = new Float64Array(values.length / waves);
      for (let l = 0; l < own.length; l += 1) for (let w = 0; w < waves; w += 1) own[l] += weights[at + w] * values[l * waves + w];
      at += waves;
      const index = points.index[k];
      for (let j = 0; j < sums.length; j += 1) sums[j] += own[index[j]];
    }
    for (let a = 0; a < sines.length; a += 1) {
      for (let b = a + 1; b < sines.length; b += 1) {
        addPair(sums, products(weights.subarray(at, at + waves * waves), sines[a], sines[b], waves), sines[b].length / waves, points.index[a], points.index[b]);
        at += waves * waves;
      }
    }
    return sums;
  }

  // Σ weight[v, w]·a[v]·b[w] for every pair of levels of two factors.
  function products(weights, a, b, waves) {
    const [first, second] = [a.length / waves, b.length / waves];
    const table = new Float64Array(first * second);
    const folded = new Float64Array(waves);
    for (let l = 0; l < first; l += 1) {
      folded.fill(0);
      for (let v = 0; v < waves; v += 1) for (let w = 0; w < waves; w += 1) folded[w] += a[l * waves + v] * weights[v * waves + w];
      for (let m = 0; m < second; m += 1) for (let w = 0; w < waves; w += 1) table[l * second + m] += folded[w] * b[m * waves + w];
    }
    return table;
  }

  function addPair(sums, table, width, first, second) {
    for (let j = 0; j < sums.length; j += 1) sums[j] += table[first[j] * width + second[j]];
  }

  // Takes what a model loses by being tested elsewhere than it was trained off level and slope of every model.
  function takeOff(found, gap, points) {
    const values = (factor, of) => Float64Array.from(points.index[factor], (l) => of(Math.log(points.levels[factor][l])));
    const bend = (place) => 4 * place * (1 - place);
    const ratio = (log, top, span) => (span === null ? Math.max(0, Math.log(top) - log) : bend(Math.min(1, Math.max(0, Math.log(top) - log) / span)));
    const columns = gap.kinds.map(({ factor, top, span }) => (factor === null ? new Float64Array(points.size).fill(1) : values(factor, (log) => ratio(log, top, span))));
    const places = gap.places.map(({ factor, middle, half }) => values(factor, (log) => Math.max(-1, Math.min(1, (log - middle) / half))));
    for (let r = 0; r < found.rows; r += 1) {
      const own = found.missed.get(r);
      const level = own ? Float64Array.from(own.level) : new Float64Array(points.size);
      const slope = gap.n === null ? own?.slope || null : own?.slope ? Float64Array.from(own.slope) : new Float64Array(points.size);
      columns.forEach((column, k) => {
        for (let j = 0; j < level.length; j += 1) {
          let share = gap.main[r][k];
          places.forEach((place, p) => (share += place[j] * gap.with[p][r][k]));
          level[j] -= column[j] * share;
          if (gap.n !== null) slope[j] -= column[j] * gap.n[r][k];
        }
      });
      found.missed.set(r, { level, slope, only: slope === null ? level.map(Math.exp) : null });
    }
  }

  // Where n lies among the runs, from −1 to 1.
  const progress = ({ missed: basis }, n) => (basis === null || basis.data === null ? 0 : Math.max(-1, Math.min(1, (Math.log(n) - basis.data[0]) / basis.data[1])));

  // ---- errors ------------------------------------------------------------------------------------------------------

  // Every model's error at every configuration for one n, R × size, into `values` where these are given.
  function errors(group, n, values = new Float64Array(group.rows * group.size)) {
    const { law, rows, size, A, B, largest } = group;
    const u = progress(law, n);
    for (let r = 0; r < rows; r += 1) {
      const start = r * size;
      const decay = law.dataUnit === null ? 1 : Math.pow(n / law.dataUnit, -group.d[r]);
      const own = values.subarray(start, start + size);
      for (let j = 0; j < size; j += 1) own[j] = A[start + j] + B[start + j] * decay;
      if (group.s[r] !== 0) bend(own, group.C[r], group.s[r]);
      if (group.missed.has(r)) shift(own, group.missed.get(r), u);
      for (let j = 0; j < size; j += 1) if (own[j] > largest) own[j] = largest;
    }
    return values;
  }

  // (f^(−s) + C^(−s))^(−1/s), as the frontier room computes it.
  function bend(values, ceiling, sharpness) {
    for (let j = 0; j < values.length; j += 1) {
      const [low, high] = values[j] < ceiling ? [values[j], ceiling] : [ceiling, values[j]];
      let ratio = low / high;
      if (sharpness === 4) {
        ratio *= ratio;
        values[j] = low / Math.sqrt(Math.sqrt(1 + ratio * ratio));
      } else values[j] = low * Math.pow(1 + Math.pow(ratio, sharpness), -1 / sharpness);
    }
  }

  function shift(values, { level, slope, only }, u) {
    if (only !== null) for (let j = 0; j < values.length; j += 1) values[j] *= only[j];
    else for (let j = 0; j < values.length; j += 1) values[j] *= Math.exp(level[j] + u * slope[j]);
  }

  // The median over the models at every configuration.
  function medians(values, rows, size) {
    const found = new Float64Array(size);
    const column = new Float64Array(rows);
    for (let j = 0; j < size; j += 1) {
      for (let r = 0, i = j; r < rows; r += 1, i += size) column[r] = values[i];
      found[j] = medianOf(column);
    }
    return found;
  }

  return { over, errors, medians, valueAt };
};

// The numbers of an array that came as bytes in base 64.
function floats(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i += 1) bytes[i] = letters.charCodeAt(i);
  return new Float32Array(bytes.buffer);
}
