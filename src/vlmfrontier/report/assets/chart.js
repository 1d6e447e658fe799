// One chart as SVG: axes, bands, lines, points, a star. It is drawn anew only where something has changed, so that a
// drag moves the star and nothing else. Colours are those of the style sheet: dark, light and paper need no redrawing.
"use strict";

const MARGIN = { left: 56, right: 12, top: 8, bottom: 42 };
const SYMBOLS = {
  circle: "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0Z",
  square: "M-3.6,-3.6h7.2v7.2h-7.2Z",
  "triangle-up": "M0,-4.8L4.6,3.4H-4.6Z",
  diamond: "M0,-5L5,0L0,5L-5,0Z",
  "triangle-down": "M0,4.8L4.6,-3.4H-4.6Z",
  cross: "M-1.6,-4.6h3.2v3h3v3.2h-3v3h-3.2v-3h-3v-3.2h3Z",
  star: "M0,-10L2.7,-3.6L9.5,-3.1L4.3,1.4L5.9,8.1L0,4.5L-5.9,8.1L-4.3,1.4L-9.5,-3.1L-2.7,-3.6Z",
};
let charted = 0;

// `holder` is an empty element; `shared` has the zoom of x of charts that move together.
const Chart = (holder, shared) => {
  const clip = `clip-${(charted += 1)}`;
  const layers = Object.fromEntries(["axes", "band", "lines", "cursor", "points", "marks", "reading"].map((name) => [name, drawn("g", { class: name })]));
  const frame = drawn("rect", {});
  const content = drawn("g", { "clip-path": `url(#${clip})` }, layers.band, layers.lines, layers.cursor, layers.points, layers.marks, layers.reading);
  const svg = drawn("svg", { "aria-hidden": "true", focusable: "false" }, drawn("defs", {}, drawn("clipPath", { id: clip }, frame)), layers.axes, content);
  const chart = { holder, svg, model: null, hidden: new Set(), zoom: { y: null }, shared, layers };
  const known = {};
  const size = { width: 600, height: 250 }; // measured only when it changes: to ask at every move would lay the page out
  holder.append(svg);

  const ranges = () => ({ x: shared.x || chart.model.x.range, y: chart.zoom.y || chart.model.y.range });

  function pixels() {
    const { width, height } = size;
    const area = { left: MARGIN.left, right: Math.max(width - MARGIN.right, MARGIN.left + 40), top: MARGIN.top, bottom: height - MARGIN.bottom, width, height };
    const { x, y } = ranges();
    return { ...area, x: scale(chart.model.x, x, [area.left, area.right]), y: scale(chart.model.y, y, [area.bottom, area.top]) };
  }

  function measure() {
    Object.assign(size, { width: holder.clientWidth || 600, height: holder.clientHeight || 250 });
  }

  // Do `make` if what it depends on has changed.
  function fresh(name, parts, make) {
    const key = parts.join("|");
    if (known[name] === key) return;
    known[name] = key;
    layers[name].replaceChildren(...make());
  }

  // `model`: x and y axes; `band`, `lines`, `points`, `marks`; `cursor`; and `key`, which tells curves from others.
  function draw(model) {
    chart.model = model;
    redraw();
  }

  function redraw() {
    const { model, hidden } = chart;
    if (!model) return;
    const place = pixels();
    const { x, y } = ranges();
    const where = [x, y, place.width, place.height].join(" ");
    if (known.where !== where) {
      known.where = where;
      withAttributes(svg, { viewBox: `0 0 ${place.width} ${place.height}`, width: place.width, height: place.height }, []);
      withAttributes(frame, { x: place.left, y: place.top, width: place.right - place.left, height: place.bottom - place.top }, []);
    }
    const gone = [...hidden].join(" ");
    fresh("axes", [where, model.x.title, model.y.title], () => axes(place));
    fresh("band", [where, model.key, gone], () => model.bands.filter(({ name }) => !hidden.has(name)).map((band) => drawn("path", { class: "band", d: bandPath(band, place) })));
    fresh("lines", [where, model.key, gone], () => model.lines.filter(({ name }) => !hidden.has(name)).map((line) => drawn("path", { class: `line ${line.kind || ""}`, d: linePath(line, place) })));
    fresh("points", [where, model.pointsKey, gone], () => model.points.filter(({ name }) => !hidden.has(name)).map((group) => pointGroup(group, place)));
    for (const group of layers.points.children) group.classList.toggle("faded", model.faded(group.dataset.name));
    fresh("marks", [where, model.cursor, gone, JSON.stringify(model.marks)], () => model.marks.filter(({ name }) => !hidden.has(name)).map((mark) => markOf(mark, place)));
    fresh("cursor", [where, model.cursor], () => (model.cursor === null ? [] : [drawn("path", { class: "cursor", d: `M${place.x(model.cursor)},${place.top}V${place.bottom}` })]));
  }

  function axes(place) {
    const { model } = chart;
    const made = [];
    for (const { value, text } of ticksOf(model.y, ranges().y, [place.bottom, place.top], "y")) {
      const at = place.y(value);
      made.push(drawn("path", { class: "grid", d: `M${place.left},${at}H${place.right}` }), drawn("text", { x: place.left - 6, y: at + 4, "text-anchor": "end" }, text));
    }
    for (const { value, text } of ticksOf(model.x, ranges().x, [place.left, place.right], "x")) {
      const at = place.x(value);
      made.push(drawn("path", { class: "grid", d: `M${at},${place.top}V${place.bottom}` }), drawn("text", { x: at, y: place.bottom + 16, "text-anchor": "middle" }, text));
    }
    const [middle, centre] = [(place.left + place.right) / 2, (place.top + place.bottom) / 2];
    made.push(drawn("path", { class: "axis", d: `M${place.left},${place.top}V${place.bottom}H${place.right}` }));
    made.push(drawn("text", { class: "title", x: middle, y: place.height - 6, "text-anchor": "middle" }, model.x.title));
    made.push(drawn("text", { class: "title", transform: `translate(13,${centre})rotate(-90)`, "text-anchor": "middle" }, model.y.title));
    return made;
  }

  const shown = (value, pixel) => Math.max(-5000, Math.min(9000, pixel(value))).toFixed(1);

  function linePath({ x, y }, place) {
    let path = "";
    let pen = "M";
    for (let i = 0; i < x.length; i += 1) {
      if (x[i] === null) pen = "M";
      else {
        path += `${pen}${shown(x[i], place.x)},${shown(y[i], place.y)}`;
        pen = "L";
      }
    }
    return path;
  }

  function bandPath({ x, low, high }, place) {
    const point = (value, end) => `${shown(value, place.x)},${shown(end, place.y)}`;
    const there = x.map((value, i) => point(value, high[i]));
    const back = x.map((value, i) => point(value, low[i])).reverse();
    return x.length === 0 ? "" : `M${[...there, ...back].join("L")}Z`;
  }

  function pointGroup(group, place) {
    const points = group.x.map((value, i) => drawn("path", { d: SYMBOLS[group.symbol], transform: `translate(${shown(value, place.x)},${shown(group.y[i], place.y)})` }));
    const made = drawn("g", { class: "group", "data-name": group.name }, ...points);
    made.style.setProperty("--own", group.colour);
    return made;
  }

  // A star or another mark, with the range around it.
  function markOf({ x, y, low = null, high = null, symbol, kind }, place) {
    const [across, up] = [shown(x, place.x), shown(y, place.y)];
    const bar = low === null ? null : drawn("path", { class: "whisker", d: `M${across},${shown(low, place.y)}V${shown(high, place.y)}m-4,0h8M${across - 4},${shown(low, place.y)}h8` });
    return drawn("g", { class: kind }, bar, drawn("path", { d: SYMBOLS[symbol], transform: `translate(${across},${up})` }));
  }

  return Object.assign(chart, { draw, redraw, measure, pixels, ranges });
};
