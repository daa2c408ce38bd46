/* The panel with everything about one box, the table of all boxes, and the legend. */

function html(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) key in made ? (made[key] = value) : made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

const section = (title, ...children) => (children.length ? [html("h3", {}, title), ...children] : []);
const list = (items) => html("ul", {}, ...items.map((item) => html("li", {}, ...[item].flat())));

function badge(kind, looks) {
  const look = looks.badge[kind];
  const made = html("span", { className: "badge", title: look.text }, look.label);
  Object.assign(made.style, { background: look.fill, color: look.ink });
  return made;
}

/* `go(id)` leads to another box; `numbers(box)` are lines of what was measured. */
function details(chart, box, looks, go, numbers) {
  const look = looks.box[box.kind], definition = chart.definitions.get(box.about);
  const link = (id) => html("button", { className: "link", type: "button", onclick: () => go(id) }, chart.boxes.get(id).title || id);
  const flow = (arrow, end) => [link(arrow[end]), ` ${looks.arrow[arrow.kind].glyph} ${arrow.label.join(" ")}`];
  const [from, to] = [chart.entering.get(box.id), chart.leaving.get(box.id)];
  const mates = chart.diagram.boxes.filter((other) => other.mate === box.id).map((other) => other.id);
  return [
    html("h2", {}, box.title || box.kind, box.operation ? ` : ${box.operation}` : ""),
    html("p", {}, `${look.glyph} ${look.text}`),
    ...(box.badges.length ? [html("p", {}, ...box.badges.flatMap((kind) => [badge(kind, looks), ` ${looks.badge[kind].text}. `]))] : []),
    ...box.lines.map((line) => html("p", {}, line)),
    ...section("declared at", ...(box.where ? [html("p", {}, box.where)] : [])),
    ...numbers(box),
    ...(definition ? section(`${definition.operation} (${definition.where})`, html("pre", {}, definition.text)) : []),
    ...section("derivative rules taken", ...(box.rules.length ? [list(box.rules)] : [])),
    ...(definition && definition.rules.length && !box.rules.length ? section("registered rules", list(definition.rules)) : []),
    ...section("takes", ...(from.length ? [list(from.map((arrow) => flow(arrow, "tail")))] : [])),
    ...section("gives", ...(to.length ? [list(to.map((arrow) => flow(arrow, "head")))] : [])),
    ...section(box.mate ? "differentiates" : "differentiated by", ...(chart.boxes.has(box.mate) ? [html("p", {}, link(box.mate))] : mates.length ? [list(mates.map(link))] : [])),
    ...section("steps that run", ...(box.detail.length ? [list(box.detail)] : [])),
  ];
}

/* What was measured at a box in one run. */
function measurements(chart, frame, box) {
  if (!frame || !box.steps.length) return [];
  const rows = frame.overlays.map((overlay) => [overlay.title, chart.onBox(overlay, box)?.said]).filter(([, said]) => said);
  const image = [...box.steps].reverse().map((step) => frame.images.get(step)).find(Boolean);
  const marks = frame.marks.filter((mark) => box.steps.includes(mark.step) && mark.text).map((mark) => mark.text);
  const sums = frame.sums.filter((sum) => box.steps.includes(sum.step));
  const script = frame.scripts.find(([name]) => name === (chart.boxes.get(box.mate) || box).title);
  return [
    ...section("noticed", ...marks.map((mark) => html("p", {}, mark))),
    ...section(`measured${frame.label && `, run ${frame.label}`}`, ...(rows.length ? [table(["", ""], rows)] : [])),
    ...(image ? [html("img", { src: `data:image/png;base64,${image.png}`, alt: `field of ${box.title}: ${image.text}` }), html("p", {}, image.text)] : []),
    ...sums.flatMap((sum) => section(`contributions: |sum| ${digits(sum.norm)}, ${digits(sum.ratio)} of the sum of their norms`,
      table(["from", "norm", "cosine"], sum.terms.map(([name, norm, cosine]) => [name, digits(norm), digits(cosine)])))),
    ...(script ? section("alone", html("button", { type: "button", className: "copy", onclick: (event) => copy(script[1], event.target) }, "copy a reproducer")) : []),
  ];
}

const digits = (number) => (number === null ? "–" : String(+number.toPrecision(3)));

const table = (head, rows) => html("table", {},
  ...(head.some(Boolean) ? [html("tr", {}, ...head.map((name) => html("th", { scope: "col" }, name)))] : []),
  ...rows.map((row) => html("tr", {}, ...row.map((cell) => html("td", {}, cell)))));

/* To the clipboard; where a page from a file may not, the text is shown to be copied by hand. */
async function copy(script, button) {
  try {
    await navigator.clipboard.writeText(script);
    button.textContent = "copied";
  } catch {
    button.replaceWith(html("pre", { tabIndex: 0 }, script));
  }
}

function groupDetails(chart, name, open) {
  const boxes = chart.groups.filter((group) => `${group.name} / `.startsWith(`${name} / `)).flatMap((group) => group.boxes);
  return [
    html("h2", {}, name),
    html("p", {}, `a group of ${boxes.length} boxes`),
    html("p", {}, html("button", { type: "button", onclick: open }, "expand")),
    list(boxes.slice(0, 100).map((id) => chart.boxes.get(id).title)),
  ];
}

/* The diagram as a table: all that the picture says, in the order of execution. */
function asTable(chart, looks, columns, go) {
  const names = (arrows, end) => [...new Set(arrows.map((arrow) => chart.boxes.get(arrow[end]).title))].join(", ");
  const head = ["name", "what it is", "operation", "lane", "takes", "gives", "marks", "declared at", ...columns.map((column) => column.title)];
  const row = (box) => html("tr", {},
    html("th", { scope: "row" }, html("button", { className: "link", type: "button", onclick: () => go(box.id) }, box.title || box.kind)),
    ...[looks.box[box.kind].text, [box.operation, ...box.lines].filter(Boolean).join(" "), box.lane,
      names(chart.entering.get(box.id), "tail"), names(chart.leaving.get(box.id), "head"),
      box.badges.map((kind) => looks.badge[kind].label).join(", "), box.where].map((cell) => html("td", {}, cell)),
    ...columns.map((column) => html("td", { className: "number" }, column.of(box))));
  return html("table", {}, html("caption", {}, chart.diagram.header.computes),
    html("thead", {}, html("tr", {}, ...head.map((name) => html("th", { scope: "col" }, name)))),
    html("tbody", {}, ...chart.diagram.boxes.map(row)));
}

function legendOf(chart, looks) {
  return chart.diagram.legend.map(({ table, kind, text: said }) => {
    const look = looks[table][kind];
    const sign = html("span", { className: table === "badge" ? "sign badge" : "sign" }, look.label || look.glyph);
    Object.assign(sign.style, table === "badge" ? { background: look.fill, color: look.ink } : { color: color({ color: look.color || look.line }) });
    return html("li", {}, sign, said);
  });
}
