// Charts as inline SVG: a scatter of learning against keeping, lines along the sequence, stacked bars.

function ticks(low, high, count = 5) {
  const span = high - low || 1;
  const step = [1, 2, 2.5, 5, 10].map((m) => m * 10 ** Math.floor(Math.log10(span / count))).find((t) => span / t <= count) ?? span;
  const found = [];
  for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + step * 1e-6; t += step) found.push(Math.round(t * 1e6) / 1e6);
  return found;
}

// From the least to the greatest of values, and a margin as in the pictures, which names need; nothing below zero.
function fitted(values) {
  const low = Math.min(...values), high = Math.max(...values), margin = 0.18 * (high - low || 10);
  return [Math.max(0, low - margin), high + margin];
}

// The scale of what was kept, as in the pictures: fitted to the numbers and 100, and where most lie near 100 and some
// far away by the logarithm of the distance from 100. place(v) is between 0 and 1.
const NEAR = 10, FAR = 25, LINEAR = 3;
function keptScale(cells) {
  const there = cells.filter(known), off = there.map((cell) => Math.abs(cell.v - 100));
  const logarithmic = Math.max(0, ...off) > FAR && 2 * off.filter((d) => d < NEAR).length >= off.length;
  const to = logarithmic ? (v) => Math.sign(v - 100) * Math.log1p(Math.abs(v - 100) / LINEAR) : (v) => v - 100;
  const from = logarithmic ? (u) => 100 + Math.sign(u) * LINEAR * Math.expm1(Math.abs(u)) : (u) => 100 + u;
  const ends = [100, ...there.flatMap((cell) => [cell.v, cell.l ?? cell.v, cell.h ?? cell.v])];
  const first = to(Math.min(...ends)), last = to(Math.max(...ends)), margin = 0.08 * (last - first || 10);
  const bottom = Math.max(first - margin, to(0)), top = last + margin, low = from(bottom), high = from(top);
  const decades = [0, 20, 50, 70, 80, 90, 95, 100, 105, 110, 120, 150, 200, 300, 500].filter((t) => t >= low && t <= high);
  return { low, high, logarithmic, place: (v) => (to(v) - bottom) / (top - bottom || 1), ticks: logarithmic ? decades : ticks(low, high) };
}

const plainScale = (low, high) => ({ low, high, place: (v) => (v - low) / (high - low || 1), ticks: ticks(low, high) });

