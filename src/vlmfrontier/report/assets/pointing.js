// What a reader does with a chart: point and read, click to choose, drag to zoom or pan, with the keyboard too.
"use strict";

const REACH = 11; // pixels within which a point is meant
const MOVED = 4; // pixels that make a press a drag
const TWICE = 260; // ms within which a second click may come
const ZOOM_STEP = 0.6;
const STEPS = 100; // of the keyboard across a chart

// `all` are the charts that share the zoom of x; `pick(x, exact)` chooses a place, exactly that of a point; `speak(text)` says what is read.
function setUpPointing(chart, { all, pick, speak, mode }) {
  const { holder, layers } = chart;
  const tip = element("div", { class: "tip", hidden: "" });
  const box = drawn("rect", { class: "zoom-box" });
  let press = null;
  let waiting = null;
  let reading = null;
  holder.append(tip);

  const place = (event) => {
    const { left, top } = holder.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  };
  const within = (at, area) => at.x >= area.left - 2 && at.x <= area.right + 2 && at.y >= area.top - 2 && at.y <= area.bottom + 2;

  // ---- reading -------------------------------------------------------------------------------------------------------

  function pointAt(at, area) {
    let found = null;
    let least = REACH;
    for (const group of chart.model.points) {
      if (chart.hidden.has(group.name)) continue;
      group.x.forEach((value, i) => {
        const distance = Math.hypot(area.x(value) - at.x, area.y(group.y[i]) - at.y);
        // Of equally near points the one that is not faded.
        if (distance < least - (chart.model.faded(group.name) ? 1 : -1e-6)) [found, least] = [{ x: value, y: group.y[i], lines: group.lines(i) }, distance];
      });
    }
    return found;
  }

  function read(at) {
    const area = chart.pixels();
    if (!within(at, area)) return clear();
    const read = pointAt(at, area) || chart.model.read(Math.min(Math.max(area.x.value(at.x), 0), Number.MAX_VALUE));
    if (!read) return clear();
    const [across, up] = [area.x(read.x), area.y(read.y)];
    layers.reading.replaceChildren(drawn("path", { class: "reading-line", d: `M${across},${area.top}V${area.bottom}` }), drawn("circle", { class: "reading-dot", cx: across, cy: up, r: 4.5 }));
    tip.replaceChildren(...read.lines.map((line, i) => element(i === 0 ? "strong" : "span", {}, line)));
    tip.hidden = false;
    const left = Math.min(Math.max(across + 12, 4), area.width - tip.offsetWidth - 4);
    tip.style.left = `${across + 12 + tip.offsetWidth > area.width ? Math.max(4, across - 12 - tip.offsetWidth) : left}px`;
    tip.style.top = `${Math.min(Math.max(4, up - tip.offsetHeight / 2), Math.max(4, area.height - tip.offsetHeight - 4))}px`;
    return read;
  }

  function clear() {
    tip.hidden = true;
    layers.reading.replaceChildren();
    return null;
  }

  // ---- zoom and pan ------------------------------------------------------------------------------------------------------

  const redrawn = () => all().forEach((other) => other.redraw());

  function reset() {
    chart.shared.x = null;
    all().forEach((other) => (other.zoom.y = null));
    redrawn();
  }

  function zoomAt(factor, at = null) {
    const area = chart.pixels();
    const { x, y } = chart.ranges();
    const middle = at || { x: (area.left + area.right) / 2, y: (area.top + area.bottom) / 2 };
    chart.shared.x = widened(chart.model.x, x, factor, area.x.value(middle.x));
    chart.zoom.y = widened(chart.model.y, y, factor, area.y.value(middle.y));
    redrawn();
  }

  function zoomInto(from, to) {
    const area = chart.pixels();
    const ends = (pixel, one, other) => [pixel.value(one), pixel.value(other)].sort((a, b) => a - b);
    if (Math.abs(from.x - to.x) > 2 * MOVED) chart.shared.x = ends(area.x, from.x, to.x);
    if (Math.abs(from.y - to.y) > 2 * MOVED) chart.zoom.y = ends(area.y, from.y, to.y);
    redrawn();
  }

  function panBy(across, up, ranges = chart.ranges()) {
    const area = chart.pixels();
    if (across) chart.shared.x = shifted(chart.model.x, ranges.x, -across / (area.right - area.left));
    if (up) chart.zoom.y = shifted(chart.model.y, ranges.y, up / (area.bottom - area.top));
    redrawn();
  }

  // ---- the pointer -----------------------------------------------------------------------------------------------------

  const inside = (at, area) => ({ x: Math.min(Math.max(at.x, area.left), area.right), y: Math.min(Math.max(at.y, area.top), area.bottom) });

  holder.addEventListener("pointerdown", (event) => {
    const at = place(event);
    if (event.button !== 0 || !within(at, chart.pixels())) return;
    press = { at, ranges: chart.ranges(), pan: (mode() === "pan") !== event.shiftKey, moved: false };
    holder.setPointerCapture(event.pointerId);
  });
  holder.addEventListener("pointermove", (event) => {
    const at = place(event);
    if (press === null) return read(at);
    press.moved ||= Math.hypot(at.x - press.at.x, at.y - press.at.y) > MOVED;
    if (!press.moved) return null;
    clear();
    if (press.pan) return panBy(at.x - press.at.x, at.y - press.at.y, press.ranges);
    const [from, to] = [press.at, inside(at, chart.pixels())];
    withAttributes(box, { x: Math.min(from.x, to.x), y: Math.min(from.y, to.y), width: Math.abs(from.x - to.x), height: Math.abs(from.y - to.y) }, []);
    return layers.reading.replaceChildren(box);
  });
  holder.addEventListener("pointerup", (event) => {
    if (press === null) return;
    const { moved, pan, at: from } = press;
    const to = place(event);
    press = null;
    if (moved && !pan) {
      layers.reading.replaceChildren();
      zoomInto(from, inside(to, chart.pixels()));
    }
    if (!moved) clicked(to);
  });
  holder.addEventListener("pointercancel", () => ((press = null), clear()));
  holder.addEventListener("pointerleave", () => press === null && clear());

  // A click chooses; where the chart is zoomed a second one shows all of it again, so the first has to wait.
  function clicked(at) {
    const area = chart.pixels();
    const meant = pointAt(at, area);
    const choose = () => (meant ? pick(meant.x, true) : pick(area.x.value(at.x), false));
    const zoomed = chart.shared.x !== null || chart.zoom.y !== null;
    if (waiting !== null) {
      clearTimeout(waiting);
      waiting = null;
      reset();
    } else if (!zoomed) choose();
    else {
      waiting = setTimeout(() => {
        waiting = null;
        choose();
      }, TWICE);
    }
  }

  // The wheel scrolls the page; with Ctrl, as a pinch on a touchpad comes, it zooms.
  holder.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoomAt(Math.exp(Math.max(-0.5, Math.min(0.5, event.deltaY / 200))), inside(place(event), chart.pixels()));
    },
    { passive: false },
  );

  // ---- the keyboard ------------------------------------------------------------------------------------------------------

  function readAlong(steps) {
    const area = chart.pixels();
    const start = reading === null ? (chart.model.cursor === null ? (area.left + area.right) / 2 : area.x(chart.model.cursor)) : reading;
    reading = Math.min(Math.max(start + (steps * (area.right - area.left)) / STEPS, area.left), area.right);
    const value = chart.model.read(area.x.value(reading));
    const shown = value === null ? null : read({ x: reading, y: area.y(value.y) });
    if (shown) speak(shown.lines.join("; "));
  }

  const KEYS = {
    ArrowLeft: () => readAlong(-1),
    ArrowRight: () => readAlong(1),
    Enter: () => reading !== null && pick(chart.pixels().x.value(reading), false),
    "+": () => zoomAt(ZOOM_STEP),
    "-": () => zoomAt(1 / ZOOM_STEP),
    0: reset,
    Escape: () => ((reading = null), clear()),
  };
  const PANS = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
  holder.addEventListener("keydown", (event) => {
    const act = event.shiftKey && PANS[event.key] ? () => panBy(...PANS[event.key]) : KEYS[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
  holder.addEventListener("blur", () => ((reading = null), clear()));

  return { zoomIn: () => zoomAt(ZOOM_STEP), zoomOut: () => zoomAt(1 / ZOOM_STEP), reset };
}
