// The trace viewer: the index is read at once, a problem's details when they are asked for.
const PER_PAGE = 50, TEXT_AT_ONCE = 20000, PROBLEMS_AT_ONCE = 400;

class Viewer {
  constructor(runs) {
    this.runs = runs;
    this.controls = Object.fromEntries(["run", "query", "which", "what", "found", "problems", "problem"].map((id) => [id, document.getElementById(`viewer-${id}`)]));
    this.cache = new Map();
    this.asked = 0;
    this.now = { run: 0, problem: -1, view: 0 };
    document.getElementById("viewer").hidden = false;
    document.getElementById("viewer-runs").hidden = runs.length < 2;
    this.controls.run.append(...runs.map((run, i) => element("option", { value: i }, visible(run.label))));
    this.controls.run.addEventListener("change", () => { this.now.run = Number(this.controls.run.value); this.now.problem = -1; this.list(); });
    this.controls.query.addEventListener("input", () => this.list());
    for (const id of ["which", "what"]) this.controls[id].addEventListener("change", () => this.list());
    addEventListener("hashchange", () => this.follow());
    this.list().then(() => this.follow());
  }

  get index() { return this.runs[this.now.run].problems; }

  details(problem) {
    const id = `trace-${this.now.run}-${problem}`;
    if (!this.cache.has(id)) this.cache.set(id, read(id));
    return this.cache.get(id);
  }

  get pattern() {
    const query = this.controls.query.value;
    return query ? new RegExp(query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "giu") : null;
  }

  ofKind(entry) {
    const which = this.controls.which.value;
    return which === "all" || (which === "split" && entry.split)
      || (which === "never" && entry.n > 0 && entry.right === 0)
      || (which === "always" && entry.n > 0 && entry.right === entry.n)
      || (which === "sometimes" && entry.right > 0 && entry.right < entry.n);
  }

  // Rows of samples are [index, text, answer, class, correct, finish, tokens, cut, scores…].
  sampleFits(set, row, pattern) {
    const what = this.controls.what.value, [, text, answer, kind, correct, finish] = row;
    const majority = set.answers.length ? set.answers[0][3] : null;
    const fits = what === "all" || (what === "right" && correct === true) || (what === "wrong" && correct === false)
      || (what === "ungradable" && correct === null) || (what === "truncated" && finish === "length")
      || (what === "differs" && majority !== null && kind !== majority);
    return fits && (!pattern || has(pattern, text) || has(pattern, answer));
  }

  // Nodes of trees are [parent, text, finish, tokens, score, answer, correct, chosen, cut].
  nodeFits(node, pattern) {
    const what = this.controls.what.value, [, text, finish, , , answer, correct] = node;
    const fits = what === "all" || (what === "right" && correct === true) || (what === "wrong" && correct === false) || (what === "truncated" && finish === "length");
    return fits && (!pattern || has(pattern, text) || has(pattern, answer));
  }

  async list() {
    const asked = ++this.asked, pattern = this.pattern, { problems, found, what } = this.controls;
    const inside = pattern !== null || what.value !== "all";
    const kept = [];
    let nSamples = 0;
    for (let i = 0; i < this.index.length; i++) {
      if (inside && i % 25 === 24) {
        await new Promise((done) => setTimeout(done));
        if (asked !== this.asked) return;
      }
      if (!this.ofKind(this.index[i])) continue;
      let n = null;
      if (inside) {
        const about = this.details(i);
        n = 0;
        for (const set of about.sets) n += set.rows.filter((row) => this.sampleFits(set, row, pattern)).length;
        for (const tree of about.trees) n += tree.nodes.filter((node) => this.nodeFits(node, pattern)).length;
        if (!n && !(pattern && what.value === "all" && (has(pattern, about.question) || has(pattern, this.index[i].id)))) continue;
        nSamples += n;
      }
      kept.push([i, n]);
    }
    found.textContent = `${kept.length.toLocaleString("en")} of ${this.index.length.toLocaleString("en")} problems` + (inside ? `, ${nSamples.toLocaleString("en")} texts` : "");
    this.kept = kept;
    problems.replaceChildren();
    this.more(0);
    if (!kept.some(([i]) => i === this.now.problem)) this.now = { ...this.now, problem: kept.length ? kept[0][0] : -1, view: 0 };
    this.show();
  }

