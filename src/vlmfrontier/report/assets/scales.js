// Axes: from values to pixels and back, and where their ticks stand.
"use strict";

const LABEL_GAP = { x: 48, y: 18 }; // pixels from tick to tick

// An axis over [low, high] onto pixels [from, to]; `log` for a logarithmic one.
function scale({ log }, [low, high], [from, to]) {
  const into = log ? Math.log10 : (value) => value;
  const back = log ? (place) => 10 ** place : (place) => place;
  const [start, end] = [into(low), into(high)];
  const slope = (to - from) / (end - start || 1);
  const pixel = (value) => from + (into(value) - start) * slope;
  pixel.value = (at) => back(start + (at - from) / slope);
  return pixel;
}

// The range with a little room at both ends.
function roomy({ log }, [low, high], share) {
  if (!log) {
    const room = (high - low || Math.abs(high) || 1) * share;
    return [low - room, high + room];
  }
  const room = Math.max(share * Math.log10(high / low), 0.02);
  return [low / 10 ** room, high * 10 ** room];
}

// The range moved by a share of itself, or made `factor` as wide around a value.
function shifted({ log }, [low, high], share) {
  return log ? [low * (high / low) ** share, high * (high / low) ** share] : [low + share * (high - low), high + share * (high - low)];
}

function widened({ log }, [low, high], factor, around) {
  if (!log) return [around + (low - around) * factor, around + (high - around) * factor];
  return [around * (low / around) ** factor, around * (high / around) ** factor];
}

function roundSteps(low, high, most) {
  const rough = (high - low) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((digit) => digit * power).find((each) => each >= rough);
  const values = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) values.push(Number((i * step).toPrecision(12)));
  return values;
}

// Round numbers on a logarithmic axis: 1, 2, 5 where there is room.
function logSteps(low, high, most) {
  if (high / low < 4) return roundSteps(low, high, most);
  const found = (digits) => {
    const values = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
      for (const digit of digits) {
        const value = Number(`${digit}e${power}`);
        if (value >= low * 0.999 && value <= high * 1.001) values.push(value);
      }
    }
    return values;
  };
  const several = [[1, 2, 5], [1, 3], [1]].map(found);
  return several.find((values) => values.length <= most && values.length > 1) || several[2].filter((_, i, all) => i % Math.ceil(all.length / most) === 0);
}

// Ticks of an axis as values with their texts: at its levels, those that have room, or at round numbers.
function ticksOf(axis, range, pixels, name) {
  const most = Math.max(2, Math.floor(Math.abs(pixels[1] - pixels[0]) / LABEL_GAP[name]));
  const text = (value) => axis.text(value);
  const inside = (axis.levels || []).filter((value) => value >= range[0] * (axis.log ? 0.999 : 1) && value <= range[1] * 1.001);
  if (inside.length < 2) return (axis.log ? logSteps : roundSteps)(range[0], range[1], most).map((value) => ({ value, text: text(value) }));
  const pixel = scale(axis, range, pixels);
  const kept = [inside[inside.length - 1]];
  for (const value of inside.slice(0, -1).reverse()) {
    if (Math.abs(pixel(value) - pixel(kept[kept.length - 1])) >= LABEL_GAP[name] * (name === "x" ? 0.8 : 1)) kept.push(value);
  }
  return kept.reverse().map((value) => ({ value, text: text(value) }));
}