function frame(width, height, left, right, top, bottom, x, y, words) {
  const px = (v) => left + ((v - x[0]) / (x[1] - x[0] || 1)) * (width - left - right);
  const py = (v) => height - bottom - y.place(v) * (height - top - bottom);
  const svg = s("svg", { class: "chart", "--drawn": `${width}px`, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": plain(words) });
  for (const t of y.ticks) {
    svg.append(s("line", { class: "grid", x1: left, x2: width - right, y1: py(t), y2: py(t) }),
      s("text", { x: left - 7, y: py(t) + 4, "text-anchor": "end" }, String(t)));
  }
  return { svg, px, py };
}

// Places for sorted wishes, at least gap apart and within the limits if they fit.
function spread(wishes, gap, low, high) {
  const places = wishes.slice();
  for (let round = 0; round < 60; round++) {
    for (let i = 1; i < places.length; i++) {
      const short = gap - (places[i] - places[i - 1]);
      if (short > 0) { places[i - 1] -= short / 2; places[i] += short / 2; }
    }
    for (let i = 0; i < places.length; i++) {
      places[i] = Math.min(Math.max(places[i], low + i * gap), high - (places.length - 1 - i) * gap);
    }
  }
  return places;
}

const meet = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

// The line from a point to its name, null where the name lies right beside the point.
function leading(x, y, [l, t, r, b]) {
  const far = x < l - 14 || x > r + 14 || y < t - 12 || y > b + 12;
  return far ? [Math.max(l, Math.min(x, r)), Math.max(t, Math.min(y, b))] : null;
}

// Where each name stands: in no other's way, nor in that of a point, and nearer to its own point than to any other, its
// line through none of these. Where not all have such a place, null: the table beside has every method's marker.
function placeLabels(points, bounds, taken) {
  const lines = [], names = [], dot = (p) => [p.x - 6, p.y - 6, p.x + 6, p.y + 6];
  const away = ([l, t, r, b], p) => Math.hypot(Math.max(l - p.x, p.x - r, 0), Math.max(t - p.y, p.y - b, 0));
  for (const { x, y, text } of points) {
    const w = plain(text).length * 6.6 + 6;
    const apart = points.filter((p) => Math.hypot(p.x - x, p.y - y) > 6);  // of points upon one another none is nearer
    const along = ([ex, ey]) => Array.from({ length: 12 }, (_, i) => {
      const cx = x + ((ex - x) * (i + 1)) / 13, cy = y + ((ey - y) * (i + 1)) / 13;
      return [cx - 1, cy - 1, cx + 1, cy + 1];
    });
    const hits = (box, others) => others.some((t) => meet(t, box));
    const free = (box) => !hits(box, [...names, ...lines, ...points.map(dot)])
      && !along(leading(x, y, box) ?? [x, y]).some((bit) => hits(bit, [...names, ...lines, ...apart.map(dot)]))
      && apart.every((p) => away(box, p) >= Math.min(14, away(box, { x, y }) + 4));
    const boxes = [];
    for (let far = 1; far < 12; far++) {
      const r = 3 + far * 6;
      for (const [dx, dy] of [[r, -4], [-r - w, -4], [r, -r - 6], [-r - w, -r - 6], [r, r], [-r - w, r], [-w / 2, -r - 10], [-w / 2, r + 2]]) {
        const box = [x + dx, y + dy - 4, x + dx + w, y + dy + 11];
        if (box[0] >= bounds[0] && box[2] <= bounds[2] && box[1] >= bounds[1] && box[3] <= bounds[3]) boxes.push(box);
      }
    }
    const possible = boxes.filter(free);
    if (!possible.length) return null;
    const best = possible.find((box) => !hits(box, taken)) ?? possible[0];
    const end = leading(x, y, best);
    if (end) lines.push(...along(end).slice(2));
    names.push(best);
  }
  return names;
}

function tradeoff(study, protocol, visible) {
  const shownOnes = protocol.placings.filter((e) => visible(e.method) && known(e.learned) && known(e.kept));
  if (!shownOnes.length) return null;
  const base = shownOnes[0].before, taken = [];
  const ends = (cell) => [cell.v, cell.l ?? cell.v, cell.h ?? cell.v];
  const x = fitted([...shownOnes.flatMap((e) => ends(e.learned)), ...(known(base) ? [base.v] : [])]);
  const y = keptScale(shownOnes.map((e) => e.kept));
  const W = 470, H = 350, box = [44, 14, 12, 42];
  const { svg, px, py } = frame(W, H, box[0], box[1], box[2], box[3], x, y, "Learning against retention, one point a method");
  svg.append(s("line", { class: "reference", x1: box[0], x2: W - box[1], y1: py(100), y2: py(100) }));
  if (known(base)) {
    const side = px(base.v) + (px(base.v) + 65 > W - box[1] ? -65 : 5);
    svg.append(s("line", { class: "reference", "stroke-dasharray": "2 4", x1: px(base.v), x2: px(base.v), y1: box[2] + 10, y2: H - box[3] }),
      s("text", { x: side, y: box[2] + 22 }, "untrained"));
    taken.push([side, box[2] + 10, side + 60, box[2] + 26]);
  }
  for (const t of ticks(x[0], protocol.percent ? Math.min(x[1], 100) : x[1])) svg.append(s("text", { x: px(t), y: H - box[3] + 16, "text-anchor": "middle" }, String(t)));
  svg.append(s("line", { class: "axis", x1: box[0], x2: W - box[1], y1: H - box[3], y2: H - box[3] }),
    s("text", { x: W - box[1], y: H - 6, "text-anchor": "end" }, `learned: ${protocol.metric} on the new tasks →`),
    s("text", { x: box[0] + 4, y: box[2] + 2, "text-anchor": "start" }, `↑ kept, % of the base${y.logarithmic ? ", log around 100" : ""}`));
  const stairs = protocol.front.map((i) => protocol.placings[i]).filter((e) => visible(e.method));
  if (stairs.length > 1) {
    const path = stairs.map((e, i) => (i ? `V${py(e.kept.v)}H${px(e.learned.v)}` : `M${px(e.learned.v)},${py(e.kept.v)}`));
    svg.append(s("path", { class: "front", d: path.join("") }));
  }
  const points = [];
  const clamp = (v) => Math.max(box[2], Math.min(H - box[3], v));
  for (const e of shownOnes) {
    const style = look(study, e.method), cx = px(e.learned.v), cy = clamp(py(e.kept.v));
    const bar = { stroke: style.colour, "stroke-width": 1.3, opacity: 0.75 };
    if (e.learned.l !== null) {
      svg.append(s("line", { ...bar, x1: px(Math.max(e.learned.l, 0)), x2: px(e.learned.h), y1: cy, y2: cy }));
      taken.push([px(Math.max(e.learned.l, 0)), cy - 1, px(e.learned.h), cy + 1]);
    }
    if (e.kept.l !== null) {
      svg.append(s("line", { ...bar, x1: cx, x2: cx, y1: clamp(py(e.kept.l)), y2: clamp(py(e.kept.h)) }));
      taken.push([cx - 1, clamp(py(e.kept.h)), cx + 1, clamp(py(e.kept.l))]);
    }
    taken.push([cx - 6, cy - 6, cx + 6, cy + 6]);
    points.push({ x: cx, y: cy, text: `${e.method}${"†".repeat(Boolean(e.learned.o || e.kept.o))}${e.part ? ` (${e.part})` : ""}`, hollow: e.kept.l === null, style, words: `${e.method}: learned ${number(e.learned.v)}, keeps ${number(e.kept.v)} %` });
  }
  const places = placeLabels(points, [box[0], box[2] + 6, W, H - box[3]], taken);
  points.forEach((p, i) => {
    const dot = marker(p.style, p.x, p.y, 5, p.hollow);
    dot.append(s("title", {}, plain(p.words)));
    if (!places) {
      svg.append(dot);
      return;
    }
    const [l, , , b] = places[i];
    const end = leading(p.x, p.y, places[i]);
    if (end) {
      svg.append(s("line", { x1: p.x, y1: p.y, x2: end[0], y2: end[1], stroke: p.style.colour, "stroke-width": 0.8 }));
    }
    svg.append(dot, s("text", { class: "label", x: l + 3, y: b - 4 }, plain(p.text)));
  });
  return svg;
}

function curves(study, protocol, sequence, visible) {
  const lines = sequence.curves.filter((c) => visible(c.method) && c.points.length > 2);
  if (!lines.length) return null;  // before and after alone are no course
  const n = sequence.tasks.length, W = n > 2 ? 980 : 640, H = 340;
  const widest = Math.max(...lines.map((c) => plain(c.method).length));
  const box = [46, Math.min(30 + widest * 7, 240), 16, 52];
  const every = sequence.curves.flatMap((c) => c.points);
  const scale = protocol.percent ? keptScale(every) : plainScale(0, 1.05 * Math.max(...every.map((p) => p.h ?? p.v)));
  const { svg, px, py } = frame(W, H, box[0], box[1], box[2], box[3], [0, n], scale, `The probe along ${protocol.grid ? "the training" : "the sequence of tasks"}`);
  const clamp = (v) => Math.max(box[2], Math.min(H - box[3], py(v)));
  if (protocol.percent) svg.append(s("line", { class: "reference", x1: box[0], x2: W - box[1], y1: py(100), y2: py(100) }));
  for (let t = 0; t <= n; t++) {
    const full = t ? sequence.tasks[t - 1] : "base", room = (W - box[0] - box[1]) / n / 7;
    const text = plain(full).length > room ? plain(full).slice(0, Math.max(1, Math.floor(room) - 1)) + "…" : plain(full);
    const words = n > 8 ? String(t || "base") : text;
    const anchor = s("text", { x: px(t), y: H - box[3] + 18, "text-anchor": "middle" }, words);
    anchor.append(s("title", {}, plain(full)));
    svg.append(s("line", { class: "axis", x1: px(t), x2: px(t), y1: H - box[3], y2: H - box[3] + 4 }), anchor);
  }
  svg.append(s("line", { class: "axis", x1: box[0], x2: W - box[1], y1: H - box[3], y2: H - box[3] }),
    s("text", { x: box[0], y: H - 6 }, protocol.grid ? `training on ${plain(sequence.tasks.join(", "))} alone →` : "tasks trained, one after another →"));
  if (scale.logarithmic) svg.append(s("text", { x: box[0] + 4, y: box[2] - 2 }, "log around 100"));
  for (const { method, points } of lines) {
    const style = look(study, method), at = (p, v) => `${px(p.x).toFixed(1)},${clamp(v).toFixed(1)}`;
    const sure = points.filter((p) => p.l !== null);
    if (sure.length > 1) {
      const there = sure.map((p) => at(p, p.h)).join("L"), back = sure.slice().reverse().map((p) => at(p, p.l)).join("L");
      svg.append(s("path", { d: `M${there}L${back}z`, fill: style.colour, opacity: lines.length > 4 ? 0.07 : 0.12 }));
    }
  }
  for (const { method, points } of lines) {
    const style = look(study, method);
    const d = "M" + points.map((p) => `${px(p.x).toFixed(1)},${clamp(p.v).toFixed(1)}`).join("L");
    svg.append(s("path", { d, fill: "none", stroke: style.colour, "stroke-width": 2, "stroke-dasharray": style.dash, "stroke-linejoin": "round" }));
    for (const p of points.filter((each) => each.ended)) {
      const dot = marker(style, px(p.x), clamp(p.v), 3.5);
      dot.append(s("title", {}, plain(`${method}, ${p.name}: ${number(p.v)} ${p.l === null ? "" : `(${range(p)})`}`)));
      svg.append(dot);
    }
  }
  const ends = lines.map((c) => ({ method: c.method, once: c.once, y: clamp(c.points.at(-1).v), x: px(c.points.at(-1).x) })).sort((a, b) => a.y - b.y);
  spread(ends.map((e) => e.y), 15, box[2], H - box[3]).forEach((y, i) => {
    const style = look(study, ends[i].method);
    svg.append(s("line", { x1: ends[i].x + 5, y1: ends[i].y, x2: W - box[1] + 16, y2: y, stroke: style.colour, "stroke-width": 0.8 }),
      s("text", { class: "label", x: W - box[1] + 20, y: y + 4 }, plain(ends[i].method) + "†".repeat(Boolean(ends[i].once))));
  });
  return svg;
}

const BECAME = [["kept", "right still"], ["format", "known, said in a form that cannot be read"], ["gone", "gone: wrong by choice, too"], ["cut", "cut off before an end"]];

// Shares of few items are told as counts: they are not drawn as if they were exact.
function forgettingBars(study, visible) {
  const few = study.forgetting.filter((each) => visible(each.method) && each.n < DATA.enough);
  const enough = study.forgetting.filter((each) => visible(each.method) && each.n >= DATA.enough);
  if (!enough.length) {
    return h("p", {}, `Too few items for shares (below ${DATA.enough}), mean counts: `, few.map((each, i) =>
      `${i ? "; " : ""}${each.method} ${BECAME.filter(([kind]) => each[kind] > 0).map(([kind]) => `${kind} ${number((each[kind] * each.n) / 100, 0)}`).join(", ")} of ${each.n}`), ".");
  }
  return [
    h("ul", { class: "legend" }, BECAME.map(([kind, words]) => h("li", {}, h("i", { class: kind }), words))),
    h("div", { class: "lossbars" }, enough.map((each) =>
      h("div", { class: "lossbar" }, named(study, each.method), h("div", {
        class: "row", role: "img",
        "aria-label": plain(`${each.method}: ` + BECAME.map(([kind]) => `${kind} ${number(each[kind])} %`).join(", ")),
      }, BECAME.map(([kind]) => each[kind] > 0 && h("span", { class: kind, "--share": `${each[kind]}%`, title: `${kind} ${number(each[kind])} %` },
        each[kind] >= 6 ? number(each[kind], 0) : "")))))),
  ];
}
