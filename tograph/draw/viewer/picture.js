/* The picture of one diagram: as Graphviz placed it, or, while something is collapsed or left out, placed here. */

const SVG = "http://www.w3.org/2000/svg";
const LABELLED = 150; // arrows; above it labels are left to the panel

function element(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

class Picture {
  constructor(canvas, looks) {
    this.canvas = canvas;
    this.looks = looks;
    this.svg = element("svg", { role: "group", "aria-label": "diagram" });
    this.svg.append(this.markers());
    this.content = element("g");
    this.svg.append(this.content);
    canvas.replaceChildren(this.svg);
    this.boxes = new Map();
    this.lines = [];
    this.panAndZoom();
  }

  /* Draw a chart. `collapsed`: names of groups; `only`: ids to show, or null for all. */
  show(chart, collapsed, only) {
    this.chart = chart;
    this.boxes.clear();
    this.lines = [];
    this.content.replaceChildren();
    const art = this.art(chart);
    if (art && !only && !chart.groupNames.some((name) => collapsed.has(name))) this.asPlaced(art, chart);
    else this.placedHere(art, chart, collapsed, only);
    this.neighbours = null;
  }

  /* What Graphviz drew, measured once: {root, boxes: id -> element}. */
  art(chart) {
    if (!chart.view.svg) return null;
    if (!chart.art) {
      const parsed = new DOMParser().parseFromString(chart.view.svg, "image/svg+xml");
      const root = document.importNode(parsed.querySelector("g.graph"), true);
      for (const title of root.querySelectorAll("title")) title.remove();
      for (const anchor of root.querySelectorAll("a")) anchor.replaceWith(...anchor.childNodes);
      for (const background of root.querySelectorAll(":scope > polygon")) background.remove();
      const boxes = new Map();
      for (const node of root.querySelectorAll("g.node")) if (chart.boxes.has(node.id)) boxes.set(node.id, node);
      this.content.append(root);
      const sizes = new Map([...boxes].map(([id, node]) => [id, node.getBBox()]));
      root.remove();
      chart.art = { root, boxes, sizes };
    }
    return chart.art;
  }

  asPlaced(art, chart) {
    const root = art.root.cloneNode(true);
    this.content.append(root);
    for (const node of root.querySelectorAll("g.node")) {
      const box = chart.boxes.get(node.id);
      if (box) this.makeBox(node, box.id, nameOf(box), art.sizes.get(box.id));
    }
    for (const part of root.querySelectorAll("[class*='arrow-']"))
      this.lines.push({ arrows: [...part.getAttribute("class").matchAll(/arrow-(\d+)/g)].map(([, index]) => chart.arrows[+index]), part });
    for (const label of root.querySelectorAll("text")) {
      if (!/^@+$/.test(label.textContent)) continue;
      label.dataset.room = "yes";
      label.textContent = "";
    }
  }

  /* Write the numbers of an overlay where room was left for them, and show them as widths and shades. */
  measure(overlay, frame) {
    for (const { arrows, part } of this.lines) {
      const found = arrows.filter((arrow) => arrow.wires.length).map((arrow) => overlay && this.chart.onArrow(overlay, arrow));
      const rooms = [...part.querySelectorAll("[data-room]")];
      rooms.forEach((room, i) => { room.textContent = (rooms.length < found.length ? mostTelling(found) : found[i])?.said ?? ""; });
      const width = overlay && mostTelling(found) ? overlay.strength(mostTelling(found)) : null;
      for (const path of part.querySelectorAll("path")) if (path.getAttribute("fill") === "none") path.style.strokeWidth = width === null ? "" : 0.8 + 4.5 * width;
    }
    for (const [id, node] of this.boxes) {
      const box = this.chart.boxes.get(id);
      if (!box) continue;
      const found = overlay && mostTelling(box.steps.map((step) => overlay.steps.get(step)));
      for (const room of node.querySelectorAll("[data-room]")) room.textContent = found ? found.said : "";
      const shade = found ? overlay.strength(found) : null;
      const shape = node.querySelector("path, polygon, rect, ellipse");
      if (shape) shape.style.fill = shade === null ? "" : `color-mix(in srgb, #e69f00 ${Math.round(100 * shade)}%, white)`;
      const image = frame && [...box.steps].reverse().map((step) => frame.images.get(step)).find(Boolean);
      if (image) node.querySelector("image")?.setAttribute("href", `data:image/png;base64,${image.png}`);
    }
  }

  placedHere(art, chart, collapsed, only) {
    const leaves = this.leaves(art, chart, collapsed, only), shown = new Map(leaves.map((leaf) => [leaf.id, leaf]));
    const at = (id) => shown.get(chart.shown(id, collapsed));
    const bundles = new Map();
    for (const arrow of chart.arrows) {
      const [tail, head] = [at(arrow.tail), at(arrow.head)];
      if (!tail || !head || tail === head || (only && !(only.has(arrow.tail) && only.has(arrow.head)))) continue;
      const key = JSON.stringify([tail.id, head.id, arrow.kind]);
      if (!bundles.has(key)) bundles.set(key, { tail, head, kind: arrow.kind, arrows: [] });
      bundles.get(key).arrows.push(arrow);
    }
    const mates = chart.diagram.boxes.filter((box) => box.mate && at(box.id) && at(box.mate));
    const ends = [...bundles.values()].map((bundle) => ({ tail: bundle.tail.id, head: bundle.head.id }));
    const frames = layOut(leaves, ends, mates.map((box) => [at(box.id).id, at(box.mate).id]));
    for (const frame of frames) this.frame(frame);
    for (const bundle of bundles.values()) this.line(bundle, bundles.size <= LABELLED);
    for (const leaf of leaves) this.leaf(leaf);
  }

  leaves(art, chart, collapsed, only) {
    const found = new Map();
    for (const box of chart.diagram.boxes) {
      if (only && !only.has(box.id)) continue;
      const id = chart.shown(box.id, collapsed), around = chart.around(box.id);
      if (id === box.id) {
        const size = art && art.sizes.get(id);
        const own = size ? { art: art.boxes.get(id), size, w: size.width, h: size.height } : plainSize(box);
        found.set(id, { id, box, lane: box.lane, groups: around, ...own });
      } else if (!found.has(id)) {
        const groups = around.slice(0, around.findIndex((name) => collapsed.has(name)));
        const name = around[groups.length];
        found.set(id, { id, group: name, count: 1, lane: box.lane, groups, w: Math.max(120, 7 * name.length + 24), h: 46 });
      } else found.get(id).count++;
    }
    return [...found.values()];
  }

  leaf(leaf) {
    const at = `translate(${leaf.x} ${leaf.y})`;
    let node, name = leaf.box && nameOf(leaf.box);
    if (leaf.art) {
      node = leaf.art.cloneNode(true);
      node.setAttribute("transform", `translate(${leaf.x - leaf.size.x - leaf.w / 2} ${leaf.y - leaf.size.y - leaf.h / 2})`);
      this.content.append(node);
      return this.makeBox(node, leaf.id, name, leaf.size);
    }
    node = element("g", { transform: at });
    this.content.append(node);
    if (leaf.group) {
      name = `group ${leaf.group}, ${leaf.count} boxes, collapsed`;
      for (const shift of [4, 0])
        node.append(element("rect", { x: -leaf.w / 2 + shift, y: -leaf.h / 2 + shift, width: leaf.w, height: leaf.h, rx: 4, fill: "#efefef", stroke: "#767676" }));
      node.append(text(leaf.group.split(" / ").pop(), 0, -3, 12, "#1a1a1a", "bold"), text(`▸ ${leaf.count} boxes`, 0, 14, 10, "#555"));
    } else plainBox(node, leaf, this.looks);
    this.makeBox(node, leaf.id, name, { x: -leaf.w / 2, y: -leaf.h / 2, width: leaf.w, height: leaf.h }, leaf.group);
  }

  makeBox(node, id, name, size, group = "") {
    node.removeAttribute("id");
    node.classList.add("box");
    node.dataset.id = id;
    if (group) node.dataset.group = group;
    for (const [key, value] of Object.entries({ role: "button", tabindex: this.boxes.size ? -1 : 0, "aria-label": name })) node.setAttribute(key, value);
    node.append(element("rect", { class: "halo", x: size.x - 3, y: size.y - 3, width: size.width + 6, height: size.height + 6, rx: 8 }));
    this.boxes.set(id, node);
  }

  frame({ name, x, y, w, h }) {
    this.content.append(element("rect", { class: "frame", x, y, width: w, height: h, rx: 8 }));
    const label = text(`▾ ${name.split(" / ").pop()}`, x + 10, y + 17, 12, "#767676");
    label.setAttribute("class", "frame-name");
    label.setAttribute("text-anchor", "start");
    label.dataset.close = name;
    this.content.append(label);
  }

  line({ tail, head, kind, arrows }, labelled) {
    const look = this.looks.arrow[kind], part = element("g", { class: "edge" });
    const { path, middle } = curve(tail, head);
    const width = Math.min(look.width + 0.5 * Math.log2(arrows.length), 5);
    part.append(element("path", {
      d: path, fill: "none", stroke: color(look), "stroke-width": width, "marker-end": `url(#end-${kind.replace(" ", "-")})`,
      ...(look.style === "solid" ? {} : { "stroke-dasharray": look.style === "dashed" ? "6 4" : "1.5 4" }),
    }));
    const said = arrows.length > 1 ? `${arrows.length}×` : (arrows[0].label[0] || "");
    if (labelled) {
      const room = halo(text("", middle.x + 5, middle.y + 9, 9.5, look.ink, "bold", "start"));
      room.dataset.room = "yes";
      part.append(room);
    }
    if (labelled && said) part.append(halo(text(said, middle.x + 5, middle.y - 3, 9.5, look.ink, "", "start")));
    this.content.append(part);
    this.lines.push({ arrows, part });
  }

  markers() {
    const made = element("defs");
    for (const [kind, look] of Object.entries(this.looks.arrow)) {
      const marker = element("marker", { id: `end-${kind.replace(" ", "-")}`, viewBox: "0 0 10 10", refX: 9, refY: 5, orient: "auto", markerUnits: "userSpaceOnUse", markerWidth: 10, markerHeight: 10 });
      marker.append(element("path", { ...HEADS[look.head] || HEADS.normal, ...(look.head === "empty" ? { fill: "#fff" } : look.head === "vee" || look.head === "tee" ? { fill: "none" } : { fill: color(look) }), stroke: color(look), "stroke-width": 1.4 }));
      made.append(marker);
    }
    return made;
  }

  /* Marks the chosen box, the hits of a search, and what is off the path; `lit` is null for "all". */
  mark(chosen, hits, lit, collapsed) {
    const ids = lit && new Set([...lit].map((id) => this.chart.shown(id, collapsed)));
    const found = new Set([...hits].map((id) => this.chart.shown(id, collapsed)));
    for (const [id, node] of this.boxes) {
      node.classList.toggle("chosen", id === chosen);
      node.classList.toggle("hit", found.has(id));
      node.classList.toggle("dim", ids !== null && !ids.has(id));
    }
    for (const { arrows, part } of this.lines)
      part.classList.toggle("dim", lit !== null && !arrows.some((arrow) => lit.has(arrow.tail) && lit.has(arrow.head)));
  }

  /* The nearest box in a direction, for the arrow keys. */
  next(id, dx, dy) {
    this.neighbours ??= new Map([...this.boxes].map(([key, node]) => {
      const { left, top, width, height } = node.getBoundingClientRect();
      return [key, [left + width / 2, top + height / 2]];
    }));
    const [x, y] = this.neighbours.get(id);
    let best = null, least = Infinity;
    for (const [other, [ox, oy]] of this.neighbours) {
      const along = (ox - x) * dx + (oy - y) * dy, across = Math.abs((ox - x) * dy) + Math.abs((oy - y) * dx);
      if (other !== id && along > 1 && along + 2 * across < least) [best, least] = [other, along + 2 * across];
    }
    return best;
  }

  fit() {
    const { x, y, width, height } = this.content.getBBox(), pad = 16;
    const { clientWidth, clientHeight } = this.svg;
    // Never smaller than can be read: rather the upper left part, to be moved.
    const scale = Math.min(1.25, Math.max(0.55, Math.min(clientWidth / (width + 2 * pad), clientHeight / (height + 2 * pad))));
    const [w, h] = [clientWidth / scale, clientHeight / scale];
    this.look(x - pad - Math.max(0, (w - width) / 2 - pad), y - pad, w, h);
  }

  whole() {
    const { x, y, width, height } = this.content.getBBox();
    this.look(x - 8, y - 8, width + 16, height + 16);
  }

  look(x, y, w, h) {
    this.view = { x, y, w, h };
    this.size = { w: this.svg.clientWidth, h: this.svg.clientHeight };
    this.svg.setAttribute("viewBox", `${x} ${y} ${w} ${h}`);
    this.neighbours = null;
  }

  zoom(factor, px = this.svg.clientWidth / 2, py = this.svg.clientHeight / 2) {
    const { x, y, w, h } = this.view, fx = px / this.svg.clientWidth, fy = py / this.svg.clientHeight;
    this.look(x + fx * w * (1 - 1 / factor), y + fy * h * (1 - 1 / factor), w / factor, h / factor);
  }

  /* Move the picture so that a box can be seen. */
  reveal(id) {
    const node = this.boxes.get(id);
    if (!node) return;
    const [box, frame] = [node.getBoundingClientRect(), this.svg.getBoundingClientRect()];
    if (box.left >= frame.left && box.right <= frame.right && box.top >= frame.top && box.bottom <= frame.bottom) return;
    const unit = this.view.w / frame.width;
    const dx = box.left + box.width / 2 - frame.left - frame.width / 2, dy = box.top + box.height / 2 - frame.top - frame.height / 2;
    this.look(this.view.x + dx * unit, this.view.y + dy * unit, this.view.w, this.view.h);
  }

  panAndZoom() {
    let from = null;
    // A panel that opens, or another size of the window, cuts off a part: the scale stays.
    new ResizeObserver(() => {
      const { clientWidth, clientHeight } = this.svg, { view, size } = this;
      if (view && size && clientWidth && size.w) this.look(view.x, view.y, view.w * clientWidth / size.w, view.h * clientHeight / size.h);
    }).observe(this.canvas);
    this.svg.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (event.ctrlKey || event.metaKey) this.zoom(Math.exp(-event.deltaY / 300), event.offsetX, event.offsetY);
      else {
        const unit = this.view.w / this.svg.clientWidth;
        this.look(this.view.x + event.deltaX * unit, this.view.y + event.deltaY * unit, this.view.w, this.view.h);
      }
    }, { passive: false });
    this.svg.addEventListener("pointerdown", (event) => { from = { x: event.clientX, y: event.clientY, view: this.view }; });
    this.svg.addEventListener("pointermove", (event) => {
      if (!from || !event.buttons) return;
      const unit = from.view.w / this.svg.clientWidth;
      this.look(from.view.x - (event.clientX - from.x) * unit, from.view.y - (event.clientY - from.y) * unit, from.view.w, from.view.h);
    });
    this.svg.addEventListener("pointerup", () => { from = null; });
  }
}

