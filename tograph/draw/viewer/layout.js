/* Places for boxes when Graphviz has not placed them: ranks downwards, lanes side by side, groups in frames.
   Reverse arrows point up, as in the pictures of Graphviz. Long rows of ranks are broken into columns. */

const GAP = { x: 26, y: 34, lane: 90, frame: 14, title: 20 };
const RANKS_IN_A_COLUMN = 24;

/* `leaves`: {id, lane, groups, w, h}; `arrows`: {tail, head}; `mates`: pairs [box, its forward box].
   Sets x and y (centres) of the leaves and returns the frames around open groups. */
function layOut(leaves, arrows, mates) {
  const root = { id: "", children: [] }, containers = new Map(), byId = new Map();
  const inside = (lane, groups) => groups.reduce((parent, name) => {
    const key = `${lane} ${name}`;
    if (!containers.has(key)) {
      const made = { id: key, name, lane, children: [], parent };
      containers.set(key, made);
      parent.children.push(made);
    }
    return containers.get(key);
  }, root);
  for (const leaf of leaves) {
    leaf.parent = inside(leaf.lane, leaf.groups);
    leaf.parent.children.push(leaf);
    byId.set(leaf.id, leaf);
  }
  const links = new Map([[root, []], ...[...containers.values()].map((one) => [one, []])]);
  for (const arrow of arrows) {
    const [a, b] = [byId.get(arrow.tail), byId.get(arrow.head)];
    if (a.lane === b.lane) lift(links, ...(a.lane === "reverse" ? [b, a] : [a, b]), 1);
  }
  for (const [derived, forward] of mates) lift(links, byId.get(forward), byId.get(derived), 0);
  placeInside(root, links);
  const frames = [];
  settle(root, 0, 0, frames);
  return frames;
}

function chain(item) {
  const found = [];
  for (let at = item; at; at = at.parent) found.unshift(at);
  return found;
}

/* Note a link between the two children, of the innermost common container, that hold its ends. */
function lift(links, a, b, length) {
  if (!a || !b) return;
  const [x, y] = [chain(a), chain(b)];
  let depth = 0;
  while (x[depth + 1] && x[depth + 1] === y[depth + 1]) depth++;
  if (x[depth + 1] && y[depth + 1]) links.get(x[depth]).push({ from: x[depth + 1], to: y[depth + 1], length });
}

function placeInside(container, links) {
  for (const child of container.children) if (child.children) placeInside(child, links);
  const rows = rank(container.children, links.get(container));
  order(rows, links.get(container));
  coordinates(container, rows, links.get(container));
}

/* Longest paths; links that close a circle are passed over. */
function rank(items, links) {
  const out = new Map(items.map((item) => [item, []])), count = new Map(items.map((item) => [item, 0]));
  for (const link of acyclic(items, links)) { out.get(link.from).push(link); count.set(link.to, count.get(link.to) + 1); }
  const sources = items.filter((item) => !count.get(item)), queue = [...sources];
  for (const item of items) item.rank = 0;
  for (let i = 0; i < queue.length; i++)
    for (const { to, length } of out.get(queue[i])) {
      to.rank = Math.max(to.rank, queue[i].rank + length);
      count.set(to, count.get(to) - 1);
      if (!count.get(to)) queue.push(to);
    }
  for (const item of sources) {
    const next = out.get(item).map((link) => link.to.rank - link.length);
    if (next.length) item.rank = Math.max(0, Math.min(...next));
  }
  const rows = [];
  for (const item of items) (rows[item.rank] ??= []).push(item);
  return Array.from(rows, (row) => row || []);
}

function acyclic(items, links) {
  const out = new Map(items.map((item) => [item, []])), state = new Map(), kept = [];
  for (const link of links) if (link.from !== link.to) out.get(link.from).push(link);
  for (const start of items) {
    if (state.has(start)) continue;
    const stack = [[start, 0]];
    state.set(start, "open");
    while (stack.length) {
      const top = stack[stack.length - 1], link = out.get(top[0])[top[1]++];
      if (!link) { state.set(top[0], "done"); stack.pop(); continue; }
      if (state.get(link.to) === "open") continue;
      kept.push(link);
      if (!state.has(link.to)) { state.set(link.to, "open"); stack.push([link.to, 0]); }
    }
  }
  return kept;
}

