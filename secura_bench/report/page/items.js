// The browser of items: what the base model answered, what the trained ones answered along the sequence.

const opened = new Map();
const chosenBefore = new Map();  // by study and protocol: a filter above must not lose the place

async function open(index) {
  if (!opened.has(index)) {
    const bytes = Uint8Array.from(atob(document.getElementById(`texts-${index}`).textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    opened.set(index, JSON.parse(await new Response(stream).text()));
  }
  return opened.get(index);
}

const HALF = 50;  // a score from here on counts as right; accuracy is 0 or 100
const right = (score) => score !== null && score >= HALF;
const FATES = {
  all: ["all items", () => true],
  forgotten: ["forgotten: right at first, wrong at the end", (first, end) => right(first) && !right(end)],
  kept: ["kept: right at first and at the end", (first, end) => right(first) && right(end)],
  gained: ["gained: wrong at first, right at the end", (first, end) => !right(first) && right(end)],
  never: ["never: wrong at first and at the end", (first, end) => !right(first) && !right(end)],
};

// An arm's answer at each moment, the changes spelled out.
function answersOf(arm, item) {
  const changes = arm.answers[item];
  const found = [];
  let next = 0, current = null;
  for (let moment = 0; moment < arm.moments.length; moment++) {
    if (next < changes.length && changes[next][0] === moment) current = changes[next++];
    found.push(current && { prediction: current[1], extracted: current[2], score: current[3] });
  }
  return found;
}

function square(score, name, extra = "") {
  return h("i", { class: [score === null || score === undefined ? "blank" : "", extra].filter(Boolean).join(" ") || null, "--share": `${score ?? 0}%`, title: plain(`${name}: ${score === null || score === undefined ? "not scored" : number(score, 0)}`) });
}

function strip(data, arm, item) {
  const base = data.items[item][3];
  return h("span", { class: "strip", "aria-hidden": "true" }, base && square(base[2], "base", "base"),
    arm && answersOf(arm, item).map((answer, i) => square(answer?.score, arm.moments[i])));
}

function text(data, i, tag = "div") {
  const value = i < 0 ? null : data.strings[i];
  if (value === null || value === undefined) return h(tag, { class: "text unsure" }, "none");
  const [words, left] = typeof value === "string" ? [value, 0] : value;
  return h(tag, { class: "text", dir: "auto" }, words === "" ? h("span", { class: "more" }, "(empty)") : words,
    left ? h("span", { class: "more" }, ` … and ${left.toLocaleString("en")} more characters`) : null);
}

const bare = (data, i) => (i < 0 ? "" : typeof data.strings[i] === "string" ? data.strings[i] : data.strings[i][0]);

// Links to the experiments that have texts.
function elsewhere(all) {
  const having = [...new Set(all.texts.map((about) => about.study))];
  return having.length ? [" There are texts of ", having.map((study, i) => [i ? ", " : "", h("a", { href: `#${new URLSearchParams({ experiment: all.studies[study].title })}` }, all.studies[study].title)]), "."] : null;
}

// Where the address leads among these files, the first of them if it says nothing.
function asked(files) {
  const wanted = address();
  const [, file] = files.find(([about]) => about.task === wanted.get("items")) ?? files[0];
  return { file, fate: Object.hasOwn(FATES, wanted.get("show") ?? "") ? wanted.get("show") : "all", words: "", method: wanted.get("of"), item: null, wanted: wanted.get("item") };
}

function items(all, study, studyNumber, protocol, sequenceIndex, visible) {
  const files = all.texts.map((about, i) => [about, i]).filter(([about]) => about.study === studyNumber && about.protocol === protocol.id);
  if (!files.length) return h("p", { class: "about" }, "The runs kept no texts under this protocol.", elsewhere(all));
  const place = h("div"), says = h("p", { class: "about", "aria-live": "polite" });
  const remembered = `${studyNumber}/${protocol.id}`;
  const state = chosenBefore.get(remembered) ?? asked(files);
  chosenBefore.set(remembered, state);
  const chose = () => remember({ items: all.texts[state.file].task, show: state.fate === "all" ? null : state.fate, of: state.method, item: state.wanted });
  const search = h("input", { value: state.words, type: "search", placeholder: "find in prompts …", "aria-label": "Find in prompts and ids", oninput: () => { state.words = search.value.toLowerCase(); draw(); } });
  const methods = h("span");
  const bar = h("div", { class: "filters" },
    pick("items of", files.map(([about, i]) => [String(i), `${about.task} (${about.role === "part" ? "probe" : "new task"})`]), String(state.file), (value) => { state.file = Number(value); state.item = state.wanted = null; draw(); chose(); }),
    methods,
    pick("show", Object.entries(FATES).map(([name, [words]]) => [name, words]), state.fate, (value) => { state.fate = value; draw(); chose(); }),
    search);

  async function draw() {
    const data = await open(state.file);
    const about = all.texts[state.file];
    const arms = data.arms.filter((arm) => arm.sequence === sequenceIndex && visible(arm.method));
    if (!arms.some((arm) => arm.method === state.method)) state.method = arms[0]?.method ?? null;
    methods.replaceChildren(pick("method", arms.map((arm) => [arm.method, arm.method]), state.method, (value) => { state.method = value; draw(); chose(); }));
    const arm = arms.find((each) => each.method === state.method);
    const chosen = data.items.map((_, i) => i).filter((i) => {
      if (state.words && !`${data.items[i][0]} ${bare(data, data.items[i][1])}`.toLowerCase().includes(state.words)) return false;
      if (state.fate === "all") return true;
      const answers = arm ? answersOf(arm, i).filter(Boolean) : [];
      const first = data.items[i][3]?.[2] ?? null;
      return answers.length > 0 && FATES[state.fate][1](first, answers.at(-1).score);
    });
    if (state.wanted !== null) state.item = data.items.findIndex(([id]) => id === state.wanted);
    if (!chosen.includes(state.item)) state.item = chosen[0] ?? null;
    const sample = about.shown < about.of ? ` The page holds ${about.shown} of ${about.of} items, drawn by a hash of their ids, to stay small.` : "";
    says.replaceChildren(shown(`${chosen.length} of ${about.shown} items.${sample}${arm ? ` Answers of seed ${arm.seed}.` : ""} Circle: the base model; squares: ${arm ? "each time it was scored" : ""}; full: ${protocol.metric} 100.`));
    const detail = h("div", { class: "detail" });
    const buttons = chosen.map((i) => h("button", {
      class: "item", type: "button", "aria-current": String(i === state.item), tabindex: i === state.item ? 0 : -1,
      onclick: (event) => { state.wanted = data.items[i][0]; select(event.currentTarget, i); chose(); },
      onkeydown: (event) => {
        const to = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        const next = to && buttons[chosen.indexOf(i) + to];
        if (next) { event.preventDefault(); next.focus(); next.click(); }
      },
    }, h("span", { class: "start" }, bare(data, data.items[i][1]).slice(0, 160) || data.items[i][0]), strip(data, arm, i)));

    function select(button, i) {
      state.item = i;
      for (const each of buttons) {
        each.setAttribute("aria-current", String(each === button));
        each.tabIndex = each === button ? 0 : -1;
      }
      detail.replaceChildren(...itemDetail(study, data, arms, arm, i, (method) => { state.method = method; draw(); chose(); }));
    }

    const list = h("div", { class: "list", role: "group", "aria-label": "Items" }, buttons.length ? buttons : h("p", { class: "item" }, "No item is like that."));
    place.replaceChildren(h("div", { class: "items" }, list, detail));
    if (state.item !== null) select(buttons[chosen.indexOf(state.item)], state.item);
  }

  draw();
  return [bar, says, place];
}

function itemDetail(study, data, arms, arm, i, choose) {
  const [id, prompt, reference, base] = data.items[i];
  const steps = [];
  if (base) steps.push({ from: "base model", to: "base model", answer: { prediction: base[0], extracted: base[1], score: base[2] } });
  if (arm) {
    answersOf(arm, i).forEach((answer, k) => {
      const before = steps.at(-1);
      if (!answer) return;
      if (before && before.arm && before.answer.prediction === answer.prediction && before.answer.score === answer.score) before.to = arm.moments[k];
      else steps.push({ from: arm.moments[k], to: arm.moments[k], answer, arm: true });
    });
  }
  return [
    h("h3", {}, "Prompt"), text(data, prompt, "blockquote"),
    h("h3", {}, "Reference"), text(data, reference, "blockquote"),
    h("h3", {}, "Answers", arm ? ` of ${arm.method}` : ""),
    h("ol", { class: "answers" }, steps.map((step) => h("li", { "--share": `${step.answer.score ?? 0}%` },
      h("p", { class: "when" }, h("b", {}, step.from === step.to ? step.from : `${step.from} – ${step.to}`), step.answer.score === null ? "" : ` · ${right(step.answer.score) ? "right" : "wrong"} (${number(step.answer.score, 0)})`,
        step.answer.extracted >= 0 && bare(data, step.answer.extracted) !== bare(data, step.answer.prediction) ? [" · read as ", h("code", { class: "text", dir: "auto" }, bare(data, step.answer.extracted).slice(0, 80))] : null),
      text(data, step.answer.prediction)))),
    arms.length > 1 ? [h("h3", {}, "All methods on this item"), h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "All methods on this item" },
      h("table", { class: "compare" }, h("tbody", {}, arms.map((each) => h("tr", {}, h("td", {}, h("button", { type: "button", "aria-pressed": String(each === arm), onclick: () => choose(each.method) }, each.method)), h("td", {}, strip(data, each, i)))))))] : null,
    h("p", { class: "notes" }, `id ${id}`),
  ].flat().filter(Boolean);
}
