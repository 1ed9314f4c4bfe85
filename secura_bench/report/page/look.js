// How a method is drawn everywhere: colour, dash and marker, as in the pictures.

const DASHES = ["", "8 3", "2.5 2.5", "9 3 2 3", "5 2 1.5 2 1.5 2"];
const SHAPES = [
  (r) => `M${-r},0a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0`,
  (r) => `M${-r},${-r}h${2 * r}v${2 * r}h${-2 * r}z`,
  (r) => `M0,${-1.25 * r}L${1.2 * r},${r}H${-1.2 * r}z`,
  (r) => `M0,${-1.4 * r}L${1.4 * r},0L0,${1.4 * r}L${-1.4 * r},0z`,
  (r) => `M0,${1.25 * r}L${1.2 * r},${-r}H${-1.2 * r}z`,
  (r) => `M${-r / 2},${-1.2 * r}h${r}v${0.7 * r}h${0.7 * r}v${r}h${-0.7 * r}v${0.7 * r}h${-r}v${-0.7 * r}h${-0.7 * r}v${-r}h${0.7 * r}z`,
  (r) => `M${-r},${-1.3 * r}L0,${-0.5 * r}L${r},${-1.3 * r}L${1.3 * r},${-r}L${0.5 * r},0L${1.3 * r},${r}L${r},${1.3 * r}L0,${0.5 * r}L${-r},${1.3 * r}L${-1.3 * r},${r}L${-0.5 * r},0L${-1.3 * r},${-r}z`,
  (r) => `M${-1.25 * r},0L${r},${-1.2 * r}V${1.2 * r}z`,
  (r) => `M${1.25 * r},0L${-r},${-1.2 * r}V${1.2 * r}z`,
];

function look(study, method) {
  const i = Math.max(0, study.methods.indexOf(method));
  return { colour: `var(--series-${i % DATA.colours})`, dash: DASHES[i % DASHES.length], shape: SHAPES[i % SHAPES.length] };
}

// A hollow marker stands for a number without an interval.
function marker(style, x, y, r = 4.5, hollow = false) {
  return s("path", { d: style.shape(r), transform: `translate(${x.toFixed(1)},${y.toFixed(1)})`, fill: hollow ? "var(--sheet)" : style.colour, stroke: style.colour, "stroke-width": hollow ? 1.5 : 0 });
}

function key(study, method) {
  const style = look(study, method);
  return s("svg", { class: "key", viewBox: "0 0 30 14", "aria-hidden": "true" },
    s("line", { x1: 0, x2: 30, y1: 7, y2: 7, stroke: style.colour, "stroke-width": 2, "stroke-dasharray": style.dash }),
    marker(style, 15, 7, 4));
}

const named = (study, method, note = "") => h("span", { class: "name" }, key(study, method), h("span", {}, method, note && h("span", { class: "range" }, note)));
