/* The data of the page, and questions about one diagram: neighbours, groups, paths. */

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

class Chart {
  constructor(view) {
    this.view = view;
    this.diagram = view.diagram;
    this.boxes = new Map(this.diagram.boxes.map((box) => [box.id, box]));
    this.arrows = this.diagram.arrows.map((arrow, index) => ({ ...arrow, index }));
    this.leaving = new Map(this.diagram.boxes.map((box) => [box.id, []]));
    this.entering = new Map(this.diagram.boxes.map((box) => [box.id, []]));
    for (const arrow of this.arrows) {
      this.leaving.get(arrow.tail).push(arrow);
      this.entering.get(arrow.head).push(arrow);
    }
    this.definitions = new Map(this.diagram.definitions.map((one) => [one.operation, one]));
    this.groups = this.diagram.clusters.map((one) => ({ ...one, name: one.path.join(" / ") }));
    this.pathOf = new Map();
    for (const group of this.groups) for (const id of group.boxes) this.pathOf.set(id, group.path);
    this.frames = this.diagram.frames.map(unfolded);
    this.groupNames = [...new Set(this.groups.map((group) => group.name))];
  }

  /* The names of the groups around a box, outermost first. */
  around(id) {
    const path = this.pathOf.get(id) || [];
    return path.map((_, depth) => path.slice(0, depth + 1).join(" / "));
  }

  /* What is drawn for a box while some groups are collapsed: the box, or the outermost collapsed group. */
  shown(id, collapsed) {
    const group = this.around(id).find((name) => collapsed.has(name));
    return group === undefined ? id : `${this.boxes.get(id).lane} group ${group}`;
  }

  /* What an overlay says of an arrow, or of a box: what is not finite, else the largest; undefined for nothing. */
  onArrow(overlay, arrow) {
    return mostTelling(arrow.wires.map((wire) => overlay.wires.get(`${wire.tail} ${wire.output}`)));
  }

  onBox(overlay, box) {
    const own = mostTelling(box.steps.map((step) => overlay.steps.get(step)));
    return own || overlay.wires.get(`${Math.max(...box.steps)} 0`);
  }

  reach(starts, next, end) {
    const seen = new Set(starts), stack = [...seen];
    while (stack.length)
      for (const arrow of next.get(stack.pop()))
        if (!seen.has(arrow[end])) { seen.add(arrow[end]); stack.push(arrow[end]); }
    return seen;
  }

  after(starts) { return this.reach(starts, this.leaving, "head"); }
  before(starts) { return this.reach(starts, this.entering, "tail"); }

  /* Boxes at most so many arrows away, mates included. */
  near(id, hops) {
    let ring = [id];
    const seen = new Set(ring);
    for (let i = 0; i < hops; i++) {
      ring = ring.flatMap((at) => [
        ...this.leaving.get(at).map((arrow) => arrow.head),
        ...this.entering.get(at).map((arrow) => arrow.tail),
      ]).filter((at) => !seen.has(at) && seen.add(at));
    }
    return seen;
  }

  ids(...kinds) {
    return this.diagram.boxes.filter((box) => kinds.includes(box.kind)).map((box) => box.id);
  }

  /* All boxes on paths from the design to the results, or from the seeds back to the gradients; through `focus` if given. */
  route(direction, focus) {
    const [starts, ends, lanes] = direction === "there"
      ? [this.ids("design"), this.ids("output"), ["forward"]]
      : [this.seeds(), this.ids("gradient", "tangent"), ["reverse", "tangent"]];
    const inLane = (id) => lanes.includes(this.boxes.get(id).lane);
    let found = intersection(this.after(starts), this.before(ends));
    if (focus !== null && inLane(focus)) found = intersection(found, union(this.after([focus]), this.before([focus])));
    return new Set([...found].filter(inLane));
  }

  seeds() {
    const live = this.ids("seed", "seed removed");
    const derived = this.diagram.boxes.filter((box) => box.lane !== "forward").map((box) => box.id);
    const inner = (id) => this.entering.get(id).every((arrow) => this.boxes.get(arrow.tail).lane === "forward");
    return [...live, ...derived.filter(inner)];
  }
}

/* A run with its overlays as maps, and for each the least and largest number for widths and shades. */
function unfolded(frame) {
  const overlays = frame.overlays.map((one) => {
    const wires = new Map(one.wires.map(([tail, output, number, said]) => [`${tail} ${output}`, { number, said }]));
    const steps = new Map(one.steps.map(([step, number, said]) => [step, { number, said }]));
    const scale = (number) => (one.logarithmic ? Math.log10(Math.abs(number)) : Math.abs(number));
    const sizes = [...wires.values(), ...steps.values()].filter(({ number }) => number !== null).map(({ number }) => scale(number)).filter(Number.isFinite);
    const [low, high] = [Math.min(...sizes), Math.max(...sizes)];
    const strength = ({ number }) => {
      const size = number === null ? NaN : scale(number);
      return Number.isFinite(size) ? (high > low ? (size - low) / (high - low) : 0.5) : null;
    };
    return { ...one, wires, steps, strength };
  });
  return { ...frame, overlays, images: new Map(frame.images.map((image) => [image.step, image])) };
}

function mostTelling(readings) {
  const size = ({ number }) => (number === null ? Infinity : Math.abs(number));
  return readings.filter(Boolean).sort((a, b) => size(b) - size(a))[0];
}

const intersection = (a, b) => new Set([...a].filter((item) => b.has(item)));
const union = (a, b) => new Set([...a, ...b]);