  more(from) {
    const { problems } = this.controls;
    problems.querySelector(".more")?.remove();
    for (const [i, n] of this.kept.slice(from, from + PROBLEMS_AT_ONCE)) {
      const entry = this.index[i];
      const button = element("button", { type: "button", role: "listitem", title: visible(entry.id), onclick: () => this.go(i) },
        element("span", {}, visible(entry.id)), element("span", {}, n === null ? `${entry.right}/${entry.n}` : `${n}`));
      button.dataset.problem = i;
      problems.append(button);
    }
    const next = from + PROBLEMS_AT_ONCE;
    if (next < this.kept.length) problems.append(element("button", { class: "more", type: "button", onclick: () => this.more(next) }, `${this.kept.length - next} more`));
  }

  link(view, sample) {
    const parts = { r: this.now.run || null, p: this.index[this.now.problem].id, v: view || null, s: sample };
    return "#" + Object.entries(parts).filter(([, value]) => value !== null && value !== undefined).map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&");
  }

  go(problem, view = 0) {
    this.now = { ...this.now, problem, view };
    this.show();
    history.replaceState(null, "", this.link(view));
  }

  follow() {
    const parts = new URLSearchParams(location.hash.slice(1));
    if (!parts.has("p")) return;
    const run = Number(parts.get("r") || 0);
    if (run !== this.now.run && this.runs[run]) { this.now.run = run; this.controls.run.value = run; this.list(); }
    const problem = this.index.findIndex((entry) => entry.id === parts.get("p"));
    if (problem < 0) return;
    this.now = { run: this.now.run, problem, view: Number(parts.get("v") || 0), target: parts.get("s") };
    this.show();
    const target = document.querySelector(".sample.target") || document.getElementById("samples");
    target.scrollIntoView({ block: "start" });
  }

  show() {
    const { problem, problems } = this.controls, at = this.now.problem;
    for (const button of problems.children) {
      const current = Number(button.dataset.problem) === at;
      button.setAttribute("aria-current", String(current));
      if (current) keepInView(button, problems);
    }
    problem.replaceChildren();
    if (at < 0) { problem.append(element("p", { class: "note" }, "No problem fits.")); return; }
    const about = this.details(at), entry = this.index[at];
    problem.append(element("h3", {}, "Problem ", visible(entry.id), " ", element("a", { href: this.link(0), title: "A link to this problem" }, "¶")));
    if (about.question !== null) problem.append(this.text(about.question, "text question"));
    if (about.reference !== null) problem.append(element("p", {}, "Reference: ", element("bdi", {}, visible(about.reference))));
    if (about.arms.length) problem.append(this.arms(about.arms));
    const views = [
      ...about.sets.map((set) => [`${set.name || "samples"} (${set.right}/${set.n} right)`, () => this.samples(set)]),
      ...about.trees.map((tree) => [`tree of ${tree.arm}`, () => this.tree(tree)]),
    ];
    if (!views.length) return;
    const view = Math.min(this.now.view, views.length - 1);
    problem.append(element("div", { class: "views", role: "tablist" }, ...views.map(([name], i) =>
      element("button", { type: "button", role: "tab", "aria-selected": String(i === view), onclick: () => this.go(at, i) }, visible(name)))));
    problem.append(...views[view][1]());
  }

  arms(arms) {
    const names = ["strategy", "answer", "", "tokens", ...(arms.some((arm) => arm.flops) ? ["FLOPs"] : []), "note"];
    const rows = arms.map((arm) => element("tr", {}, ...names.map((name) => {
      const cell = {
        strategy: () => visible(arm.arm), answer: () => element("bdi", {}, arm.answer === null ? "–" : visible(arm.answer)),
        "": () => verdict(arm.correct), tokens: () => (arm.n_generated_tokens ?? 0).toLocaleString("en"), FLOPs: () => prefixed(arm.flops),
        note: () => [arm.status === "answered" ? "" : arm.status, arm.tied > 1 ? `${arm.tied} tied` : "", visible(arm.error || "")].filter(Boolean).join("; "),
      }[name]();
      return element("td", { class: name === "tokens" || name === "FLOPs" ? "number" : "" }, cell);
    })));
    const head = element("thead", {}, element("tr", {}, ...names.map((name) => element("th", { class: name === "tokens" || name === "FLOPs" ? "number" : "" }, name))));
    return element("details", { open: arms.length <= 8 ? "" : null }, element("summary", {}, "What the strategies answered"),
      element("div", { class: "scroll" }, element("table", {}, head, element("tbody", {}, ...rows))));
  }

