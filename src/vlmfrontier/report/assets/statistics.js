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

// Linear interpolation between values in order; reorders `values`, of which only the two beside the quantile are looked for.
function quantileOf(values, q) {
  const place = (values.length - 1) * q;
  const below = Math.floor(place);
  const low = select(values, below);
  const high = below + 1 < values.length ? select(values, below + 1) : low;
  const t = place - below;
  const step = high - low;
  return t >= 0.5 ? high - step * (1 - t) : low + step * t;
}

// The least place that a share q of all does not exceed, of so many at each place.
function placeAtLeast(counts, q) {
  const all = counts.reduce((sum, count) => sum + count, 0);
  const rank = Math.max(0, Math.min(all - 1, Math.ceil(all * q - 1)));
  let place = 0;
  for (let below = counts[0]; below <= rank; below += counts[place]) place += 1;
  return place;
}
