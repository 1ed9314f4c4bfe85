// Tables that sort by any column: a button in each heading, aria-sort on it; rows of reference stay on top.

// columns: {heading, number, group, title}; rows: {cells: [{node, order}], strong, method}
function sortable(caption, columns, rows, attributes = {}) {
  const body = h("tbody");
  const heads = columns.map((column, i) =>
    h("th", { scope: "col", class: column.number ? "number" : null, title: column.title, "aria-sort": "none" },
      h("button", { class: "sort", type: "button", onclick: () => sort(i) }, column.heading)));
  const groups = columns.some((column) => column.group)
    ? h("tr", { class: "groups" }, runs(columns.map((column) => column.group ?? "")).map(([name, span]) => h("th", { colspan: span }, name)))
    : null;
  let by = null, down = false;

  function sort(i) {
    down = by === i ? !down : Boolean(columns[i].number);
    by = i;
    heads.forEach((head, k) => head.setAttribute("aria-sort", k !== by ? "none" : down ? "descending" : "ascending"));
    draw();
  }

  function draw() {
    const ordered = rows.map((row, i) => [row, i]);
    if (by !== null) {
      ordered.sort(([a, i], [b, k]) => {
        if (a.strong !== b.strong) return a.strong ? -1 : 1;
        const x = a.cells[by].order, y = b.cells[by].order;
        if (x === null || y === null) return x === y ? i - k : x === null ? 1 : -1;  // what is missing comes last
        const way = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
        return (down ? -way : way) || i - k;
      });
    }
    let section = ordered[0]?.[0].section;
    body.replaceChildren(...ordered.map(([row]) => {
      const rule = by === null && row.section !== section;
      section = row.section;
      return h("tr", { class: [row.strong && "strong", rule && "rule"].filter(Boolean).join(" ") || null }, row.cells.map((cell) => cell.node));
    }));
  }

  draw();
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": plain(caption) },
    h("table", attributes, h("caption", {}, caption), h("thead", {}, groups, h("tr", {}, heads)), body));
}

function runs(values) {
  const found = [];
  for (const value of values) {
    if (found.length && found.at(-1)[0] === value) found.at(-1)[1]++;
    else found.push([value, 1]);
  }
  return found;
}

function numberCell(cell, { digits, interval }) {
  const said = known(cell) ? range(cell, digits) : "";
  return {
    node: h("td", { class: !known(cell) ? "number none" : cell.best ? "number best" : "number", title: plain(said || cell?.w || "") || null },
      known(cell) ? `${number(cell.v, digits)}${"†".repeat(Boolean(interval && cell.o))}${"*".repeat(Boolean(cell.best))}` : "–", interval && said ? h("span", { class: "range" }, said) : null, against(cell, digits)),
    order: known(cell) ? cell.v : null,
  };
}

// The published number, if there is one, and what the comparison came to; the reasons are shown on hovering.
function against(cell, digits) {
  if (!cell?.verdict || (cell.published === null && !known(cell))) return null;
  const flaws = cell.flaws ?? [];
  return h("span", { class: "range", title: plain(cell.reason) }, cell.published === null ? null : `paper ${number(cell.published, digits)}`,
    flaws.length ? h("span", { class: "flaw", title: plain(flaws.join("; ")) }, " ⚠") : null, cell.published === null ? cell.verdict : ` · ${cell.verdict}`);
}

const textCell = (text, head = false) => ({ node: h(head ? "th" : "td", head ? { scope: "row" } : {}, text), order: typeof text === "string" ? text : text.textContent });

// The notes of a table whose cells have what they explain: intervals (which stand here by their ends), † and *.
function notesUnder(table, rows) {
  const marks = new Set(rows.flatMap((row) => row.entries.flatMap((entry, i) => {
    if (!known(entry) || typeof entry === "string") return [];
    const { interval } = table.columns[i];
    return [interval && range(entry) && "[", interval && entry.o && "†", entry.best && "*"];
  })));
  return table.notes.filter((note) => !note.marks.length || note.marks.some((mark) => marks.has(mark)));
}