  samples(set) {
    const parts = [], pattern = this.pattern;
    if (set.answers.length) {
      const counts = element("p", { class: "meta" }, "answers: ");
      for (const [answer, n, correct] of set.answers) counts.append(element("span", { class: correct === true ? "right" : "" }, element("bdi", {}, visible(answer ?? "–")), ` (${n}${correct === true ? " ✓" : ""})`));
      parts.push(counts);
    }
    const rows = set.rows.filter((row) => this.sampleFits(set, row, pattern));
    const all = set.rows.length < set.n ? ` of ${set.n} (${set.rows.length} are in this page)` : ` of ${set.n}`;
    parts.push(element("p", { class: "note" }, `${rows.length}${all}`));
    const holder = element("div");
    parts.push(holder);
    const majority = set.answers.length ? set.answers[0][3] : null;
    const target = rows.findIndex((row) => String(row[0]) === this.now.target);
    const page = (from, n) => {
      for (const row of rows.slice(from, from + n)) holder.append(this.sample(set, row, majority));
      if (from + n < rows.length) {
        const more = element("button", { class: "more", type: "button", onclick: () => { more.remove(); page(from + n, PER_PAGE); } }, `${rows.length - from - n} more`);
        holder.append(more);
      }
    };
    page(0, Math.max(PER_PAGE, target + 1));
    return parts;
  }

  sample(set, row, majority) {
    const [index, text, answer, kind, correct, finish, tokens, cut, ...scores] = row;
    const meta = element("div", { class: "meta" },
      element("a", { href: this.link(this.now.view, index), title: "A link to this sample" }, `#${index}`), verdict(correct),
      element("span", {}, "answer ", element("bdi", {}, answer === null ? "–" : visible(answer).slice(0, 200))));
    if (majority !== null && kind !== majority) meta.append(element("span", {}, "not the majority’s"));
    if (finish === "length") meta.append(element("span", { class: "flag" }, "truncated"));
    if (tokens !== null) meta.append(element("span", {}, `${tokens.toLocaleString("en")} tokens`));
    scores.forEach((score, i) => { if (score !== null) meta.append(element("span", {}, `${visible(set.scores[i])} ${score}`)); });
    const state = correct === true ? " right" : correct === false ? " wrong" : "";
    const target = String(index) === this.now.target ? " target" : "";
    return element("div", { class: `sample${state}${target}` }, meta, this.text(text, "text", cut));
  }

  tree(tree) {
    const { nodes } = tree, children = nodes.map(() => []), depth = nodes.map(() => 0), pattern = this.pattern, order = [];
    nodes.forEach(([parent], i) => { if (parent !== null) { children[parent].push(i); depth[i] = depth[parent] + 1; } });
    const walk = nodes.map(([parent], i) => i).filter((i) => nodes[i][0] === null).reverse();
    while (walk.length) { const i = walk.pop(); order.push(i); walk.push(...[...children[i]].reverse()); }
    const narrowed = pattern !== null || this.controls.what.value !== "all";
    const hits = order.filter((i) => !narrowed || this.nodeFits(nodes[i], pattern));
    const nPruned = nodes.filter((node, i) => pruned(node, children[i])).length;
    const holder = element("div");
    const page = (from, n) => {
      for (const i of hits.slice(from, from + n)) holder.append(this.node(nodes[i], i, depth[i], children[i]));
      if (from + n < hits.length) {
        const more = element("button", { class: "more", type: "button", onclick: () => { more.remove(); page(from + n, PER_PAGE); } }, `${hits.length - from - n} more`);
        holder.append(more);
      }
    };
    page(0, Math.max(PER_PAGE, hits.findIndex((i) => String(i) === this.now.target) + 1));
    return [element("p", { class: "note" }, `${hits.length} of ${nodes.length} nodes; ${nPruned} branches were pruned (dashed); the way to the answer is shaded.`), holder];
  }

