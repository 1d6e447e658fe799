// Medians and quantiles, as numpy defines them.
"use strict";

// The value of the given rank; reorders `values` so that smaller ones come first.
function select(values, rank, size = values.length) {
  let low = 0;
  let high = size - 1;
  while (low < high) {
    const pivot = values[(low + high) >> 1];
    let i = low;
    let j = high;
    while (i <= j) {
      while (values[i] < pivot) i += 1;
      while (values[j] > pivot) j -= 1;
      if (i <= j) {
        const kept = values[i];
        values[i] = values[j];
        values[j] = kept;
        i += 1;
        j -= 1;
      }
    }
    if (rank <= j) high = j;
    else if (rank >= i) low = i;
    else break;
  }
  return values[rank];
}

// The median of an array that may be reordered.
function medianOf(values) {
  const half = values.length >> 1;
  const upper = select(values, half);
  if (values.length % 2 === 1) return upper;
  let lower = values[0];
  for (let i = 1; i < half; i += 1) if (values[i] > lower) lower = values[i];
  return 0.5 * (lower + upper);
}

const median = (values) => medianOf(Float64Array.from(values));

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
