// The table of all runs: sorted by any column, filtered by words and comparisons, taken away as CSV.
"use strict";

const TABLE = { sort: { column: -1, down: false }, filter: "" };
const COMPARISON = /^(.+?)(<=|>=|!=|=|<|>)(.+)$/;
const COMPARED = { "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b, "=": (a, b) => near(a, b) || a === b, "!=": (a, b) => !near(a, b) };

// The columns: what they are called and what every run has in them.
function runHeads(targets) {
  const { runs } = data;
  const number = (name, values, text) => ({ name, values, text, number: true });
  const error = (name) => number(targets.length > 1 ? name : `measured ${name}`, runs.errors[name], (run) => measuredText(runs.errors[name][run], runs.se[name] && runs.se[name][run], name));
  return [
    { name: "run", values: runs.names, text: (run) => runs.names[run], number: false },
    ...targets.map(error),
    ...data.factors.map((factor, k) => number(factor.name, runs.factors[k], (run) => human(runs.factors[k][run], "B"))),
    ...(data.hasData ? [number("n", runs.n, (run) => human(runs.n[run], "B"))] : []),
    ...(runs.cost ? [number("c", runs.cost, (run) => (runs.cost[run] === null ? "" : human(runs.cost[run])))] : []),
  ];
}

const runCells = (run, targets) => runHeads(targets).map(({ text, number }) => (number ? { number: text(run) } : text(run)));

// ---- filter ----------------------------------------------------------------------------------------------------------------

// What a filter says, word by word: a part of a run's name or notes, or a comparison such as T<=8; `problem` of the first
// that cannot be read.
function readFilter(text, heads) {
  const tests = [];
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const match = COMPARISON.exec(word);
    if (!match) tests.push((run) => `${data.runs.names[run]} ${data.runs.notes[run].flat().join(" ")}`.toLowerCase().includes(word.toLowerCase()));
    else {
      const [, name, sign, number] = match;
      const column = heads.find((head) => head.number && head.name === name);
      const wanted = parseHuman(number);
      if (!column) return { tests, problem: `There is no column “${name}”; the columns with numbers are ${heads.filter((head) => head.number).map((head) => head.name).join(", ")}.` };
      if (wanted === null) return { tests, problem: notANumber(number) };
      // A number as the table shows it means the value that is shown so.
      const shown = (value) => (human(value, "B") === human(wanted, "B") ? wanted : value);
      tests.push((run) => column.values[run] !== null && COMPARED[sign](sign === "<" || sign === ">" ? column.values[run] : shown(column.values[run]), wanted));
    }
  }
  return { tests, problem: null };
}

// ---- order -----------------------------------------------------------------------------------------------------------------

// Runs in the order asked for; what is not known comes last either way.
function ordered(runs, heads) {
  const { column, down } = TABLE.sort;
  if (column < 0) return runs;
  const { values, number } = heads[column];
  const compare = number ? (a, b) => values[a] - values[b] : (a, b) => values[a].localeCompare(values[b], "en", { numeric: true });
  const known = runs.filter((run) => values[run] !== null).sort((a, b) => (down ? -1 : 1) * compare(a, b) || a - b);
  return [...known, ...runs.filter((run) => values[run] === null)];
}

// ---- the table ---------------------------------------------------------------------------------------------------------------

function shownRuns(heads) {
  const { tests, problem } = readFilter(TABLE.filter, heads);
  const all = Array.from({ length: data.runs.count }, (_, run) => run);
  return { runs: ordered(all.filter((run) => tests.every((test) => test(run))), heads), problem };
}

function showRuns() {
  const targets = Object.keys(data.targets);
  const heads = runHeads(targets);
  const { runs, problem } = shownRuns(heads);
  const { column, down } = TABLE.sort;
  const head = heads.map(({ name, number }, i) => {
    const act = () => {
      TABLE.sort = { column: i, down: column === i ? !down : false };
      showRuns();
      at("runs").querySelectorAll("thead button")[i].focus();
    };
    const order = column === i ? (down ? "descending" : "ascending") : null;
    const sign = element("span", { "aria-hidden": "true" }, order === null ? "" : down ? " ▼" : " ▲");
    const sorter = button(name, act, { title: `sort by ${name}` });
    sorter.append(sign);
    return element("th", { scope: "col", class: number ? "number" : null, "aria-sort": order }, sorter);
  });
  const rows = runs.map((run) => {
    const [first, ...others] = heads;
    const cells = others.map(({ text, number }) => element("td", { class: number ? "number" : null }, text(run)));
    return element("tr", { "data-run": run }, element("th", { scope: "row" }, first.text(run)), ...cells);
  });
  at("runs").replaceChildren(element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
  const said = TABLE.filter.trim() === "" ? `${plural(data.runs.count, "run")}.` : `${runs.length} of ${plural(data.runs.count, "run")}.`;
  at("runs-count").textContent = problem || said;
  at("runs-count").classList.toggle("problem", problem !== null);
}

function saveRuns() {
  const heads = runHeads(Object.keys(data.targets));
  const errors = Object.keys(data.targets).flatMap((name) => (data.runs.se[name] ? [{ name: `${name}_se`, values: data.runs.se[name] }] : []));
  const columns = [...heads, ...errors];
  saveCsv(columns.map(({ name }) => name.replace(/^measured /, "")), shownRuns(heads).runs.map((run) => columns.map(({ values }) => values[run])), "runs");
}

function setUpRuns() {
  at("runs-summary").textContent = `All ${plural(data.runs.count, "run")} with their measured errors`;
  const targets = Object.keys(data.targets);
  const example = `${data.factors.at(-1).name}<=${human(data.factors.at(-1).center, "B")}`;
  at("runs-hint").textContent = `Words that must be in the name or notes of a run, and comparisons such as ${example}${data.hasData ? ` or n=${human(data.runs.n[0], "B")}` : ""} or ${targets[0]}<30.`;
  at("runs-filter").addEventListener("input", () => {
    TABLE.filter = at("runs-filter").value;
    showRuns();
  });
  at("runs-csv").addEventListener("click", saveRuns);
  // Rows are made when somebody wants to see them.
  at("runs-details").addEventListener("toggle", () => at("runs").children.length === 0 && showRuns());
}