/* Fewer crossings: each row sorted by the mean place of the neighbours. */
function order(rows, links) {
  const near = new Map();
  for (const { from, to } of links) {
    if (!near.has(from)) near.set(from, []);
    if (!near.has(to)) near.set(to, []);
    near.get(from).push(to);
    near.get(to).push(from);
  }
  const number = (row) => row.forEach((item, i) => { item.slot = (i + 0.5) / row.length; });
  rows.forEach(number);
  for (let sweep = 0; sweep < 4; sweep++)
    for (const row of sweep % 2 ? [...rows].reverse() : rows) {
      if (row.length < 2) continue;
      const wish = (item) => {
        const others = (near.get(item) || []).filter((other) => other.lane === item.lane);
        return others.length ? others.reduce((sum, other) => sum + other.slot, 0) / others.length : item.slot;
      };
      const wishes = new Map(row.map((item) => [item, wish(item)]));
      row.sort((a, b) => wishes.get(a) - wishes.get(b));
      number(row);
    }
}

/* x and y from the container's upper left corner. Each column of ranks has one strip per lane. */
function coordinates(container, rows, links) {
  const lanes = [...new Set(container.children.map((child) => child.lane))];
  let left = 0, height = 0;
  for (let first = 0; first < rows.length; first += RANKS_IN_A_COLUMN) {
    const part = rows.slice(first, first + RANKS_IN_A_COLUMN);
    let top = 0;
    for (const row of part) {
      const high = Math.max(0, ...row.map((item) => item.h));
      for (const item of row) item.y = top + high / 2;
      top += high + GAP.y;
    }
    for (const lane of lanes) left = strip(part.map((row) => row.filter((item) => item.lane === lane)), links, left) + GAP.lane;
    height = Math.max(height, top - GAP.y);
  }
  const padded = container.parent ? GAP.frame : 0;
  container.w = Math.max(0, left - GAP.lane) + 2 * padded;
  container.h = Math.max(0, height) + 2 * padded + (padded ? GAP.title : 0);
}

/* Rows of one lane: each item below the mean of what leads to it, where there is room. Returns the right end. */
function strip(rows, links, left) {
  const into = new Map();
  for (const { from, to } of links) if (from.lane === to.lane) into.set(to, [...(into.get(to) || []), from]);
  let min = Infinity, max = -Infinity;
  const placed = new Set();
  for (const row of rows) {
    const wish = row.map((item) => mean((into.get(item) || []).filter((one) => placed.has(one)).map((one) => one.x)));
    let end = -Infinity;
    row.forEach((item, i) => {
      item.x = Math.max(wish[i] ?? 0, end + item.w / 2);
      end = item.x + item.w / 2 + GAP.x;
    });
    const shift = mean(row.map((item, i) => (wish[i] ?? 0) - item.x)) || 0;
    for (const item of row) {
      item.x += shift;
      placed.add(item);
      min = Math.min(min, item.x - item.w / 2);
      max = Math.max(max, item.x + item.w / 2);
    }
  }
  if (!placed.size) return left - GAP.lane;
  for (const item of placed) item.x += left - min;
  return left + max - min;
}

const mean = (numbers) => (numbers.length ? numbers.reduce((a, b) => a + b, 0) / numbers.length : undefined);

function settle(container, left, top, frames) {
  const [dx, dy] = container.parent ? [left + GAP.frame, top + GAP.frame + GAP.title] : [left, top];
  for (const child of container.children) {
    child.x += dx;
    child.y += dy;
    if (!child.children) continue;
    frames.push({ name: child.name, x: child.x - child.w / 2, y: child.y - child.h / 2, w: child.w, h: child.h });
    settle(child, child.x - child.w / 2, child.y - child.h / 2, frames);
  }
}