// A table of the report's, as every other format has it.
function reportTable(table, visible, open, ontoggle) {
  const rows = table.rows.filter((row) => !row.method || row.strong || visible(row.method));
  const details = h("details", { class: "table", open, ontoggle: () => ontoggle(details) }, h("summary", {}, table.title),
    sortable(table.title, table.columns, rows.map((row) => ({
      strong: row.strong,
      section: row.section,
      cells: row.entries.map((entry, i) => (typeof entry === "string" ? textCell(entry, i === 0) : numberCell(entry, table.columns[i]))),
    })), { class: "report" }),
    h("ul", { class: "notes" }, notesUnder(table, rows).map((note) => h("li", {}, note.text))));
  return details;
}

const LEARNED = { yes: "learned", no: "no learning shown", worse: "got worse at its tasks", unsure: "learning unknown" };
const FORGOT = { yes: "forgot", no: "no loss shown", worse: "improved on the probe", unsure: "forgetting unknown" };

// Value and interval on a line, a place between 0 and 1 for each number, with a mark where the untrained model is.
function interval(cell, place, reference, style) {
  if (!known(cell)) return h("span", { class: "unsure", title: plain(cell?.w ?? "") }, "unknown");
  const at = (v) => 200 * Math.max(0, Math.min(1, place(v)));
  return s("svg", { viewBox: "0 0 200 18", preserveAspectRatio: "none", "aria-hidden": "true" },
    s("line", { class: "grid", x1: 0, x2: 200, y1: 9, y2: 9, "vector-effect": "non-scaling-stroke" }),
    reference !== null && s("line", { class: "reference", x1: at(reference), x2: at(reference), y1: 1, y2: 17, "stroke-dasharray": "2 2", "vector-effect": "non-scaling-stroke" }),
    cell.l !== null && s("line", { x1: at(cell.l), x2: at(cell.h), y1: 9, y2: 9, stroke: style.colour, "stroke-width": 3, opacity: 0.55, "vector-effect": "non-scaling-stroke" }),
    s("line", { x1: at(cell.v), x2: at(cell.v), y1: 2, y2: 16, stroke: style.colour, "stroke-width": 4, "vector-effect": "non-scaling-stroke" }));
}

function placingTable(study, protocol, visible) {
  const shownOnes = protocol.placings.filter((e) => visible(e.method));
  const top = protocol.percent ? 100 : Math.max(...protocol.placings.map((e) => e.learned.h ?? e.learned.v ?? 0)) || 1;
  const kept = keptScale(protocol.placings.map((e) => e.kept));
  const once = shownOnes.some((e) => e.learned.o || e.kept.o);
  const drawn = (cell, place, reference, style) => ({
    node: h("td", { class: "plot" }, h("span", { class: "figures" }, h("span", {}, h("b", {}, number(cell.v)), "†".repeat(Boolean(known(cell) && cell.o))), h("span", { class: "range" }, range(cell))), interval(cell, place, reference, style)),
    order: cell.v,
  });
  const table = sortable(`Who learned, who forgot${study.averaged && `: ${study.averaged}`}; 95 % intervals`, [
    { heading: "method" },
    { heading: `learned (${protocol.metric})`, number: true, title: "right after training each task, mean over tasks; dashed: the untrained model" },
    { heading: "kept (% of base)", number: true, title: `${study.probe} at the end; dashed: the untrained model, 100 %; the line is from ${number(kept.low)} to ${number(kept.high)} %${kept.logarithmic ? ", by the logarithm of the distance from 100" : ""}` },
    { heading: "verdict" },
  ], shownOnes.map((e) => {
    const style = look(study, e.method);
    return { cells: [
      textCell(named(study, e.method, e.part), true),
      drawn(e.learned, (v) => v / top, known(e.before) ? e.before.v : null, style),
      drawn(e.kept, kept.place, 100, style),
      { node: h("td", { class: "verdict" }, h("span", { class: `${e.didLearn}-learn` }, LEARNED[e.didLearn]), h("span", { class: `${e.didForget}-forget` }, FORGOT[e.didForget])), order: LEARNED[e.didLearn] + FORGOT[e.didForget] },
    ] };
  }), { class: "placing" });
  return h("div", {}, table, once && h("p", { class: "notes" }, "† one seed: the interval is of its items only, and nothing follows for the method."));
}
