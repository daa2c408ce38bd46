/* The page: what is chosen, and the controls. */

async function main() {
  const page = await unpack(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const charts = page.views.map((view) => new Chart(view));
  const tabs = [...new Set(page.views.map((view) => view.tab))];
  const picture = new Picture($("canvas"), page.looks);
  const state = { chart: null, tab: "", stage: 0, overlay: "", frame: 0, focus: null, query: "", route: "", hops: 0, table: false };
  const collapsed = new Map(); // tab -> names of groups

  const inTab = (tab) => charts.filter((chart) => chart.view.tab === tab);
  const closed = () => collapsed.get(state.tab);

  function openTab(tab) {
    state.tab = tab;
    if (!collapsed.has(tab)) collapsed.set(tab, new Set(inTab(tab)[0].view.collapsed));
    const stages = inTab(tab);
    state.stage = Math.min(state.stage, stages.length - 1);
    $("stage-tool").hidden = stages.length < 2;
    $("stage").max = stages.length - 1;
    for (const button of $("tabs").children) {
      button.setAttribute("aria-selected", button.dataset.tab === tab);
      button.tabIndex = button.dataset.tab === tab ? 0 : -1;
    }
    openStage(state.stage);
  }

  function openStage(stage) {
    state.stage = stage;
    state.chart = inTab(state.tab)[stage];
    $("stage").value = stage;
    const { header } = state.chart.diagram, { label } = state.chart.view;
    $("stage-text").textContent = `${stage}: ${label}`;
    $("title").replaceChildren(header.graph, " ", html("span", { className: "what" }, header.computes));
    $("facts").textContent = [header.backend, header.dtype, `graph ${header.hash}`, ...header.facts].filter(Boolean).join("   ·   ");
    document.title = `${header.graph}: ${state.tab}`;
    $("fold-tool").hidden = !state.chart.groupNames.length;
    const lanes = new Set(state.chart.diagram.boxes.map((box) => box.lane));
    $("back").disabled = lanes.size < 2;
    $("legend").querySelector("ul").replaceChildren(...legendOf(state.chart, page.looks));
    if (state.focus !== null && !state.chart.boxes.has(state.focus)) choose(null, false);
    offerNumbers();
    draw(true);
  }

  function offerNumbers() {
    const { frames } = state.chart;
    $("overlay-tool").hidden = !frames.length;
    $("frame-tool").hidden = frames.length < 2;
    state.frame = Math.min(state.frame, Math.max(0, frames.length - 1));
    if (!frames.length) return;
    $("frame").max = frames.length - 1;
    const overlays = frames[state.frame].overlays;
    if (!overlays.some((one) => one.name === state.overlay)) state.overlay = "";
    $("overlay").replaceChildren(html("option", { value: "" }, "none"), ...overlays.map((one) => html("option", { value: one.name, title: one.title }, one.name)));
    $("overlay").value = state.overlay;
  }

  const frame = () => state.chart.frames[state.frame];
  const overlay = () => frame()?.overlays.find((one) => one.name === state.overlay);

  /* Another overlay or another run: the same picture with other numbers. */
  function measure() {
    picture.measure(overlay(), frame());
    $("frame").value = state.frame;
    $("frame-text").textContent = frame()?.label ?? "";
    if (state.table) fillTable();
    if (state.focus !== null) choose(state.focus, false);
  }

  function fillTable() {
    const shown = overlay();
    const columns = shown ? [{ title: shown.title, of: (box) => state.chart.onBox(shown, box)?.said ?? "" }] : [];
    $("table").replaceChildren(asTable(state.chart, page.looks, columns, (id) => choose(id)));
  }

  /* Draw anew, because something else is visible; `fit` to the window. */
  function draw(fit = false) {
    const only = state.focus !== null && state.hops ? state.chart.near(state.focus, state.hops) : null;
    picture.show(state.chart, closed(), only);
    if (state.chart.frames.length) picture.measure(overlay(), frame());
    if (fit || only) picture.fit();
    mark();
    $("table").hidden = !state.table;
    $("canvas").hidden = state.table;
    $("as-table").setAttribute("aria-pressed", state.table);
    if (state.table) fillTable();
  }

  function mark() {
    const focus = state.focus !== null && state.chart.boxes.has(state.focus) ? state.focus : null;
    const lit = state.route ? state.chart.route(state.route, focus) : null;
    picture.mark(focus === null ? state.focus : state.chart.shown(focus, closed()), hits(), lit, closed());
    for (const name of ["there", "back"]) $(name).setAttribute("aria-pressed", state.route === name);
  }

  function hits() {
    const query = state.query.trim().toLowerCase();
    if (!query) return new Set();
    const says = (box) => [box.title, box.operation, box.where, box.about, ...box.lines].join(" ").toLowerCase();
    return new Set(state.chart.diagram.boxes.filter((box) => says(box).includes(query)).map((box) => box.id));
  }

  /* A box, or a collapsed group, becomes the chosen one; null for none. */
  function choose(id, focus = true) {
    state.focus = id;
    $("panel").hidden = id === null;
    if (id === null) { if (state.hops) draw(true); else mark(); return; }
    const group = picture.boxes.get(id)?.dataset.group;
    if (state.chart.boxes.has(id)) {
      for (const name of state.chart.around(id)) if (closed().has(name)) { closed().delete(name); draw(); }
      if (state.hops) draw();
    }
    const close = html("button", { className: "close", type: "button", "aria-label": "close", onclick: () => choose(null) }, "×");
    const about = group ? groupDetails(state.chart, group, () => toggle(group))
      : details(state.chart, state.chart.boxes.get(id), page.looks, choose, (box) => measurements(state.chart, frame(), box));
    $("panel").replaceChildren(close, ...about);
    mark();
    picture.reveal(id);
    if (focus) { rove(id); picture.boxes.get(id)?.focus({ preventScroll: true }); }
  }

  function rove(id) {
    for (const [other, node] of picture.boxes) node.setAttribute("tabindex", other === id ? 0 : -1);
  }

  function toggle(group) {
    if (!closed().delete(group)) closed().add(group);
    if (picture.boxes.get(state.focus)?.dataset.group === group) choose(null, false);
    draw(true);
  }

  function find(step) {
    const found = [...hits()];
    $("found").textContent = state.query ? `${found.length} found` : "";
    if (step && found.length) choose(found[(found.indexOf(state.focus) + step + found.length) % found.length], false);
    else mark();
  }

  const actions = {
    there: () => { state.route = state.route === "there" ? "" : "there"; mark(); },
    back: () => { state.route = state.route === "back" ? "" : "back"; mark(); },
    fold: () => { collapsed.set(state.tab, new Set(state.chart.groupNames)); draw(true); },
    unfold: () => { collapsed.set(state.tab, new Set()); draw(true); },
    smaller: () => picture.zoom(1 / 1.25),
    larger: () => picture.zoom(1.25),
    fit: () => picture.fit(),
    "as-table": () => { state.table = !state.table; draw(true); },
  };
  for (const [id, act] of Object.entries(actions)) $(id).addEventListener("click", act);
  $("search").addEventListener("input", (event) => { state.query = event.target.value; find(0); });
  $("search").addEventListener("keydown", (event) => { if (event.key === "Enter") find(event.shiftKey ? -1 : 1); });
  $("hops").addEventListener("change", (event) => { state.hops = +event.target.value; draw(true); });
  $("stage").addEventListener("input", (event) => openStage(+event.target.value));

  $("overlay").addEventListener("change", (event) => { state.overlay = event.target.value; measure(); });
  $("frame").addEventListener("input", (event) => { state.frame = +event.target.value; measure(); });

  picture.svg.addEventListener("click", (event) => {
    const close = event.target.closest("[data-close]");
    const node = event.target.closest(".box");
    if (close) toggle(close.dataset.close);
    else if (node) choose(node.dataset.id);
  });
  picture.svg.addEventListener("dblclick", (event) => {
    const node = event.target.closest(".box");
    if (node?.dataset.group) toggle(node.dataset.group);
  });
  picture.svg.addEventListener("keydown", (event) => {
    const node = event.target.closest(".box");
    const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    if (!node) return;
    if (step) {
      const next = picture.next(node.dataset.id, ...step);
      if (next !== null) { rove(next); picture.boxes.get(next).focus({ preventScroll: true }); picture.reveal(next); }
    } else if (event.key === "Enter" || event.key === " ") node.dataset.group ? toggle(node.dataset.group) : choose(node.dataset.id);
    else return;
    event.preventDefault();
  });

  const keys = { "/": () => $("search").focus(), f: actions.fit, t: actions["as-table"], "+": actions.larger, "-": actions.smaller };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { state.query = $("search").value = ""; state.route = ""; find(0); choose(null); event.target.blur?.(); }
    if (event.target.matches("input, select") || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  $("tabs").replaceChildren(...tabs.map((tab) => html("button", { type: "button", role: "tab", onclick: () => openTab(tab), "data-tab": tab }, tab)));
  $("tabs").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    openTab(tabs[(tabs.indexOf(state.tab) + step + tabs.length) % tabs.length]);
    $("tabs").querySelector("[aria-selected=true]").focus();
  });
  addEventListener("beforeprint", () => picture.whole());
  addEventListener("afterprint", () => picture.fit());
  openTab(tabs.includes(page.first) ? page.first : tabs[0]);
  document.documentElement.dataset.ready = "yes";
}

main();
