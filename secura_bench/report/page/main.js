// The page: what is chosen, and everything that follows from it.

const DATA = JSON.parse(document.getElementById("data").textContent);
const main = document.getElementById("main");
const state = { study: 0, protocol: null, sequence: 0, hidden: new Set(), tables: null };
const visible = (method) => !state.hidden.has(method);

function section(title, about, ...content) {
  const inside = content.flat(Infinity).filter(Boolean);
  return inside.length ? h("section", {}, h("h2", {}, title), about && h("p", { class: "about" }, about), inside) : null;
}

function called(id, node) {
  node?.setAttribute("id", id);
  return node;
}

function controls() {
  const study = DATA.studies[state.study];
  const sequences = study.protocols[0]?.sequences ?? [];
  document.getElementById("controls").replaceChildren(...[
    DATA.studies.length > 1 && pick("experiment", DATA.studies.map((each, i) => [String(i), each.title]), String(state.study), (value) => {
      remember({ experiment: DATA.studies[value].title, protocol: null, trained: null, hidden: null, table: null, ...FORGOTTEN_WITH_A_VIEW });
      restore();
    }),
    study.protocols.length > 1 && h("fieldset", {}, h("legend", {}, "protocol"), study.protocols.map((each) => h("label", { class: "chip choice" },
      h("input", { type: "radio", name: "protocol", value: each.id, checked: each.id === state.protocol, onchange: () => { state.protocol = each.id; remember({ protocol: each.id, ...FORGOTTEN_WITH_A_VIEW }); draw(); } }), each.heading))),
    sequences.length > 1 && pick("trained on", sequences.map((each, i) => [String(i), each.tasks.join(", ")]), String(state.sequence), (value) => { state.sequence = Number(value); remember({ trained: trainedOn(sequences[value]) }); draw(); }),
    study.methods.length > 1 && h("fieldset", {}, h("legend", {}, "methods"), study.methods.map((method) => h("label", { class: "chip" },
      h("input", { type: "checkbox", value: method, checked: visible(method), onchange: (event) => { state.hidden[event.target.checked ? "delete" : "add"](method); remember({ hidden: [...state.hidden] }); draw(); } }), key(study, method), method))),
  ].filter(Boolean));
}

