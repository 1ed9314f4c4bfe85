// Methods at equal learning: each a line through its settings, what was learned across, what was kept up.

function frontier(study, protocol, visible) {
  const lines = protocol.curves.lines.map((line, i) => ({ ...line, i, points: line.points.filter((p) => visible(p.method)) })).filter((line) => line.points.length);
  if (!lines.length) return null;
  const every = lines.flatMap((line) => line.points), before = protocol.curves.before;
  const ends = (cell) => [cell.v, cell.l ?? cell.v, cell.h ?? cell.v];
  const x = fitted([...every.flatMap((p) => ends(p.learned)), ...(known(before) ? [before.v] : [])]);
  const y = keptScale(every.map((p) => p.kept));
  const widest = Math.max(...lines.map((line) => plain(line.name).length)), box = [44, Math.min(40 + widest * 8, 220), 16, 42], W = 560 + box[1], H = 380;
  const { svg, px, py } = frame(W, H, box[0], box[1], box[2], box[3], x, y, "Methods at equal learning, one line a method through its settings");
  const clamp = (v) => Math.max(box[2], Math.min(H - box[3], v)), style = ({ i }) => ({ colour: `var(--series-${i % DATA.colours})`, shape: SHAPES[i % SHAPES.length] });
  svg.append(s("line", { class: "reference", x1: box[0], x2: W - box[1], y1: py(100), y2: py(100) }));
  if (known(before)) {
    svg.append(s("line", { class: "reference", "stroke-dasharray": "2 4", x1: px(before.v), x2: px(before.v), y1: box[2] + 10, y2: H - box[3] }), s("text", { x: px(before.v) + 5, y: H - box[3] - 6 }, "untrained"));
  }
  for (const t of ticks(x[0], Math.min(x[1], 100))) svg.append(s("text", { x: px(t), y: H - box[3] + 16, "text-anchor": "middle" }, String(t)));
  svg.append(s("line", { class: "axis", x1: box[0], x2: W - box[1], y1: H - box[3], y2: H - box[3] }),
    s("text", { x: W - box[1], y: H - 6, "text-anchor": "end" }, `learned: ${protocol.curves.by} on the new tasks →`),
    s("text", { x: box[0] + 4, y: box[2] + 2, "text-anchor": "start" }, `↑ kept, % of the base${y.logarithmic ? ", log around 100" : ""}`));
  // Straight between two settings in the numbers, which by a logarithmic scale is no straight line.
  const path = (points) => "M" + points.flatMap((p, i) => {
    const from = points[i - 1] ?? p, steps = i ? 16 : 1;
    return Array.from({ length: steps }, (_, k) => (k + 1) / steps).map((share) => `${px(from.learned.v + (p.learned.v - from.learned.v) * share).toFixed(1)},${clamp(py(from.kept.v + (p.kept.v - from.kept.v) * share)).toFixed(1)}`);
  }).join("L");
  for (const line of lines) {
    const { colour } = style(line), bar = { stroke: colour, "stroke-width": 1.1, opacity: 0.35 };
    for (const { learned, kept } of line.points) {
      const cx = px(learned.v), cy = clamp(py(kept.v));
      if (learned.l !== null) svg.append(s("line", { ...bar, x1: px(Math.max(learned.l, 0)), x2: px(learned.h), y1: cy, y2: cy }));
      if (kept.l !== null) svg.append(s("line", { ...bar, x1: cx, x2: cx, y1: clamp(py(kept.l)), y2: clamp(py(kept.h)) }));
    }
  }
  for (const line of lines) {
    const worn = style(line), on = line.points.filter((p) => p.on);
    svg.append(s("path", { d: path(line.points), fill: "none", stroke: worn.colour, "stroke-width": 1, "stroke-dasharray": "1.5 3" }));
    if (on.length) svg.append(s("path", { d: path(on), fill: "none", stroke: worn.colour, "stroke-width": 2, "stroke-linejoin": "round" }));
    for (const p of line.points) {
      const dot = marker(worn, px(p.learned.v), clamp(py(p.kept.v)), p.on ? 5 : 3.2, p.kept.l === null);
      dot.append(s("title", {}, plain(`${line.name}, ${line.key} ${p.value}: learned ${number(p.learned.v)}, keeps ${number(p.kept.v)} %`)));
      svg.append(dot);
    }
  }
  lines.forEach((line, row) => {
    const once = line.points.some((p) => p.learned.o || p.kept.o);
    svg.append(marker(style(line), W - box[1] + 16, box[2] + 10 + 20 * row, 5), s("text", { class: "label", x: W - box[1] + 28, y: box[2] + 14 + 20 * row }, plain(line.name) + "†".repeat(Boolean(once))));
  });
  return svg;
}