const HEADS = {
  normal: { d: "M0 1 L9 5 L0 9 Z" },
  empty: { d: "M0 1 L9 5 L0 9 Z" },
  vee: { d: "M0 1 L9 5 L0 9" },
  dot: { d: "M2 5 a3.4 3.4 0 1 0 6.8 0 a3.4 3.4 0 1 0 -6.8 0" },
  tee: { d: "M8 0 L8 10" },
};

const color = (look) => look.color.split(":")[0];

const nameOf = (box) => [box.title, box.operation, box.kind, ...box.lines].filter(Boolean).join(", ");

function text(content, x, y, size, fill, weight = "", anchor = "middle") {
  const made = element("text", { x, y, "font-size": size, fill, "text-anchor": anchor, ...(weight && { "font-weight": weight }) });
  made.textContent = content;
  return made;
}

function halo(label) {
  for (const [key, value] of Object.entries({ "paint-order": "stroke", stroke: "#fff", "stroke-width": 3 })) label.setAttribute(key, value);
  return label;
}

function curve(tail, head) {
  const [dx, dy] = [head.x - tail.x, head.y - tail.y];
  const down = tail.lane === head.lane && Math.abs(dy) > (tail.h + head.h) / 2;
  const side = down ? [0, Math.sign(dy)] : [Math.sign(dx) || 1, 0];
  const a = { x: tail.x + side[0] * tail.w / 2, y: tail.y + side[1] * tail.h / 2 };
  const b = { x: head.x - side[0] * head.w / 2, y: head.y - side[1] * head.h / 2 };
  const bend = down ? Math.abs(b.y - a.y) / 2 : Math.abs(b.x - a.x) / 2;
  const path = `M${a.x} ${a.y} C${a.x + side[0] * bend} ${a.y + side[1] * bend} ${b.x - side[0] * bend} ${b.y - side[1] * bend} ${b.x} ${b.y}`;
  return { path, middle: { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 } };
}

