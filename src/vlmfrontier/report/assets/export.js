// What a reader takes away: a chart as PNG, numbers as CSV.
"use strict";

const SHARPNESS = 2;
const LOOKS = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "opacity", "font-family", "font-size", "font-weight", "paint-order"];

function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const fileName = (what, ending) => `${data.study}-${what}.${ending}`.replace(/[^\w.-]+/g, "-");

function saveCsv(heads, rows, what) {
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  save(new Blob([[heads, ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n"], { type: "text/csv" }), fileName(what, "csv"));
}

// A copy of a drawing that carries its looks with it.
function standalone(svg) {
  const copy = svg.cloneNode(true);
  const [own, copied] = [svg, copy].map((root) => [...root.querySelectorAll("*")]);
  own.forEach((part, i) => {
    const looks = getComputedStyle(part);
    for (const name of LOOKS) copied[i].style.setProperty(name, looks.getPropertyValue(name));
  });
  copy.querySelectorAll(".reading > *").forEach((part) => part.remove());
  return copy;
}

// A chart with its caption, the question and its legend, as a picture that can stand alone.
async function savePng(chart, caption, keys, what) {
  const { width, height } = chart.pixels();
  const colours = getComputedStyle(document.documentElement);
  const ink = colours.getPropertyValue("--ink");
  const lines = Math.ceil(keys.reduce((sum, { name }) => sum + 40 + 6.6 * name.length, 0) / width);
  const top = 46 + 18 * lines;
  const text = (content, y, weight = 400, size = 13) => drawn("text", { x: 12, y, fill: ink, "font-weight": weight, "font-size": size, "font-family": "system-ui, DejaVu Sans, sans-serif" }, content);
  const picture = drawn("svg", { xmlns: "http://www.w3.org/2000/svg", width, height: height + top, viewBox: `0 0 ${width} ${height + top}` });
  picture.append(drawn("rect", { width, height: height + top, fill: colours.getPropertyValue("--card") }), text(caption, 20, 600, 14), text(questionText(), 38, 400, 12));
  let [x, y] = [12, 58];
  for (const { name, sign, colour } of keys) {
    const length = 34 + 6.6 * name.length;
    if (x > 12 && x + length > width) [x, y] = [12, y + 18];
    const swatch = drawn("tspan", { fill: colour }, `${sign} `);
    picture.append(drawn("text", { x, y, fill: ink, "font-size": 12, "font-family": "system-ui, DejaVu Sans, sans-serif" }, swatch, name));
    x += length;
  }
  const copy = standalone(chart.svg);
  withAttributes(copy, { y: top, height, width }, []);
  picture.append(copy);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(picture))}`;
  await image.decode();
  const canvas = element("canvas", { width: SHARPNESS * width, height: SHARPNESS * (height + top) });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => save(blob, fileName(what, "png")), "image/png");
}