function draw() {
  const study = DATA.studies[state.study];
  const protocol = study.protocols.find((each) => each.id === state.protocol);
  const heading = h("h1", {}, [study.title, protocol?.heading, study.averaged].filter(Boolean).join(" · "));
  if (!protocol) {
    main.replaceChildren(heading, h("p", { class: "lead" }, "Nothing was scored by a protocol that this page knows."));
    return;
  }
  const sequence = protocol.sequences[state.sequence];
  const alone = protocol.grid && sequence?.tasks.join(", ");  // the tasks of a study in mode separate are no sequence
  const lead = protocol.summary.find((each) => each.kind === "lead");
  const limits = [...protocol.summary.filter((each) => each.kind === "warning"), ...study.caveats];
  const facts = protocol.summary.filter((each) => each.kind === "fact");
  const listed = (sentences) => h("ul", { class: "facts" }, sentences.map((each) => h("li", { class: each.kind }, each.text)));
  const chart = tradeoff(study, protocol, visible);
  const grid = frontier(study, protocol, visible);
  const curve = sequence && curves(study, protocol, sequence, visible);
  const matrix = protocol.grid ? (protocol.grid.rows.length ? grids(study, protocol, visible) : null) : sequence && stages(study, protocol, sequence, visible);
  const tables = DATA.tables.filter((table) => belongs(table, study, protocol));
  const keys = tables.map((table, i) => `${table.id}${"-2".repeat(tables.slice(0, i).filter((other) => other.id === table.id).length)}`);
  state.tables ??= new Set(keys.slice(0, 1));
  const toggled = (key) => (details) => {
    if (details.open === state.tables.has(key) || details.dataset.folded !== undefined) return;
    state.tables[details.open ? "add" : "delete"](key);
    remember({ table: [...state.tables] });
  };
  main.replaceChildren(...[
    h("section", { class: "long" }, heading, h("p", { class: "lead" }, lead?.text ?? ""),
      grid && h("figure", {}, h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Chart of methods at equal learning" }, grid), h("figcaption", {}, "At equal learning, higher keeps more. A line: a method through its settings, from gentle to strong; dotted, past its end, where it learned and kept less. Bars: 95 % intervals.")),
      protocol.placings.length ? h("div", { class: "pair" }, placingTable(study, protocol, visible),
        chart && h("figure", {}, h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Chart of learning against retention" }, chart), h("figcaption", {}, `Up and to the right is better. ${study.averaged ? `A point: the ${study.averaged}. ` : ""}Bars: 95 % intervals. Stair: the Pareto front, what no other method beats in both. Markers are the table's${protocol.placings.some((e) => visible(e.method) && known(e.kept) && e.kept.l === null) ? "; hollow: too few items for an interval" : ""}.`))) : null,
      limits.length ? listed(limits) : null,
      facts.length ? h("details", {}, h("summary", {}, "Method by method, in words"), listed(facts)) : null),
    section(alone ? "Along the training" : "Along the sequence", `${study.probe} ${alone ? `before and after training on ${alone} alone` : "after each task"}, ${protocol.percent ? `percent of the base's ${protocol.metric}` : protocol.metric}; bands: 95 % intervals.`, curve && h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Chart of the probe along the ${alone ? "training" : "sequence"}` }, curve)),
    section(protocol.grid ? "Task by task" : "The accuracy matrix",
      protocol.grid ? "Each task was trained alone, from the untouched model." : "Move the slider, or click a row, to see what was known at each stage.", matrix),
    study.forgetting.length ? section("What forgetting consists of", `Of the items that the base model had right (at most ${Math.max(...study.forgetting.map((each) => each.n))} judged by choice, too), by generation at the end.`, forgettingBars(study, visible)) : null,
    called("items", section("Item by item", "What one model said to one prompt, before and along the training.", items(DATA, study, state.study, protocol, state.sequence, visible))),
    section("Tables", `${protocol.heading}: ${protocol.meaning}. ${protocol.signatures.join("; ")}`, tables.map((table, i) => reportTable(table, visible, state.tables.has(keys[i]), toggled(keys[i])))),
  ].filter(Boolean));
  main.lastElementChild.classList.add("long");
}

// Of the report's tables those that are of this study and protocol, or of none in particular.
function belongs(table, study, protocol) {
  const { of } = table;
  return (!of.experiment || of.experiment === study.experiment) && (!of.model || of.model === study.model) && (!of.apart || of.apart === study.apart) && (!of.protocol || of.protocol === protocol.id);
}

const trainedOn = (sequence) => sequence.tasks.join(" ");

// Show what the address asks for; what it does not name, or names wrongly, is as it is without.
function restore() {
  const wanted = address(), number = DATA.studies.findIndex((each) => each.title === wanted.get("experiment"));
  const study = Math.max(0, number), { protocols, methods } = DATA.studies[study];
  const protocolOf = (id) => protocols.find((each) => each.id === id);
  const protocol = protocolOf(wanted.get("protocol")) ?? protocolOf("generate") ?? protocols[0];
  const sequence = (protocol?.sequences ?? []).findIndex((each) => trainedOn(each) === wanted.get("trained"));
  const hidden = new Set(wanted.getAll("hidden").filter((method) => methods.includes(method)));
  const tables = wanted.has("table") ? new Set(wanted.getAll("table")) : null;
  Object.assign(state, { study, protocol: protocol?.id ?? null, sequence: Math.max(0, sequence), hidden, tables });
  chosenBefore.clear();
  document.getElementById("theme").replaceChildren(theme(wanted.get("theme")));
  controls();
  draw();
}

function theme(wanted) {
  const names = { "": "as the system", light: "light", dark: "dark" };
  const wear = (value) => {
    if (value) document.documentElement.dataset.theme = value;
    else delete document.documentElement.dataset.theme;
  };
  const chosen = Object.hasOwn(names, wanted ?? "") ? wanted ?? "" : "";
  wear(chosen);
  return pick("theme", Object.entries(names), chosen, (value) => { remember({ theme: value }); wear(value); });
}

function foot() {
  return [
    DATA.problems.length ? [h("p", {}, `${DATA.problems.length} records could not be read and are left out:`), h("ul", {}, DATA.problems.map((each) => h("li", {}, each)))] : null,
    h("p", {}, `Made by secura-bench ${DATA.version}${DATA.newest ? ` from records up to ${DATA.newest}` : ""}. Intervals are 95 %, by bootstrap over items and over seeds where there are several; methods are compared on the same items, and p are adjusted for their number where a sentence speaks of several. Characters that cannot be seen, or that turn text around, are shown by their number.`),
  ].flat().filter(Boolean);
}

// What is folded on the screen is open on paper.
addEventListener("beforeprint", () => document.querySelectorAll("details:not([open])").forEach((each) => { each.open = true; each.dataset.folded = ""; }));
addEventListener("afterprint", () => document.querySelectorAll("details[data-folded]").forEach((each) => { each.open = false; delete each.dataset.folded; }));

document.getElementById("foot").append(...foot());
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });  // the address is the view's
addEventListener("hashchange", restore);
if (DATA.studies.length) {
  restore();
  const wanted = address();
  document.querySelector(wanted.has("item") ? "#items" : wanted.has("table") ? "details.table[open]" : ".top").scrollIntoView();
} else {
  document.getElementById("theme").append(theme());
  main.replaceChildren(h("p", { class: "lead" }, "No finished run was found."));
}
