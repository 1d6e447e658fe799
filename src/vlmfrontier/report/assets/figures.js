// The figures of the page: a caption, buttons, a legend that switches, and the chart itself.
"use strict";

const Figures = (charts) => {
  const made = new Map();
  const shared = {}; // the zoom of x, by what x is
  let dragging = "zoom";
  const legends = new Map();

  const signOf = ({ sign, colour, outlined }) => element("b", { style: `color:${colour}`, class: outlined ? "outlined" : null, "aria-hidden": "true" }, sign);

  // An entry of the legend shows or hides what it names.
  function entry(figure, key) {
    const { chart } = figure;
    const hidden = chart.hidden.has(key.name);
    const act = () => {
      if (hidden) chart.hidden.delete(key.name);
      else chart.hidden.add(key.name);
      legends.delete(figure.id);
      legend(figure);
      chart.redraw();
      document.querySelector(`#${figure.id}-keys [data-name="${CSS.escape(key.name)}"]`).focus();
    };
    const attributes = { class: "key", "aria-pressed": String(!hidden), "data-name": key.name, title: hidden ? "show" : "hide" };
    return element("li", {}, button("", act, attributes));
  }

  function legend(figure) {
    const { chart } = figure;
    const { bands, lines, points: groups, marks } = chart.model;
    const key = [...bands, ...lines, ...groups.filter(({ x }) => x.length > 0), ...marks].map(({ name }) => name).join("|");
    if (legends.get(figure.id) === key) return;
    legends.set(figure.id, key);
    const keys = chart.model.legend();
    const entries = keys.map((each) => {
      const item = entry(figure, each);
      item.firstChild.append(signOf(each), each.name);
      return item;
    });
    at(`${figure.id}-keys`).replaceChildren(...entries);
    figure.keys = keys;
  }

  // The buttons of a figure; the way a drag works is that of all.
  function tools(figure, pointing, caption) {
    const mode = button("", () => ((dragging = dragging === "zoom" ? "pan" : "zoom"), modes()), { class: "mode" });
    const small = (text, label, act) => button(text, act, { "aria-label": `${label}: ${caption}`, title: label });
    return element(
      "div",
      { class: "tools" },
      mode,
      small("+", "Zoom in", pointing.zoomIn),
      small("−", "Zoom out", pointing.zoomOut),
      small("Reset", "Show all", pointing.reset),
      small("PNG", "Download as PNG", () => savePng(figure.chart, caption, (figure.keys || []).filter(({ name }) => !figure.chart.hidden.has(name)), figure.id)),
    );
  }

  function modes() {
    for (const mode of document.querySelectorAll(".tools .mode")) {
      mode.textContent = `Drag: ${dragging}`;
      mode.title = `A drag ${dragging === "zoom" ? "zooms into a box; with Shift it moves the chart" : "moves the chart; with Shift it zooms into a box"}`;
    }
  }

  // `along` names what x is: charts of one x zoom together.
  function add(id, { caption, wide, along, pick }) {
    const holder = element("div", { class: "chart", id, role: "application", "aria-roledescription": "chart", tabindex: "0", "aria-describedby": "chart-help" });
    shared[along] ||= { x: null };
    const figure = { id, chart: Chart(holder, shared[along]), keys: [] };
    made.set(id, figure);
    const all = () => [...made.values()].map(({ chart }) => chart).filter((chart) => chart.shared === shared[along]);
    const pointing = setUpPointing(figure.chart, { all, pick, speak, mode: () => dragging });
    const head = element("div", { class: "head" }, element("figcaption", {}, caption), tools(figure, pointing, caption));
    at("charts").append(element("figure", { class: wide ? "wide" : "" }, head, element("ul", { class: "keys", id: `${id}-keys` }), holder));
    new ResizeObserver(() => (figure.chart.measure(), figure.chart.redraw())).observe(holder);
    modes();
  }

  function draw(id, model, label) {
    const figure = made.get(id);
    figure.chart.holder.setAttribute("aria-label", label);
    figure.chart.draw(model);
    legend(figure);
  }

  // The colours of the legend are those of the page as it is now.
  const recolour = () => made.forEach((figure) => (legends.delete(figure.id), figure.chart.model && legend(figure)));

  const measure = () => made.forEach(({ chart }) => chart.measure());

  // Draw every chart as large as it now is.
  const fit = () => (measure(), made.forEach(({ chart }) => chart.redraw()));

  return { add, draw, recolour, measure, fit };
};
