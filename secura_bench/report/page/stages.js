// The accuracy matrix with a slider over its stages: what each task scores after each other was trained.

function heat(cell, extra = "") {
  if (!known(cell)) return h("td", { class: "empty", title: "not scored" }, "·");
  return h("td", {
    class: [cell.v > 55 && "strongly", extra].filter(Boolean).join(" ") || null,
    "--share": `${Math.max(0, Math.min(100, cell.v)).toFixed(0)}%`,
    title: cell.l === null ? number(cell.v) : `${number(cell.v)} (${range(cell)})`,
  }, number(cell.v, 0));
}

const upright = (text) => h("th", { scope: "col", title: plain(text) }, h("span", {}, text));

function stages(study, protocol, sequence, visible) {
  const matrices = sequence.matrices.filter((m) => visible(m.method) && m.after.length > 1);
  if (!matrices.length) return null;
  const panel = h("div");
  let method = matrices[0].method;
  const choose = pick("method", matrices.map((m) => [m.method, m.method]), method, (value) => { method = value; draw(); });

  function draw() {
    const matrix = matrices.find((m) => m.method === method), last = matrix.after.length - 1;
    const curve = sequence.curves.find((c) => c.method === method);
    const slider = h("input", { type: "range", min: 0, max: last, step: 1, value: last, oninput: () => move(Number(slider.value)) });
    const output = h("output", {});
    const rows = matrix.after.map((after, i) =>
      h("tr", { onclick: () => { slider.value = i; move(i); } },
        h("th", { scope: "row" }, i ? `after ${after}` : "base"),
        matrix.rows[i].map((cell, j) => heat(cell, after === sequence.tasks[j] ? "own" : ""))));
    const now = h("div");

    function move(stage) {
      const name = stage ? `after ${matrix.after[stage]}` : "base, untrained";
      output.replaceChildren(shown(name));
      slider.setAttribute("aria-valuetext", plain(name));
      rows.forEach((row, i) => { row.className = i === stage ? "now" : i > stage ? "later" : ""; });
      const point = curve?.points.filter((p) => p.ended)[stage];
      now.replaceChildren(
        point ? h("p", { class: "probe-now" }, h("b", {}, number(point.v) + (protocol.percent ? " %" : "")), ` of ${study.probe} kept`, point.l === null ? "" : h("span", { class: "unsure" }, ` (${range(point)})`)) : null,
        h("div", { class: "bars" }, sequence.tasks.map((task, j) => bar(matrix, sequence, stage, task, j))),
        h("p", { class: "notes" }, "Bar: the score now. Line: the score right after the task was trained."));
    }

    panel.replaceChildren(
      h("div", { class: "stagebar" }, choose, h("label", {}, "stage", slider), output),
      h("div", { class: "pair" },
        h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Accuracy matrix" },
          h("table", { class: "heat" }, h("caption", {}, `${protocol.metric} on each task (across) after each stage (down)`),
            h("thead", {}, h("tr", {}, h("th", {}, h("span", { class: "unseen" }, "stage")), sequence.tasks.map(upright))), h("tbody", {}, rows))),
        now));
    move(last);
  }

  draw();
  return panel;
}

function bar(matrix, sequence, stage, task, j) {
  const cell = matrix.rows[stage][j], trained = Math.max(matrix.after.indexOf(task), matrix.after.indexOf(DATA.mixed)), own = trained > 0 ? matrix.rows[trained][j] : null;
  const share = (v) => `${Math.max(0, Math.min(100, v)).toFixed(1)}%`;
  const seen = trained > 0 && trained <= stage;
  return [
    h("span", { class: seen ? "what" : "what untrained" }, task),
    h("span", { class: "track" }, known(cell) && h("span", { class: "fill", "--share": share(cell.v) }),
      seen && known(own) && h("span", { class: "was", "--share": share(own.v), title: `when learned: ${number(own.v)}` })),
    h("span", { class: seen ? "num" : "num untrained" }, known(cell) ? number(cell.v) : "–"),
  ];
}

// Where each task was trained alone: what each method learned and kept, by task.
function grids(study, protocol, visible) {
  const one = (what, caption) => h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h("table", { class: "heat" }, h("caption", {}, caption),
      h("thead", {}, h("tr", {}, h("th", {}, h("span", { class: "unseen" }, "method")), protocol.grid.tasks.map(upright))),
      h("tbody", {}, protocol.grid.rows.filter((row) => visible(row.method)).map((row) => h("tr", {}, h("th", { scope: "row" }, row.method), row[what].map((cell) => heat(cell)))))));
  return h("div", { class: "pair" }, one("learned", `learned: ${protocol.metric} on the task itself`), one("kept", `kept: % of the base's ${protocol.metric} on ${plain(study.probe)}`));
}