  node(node, i, depth, children) {
    const [parent, text, finish, tokens, score, answer, correct, chosen, cut] = node;
    const meta = element("div", { class: "meta" }, element("a", { href: this.link(this.now.view, i), title: "A link to this node" }, `#${i}`));
    if (parent === null) meta.append(element("span", {}, "prompt"));
    else meta.append(element("span", {}, `step ${depth}`));
    if (score !== null) meta.append(element("span", {}, `score ${score}`));
    meta.append(element("span", {}, `${tokens.toLocaleString("en")} tokens`));
    if (correct !== null) meta.append(verdict(correct));
    if (answer !== null) meta.append(element("span", {}, "answer ", element("bdi", {}, visible(answer).slice(0, 200))));
    if (finish === "length") meta.append(element("span", { class: "flag" }, "truncated"));
    if (finish === "abort") meta.append(element("span", { class: "flag" }, "cut"));
    if (pruned(node, children)) meta.append(element("span", { class: "flag" }, "pruned"));
    if (chosen) meta.append(element("span", {}, "on the way to the answer"));
    const state = [correct === true ? "right" : correct === false ? "wrong" : "", pruned(node, children) ? "pruned" : "", chosen ? "chosen" : "", String(i) === this.now.target ? "target" : ""].filter(Boolean).join(" ");
    const card = element("div", { class: `sample ${state}` }, meta, this.text(text === null ? null : text.replace(/\n+$/, ""), "text", cut));
    card.style.marginLeft = `min(${depth * 1.1}rem, 45%)`;
    return card;
  }

  text(text, kind, cut = 0) {
    const holder = element("pre", { class: kind, dir: "auto" }), whole = text === null ? "" : text;
    const grow = (from) => {
      const piece = whole.slice(from, from + TEXT_AT_ONCE);
      holder.append(...marked(piece, this.pattern));
      const rest = whole.length - from - piece.length;
      if (rest > 0) {
        const more = element("button", { class: "more", type: "button", onclick: () => { more.remove(); grow(from + TEXT_AT_ONCE); } }, `${rest.toLocaleString("en")} more characters`);
        holder.append(more);
      } else if (cut) holder.append(element("span", { class: "note" }, ` … ${cut.toLocaleString("en")} more characters are not in this page`));
    };
    grow(0);
    return holder;
  }
}

// Scrolls the list alone: the page stays where the reader is.
function keepInView(button, list) {
  const above = button.offsetTop - list.offsetTop, below = above + button.offsetHeight - list.clientHeight;
  if (list.scrollTop > above) list.scrollTop = above;
  else if (list.scrollTop < below) list.scrollTop = below;
}

function pruned(node, children) {
  return node[2] === "step" && children.length === 0;
}

function has(pattern, text) {
  pattern.lastIndex = 0;
  return text !== null && text !== undefined && pattern.test(text);
}

function marked(text, pattern) {
  if (!pattern) return [visible(text)];
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    parts.push(visible(text.slice(end, match.index)), element("mark", {}, visible(match[0])));
    end = match.index + match[0].length;
  }
  parts.push(visible(text.slice(end)));
  return parts;
}

function verdict(correct) {
  return element("span", { class: correct === true ? "right" : correct === false ? "wrong" : "" }, correct === true ? "✓ right" : correct === false ? "✗ wrong" : "? ungradable");
}

function prefixed(amount) {
  if (amount === null || amount === undefined) return "–";
  let place = 0;
  while (amount >= 1000 && place < 7) { amount /= 1000; place++; }
  return Number(amount.toPrecision(4)) + " " + ["", "k", "M", "G", "T", "P", "E", "Z"][place];
}

const runs = read("trace-runs");
if (runs) new Viewer(runs);