/* A box without Graphviz: its outline says the kind. */
function plainSize(box) {
  const wide = Math.max(4, ...[`${box.title}${box.operation && " : " + box.operation}`, ...box.lines.slice(0, 1)].map((line) => line.length));
  return { w: 6.6 * wide + 24, h: box.lines.length ? 42 : 28 };
}

function plainBox(node, { box, w, h }, looks) {
  const look = looks.box[box.kind], slant = Math.min(14, w / 4);
  const looksLike = { fill: look.fill, stroke: look.line, "stroke-width": look.width, ...(look.style.includes("dotted") && { "stroke-dasharray": "2 3" }) };
  if (look.shape === "hexagon")
    node.append(element("polygon", { points: [[-w / 2, 0], [-w / 2 + slant, -h / 2], [w / 2 - slant, -h / 2], [w / 2, 0], [w / 2 - slant, h / 2], [-w / 2 + slant, h / 2]].join(" "), ...looksLike }));
  else {
    const round = ["design", "parameter", "constant", "gradient", "tangent"].includes(box.kind) ? h / 2 : look.shape === "cds" ? 0 : 7;
    node.append(element("rect", { x: -w / 2, y: -h / 2, width: w, height: h, rx: round, ...looksLike }));
    if (look.outlines > 1) node.append(element("rect", { x: -w / 2 + 3, y: -h / 2 + 3, width: w - 6, height: h - 6, rx: round - 3, ...looksLike, fill: "none" }));
  }
  const title = element("tspan", { "font-weight": "bold" });
  title.textContent = box.title;
  const line = text("", 0, box.lines.length ? -3 : 4, 11.5, look.ink);
  line.append(title, box.operation ? ` : ${box.operation}` : "");
  node.append(line);
  if (box.lines.length) node.append(text(box.lines[0], 0, 13, 9.5, look.ink));
}
