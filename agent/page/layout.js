// Where the nodes of the flow picture are: three fixed columns, bounded, with places that stay from one answer to the next.

// Nodes drawn in a column, and edges in all; the others are sums, and said to be.
export const COLUMN_BOUND = 60;
export const EDGE_BOUND = 400;

const REST = { _other: 'other workloads (sum)', _former: 'former workloads (sum)', unknown: 'unknown' };
const FOLDED = 'folded';

const weight = (edge) => edge.open_connections + (edge.opened_per_second ?? 0) + Math.min(edge.opened_total, 1e6) / 1e7;

// The three columns and the edges between them, of an answer of /api/v1/paths. `keep` is an object that the caller keeps: it has the
// places of before.
export function picture(answer, keep, matches = () => true) {
  const named = new Map(answer.nodes.map((node) => [node.id, node]));
  const columns = { from: new Map(), point: new Map(), to: new Map() };
  for (const node of answer.nodes) {
    if (node.type === 'point' && matches(node.name)) add(columns.point, `point:${node.id}`, node, 0);
  }
  const wanted = answer.edges.filter(({ from, to }) => matches(label(named.get(from))) || matches(label(named.get(to))));
  const ends = wanted.map((edge) => {
    const [from, to] = [named.get(edge.from), named.get(edge.to)];
    const comesIn = to.type === 'point' && from.type !== 'point';
    const [point, other, side] = comesIn ? [to, from, 'from'] : [from, to, 'to'];
    const size = weight(edge);
    const pointKey = add(columns.point, `point:${point.id}`, point, size);
    const otherKey = add(columns[side], keyOf(side, other), other, size);
    return { edge, side, point: pointKey, other: otherKey };
  });
  const places = {};
  for (const [name, nodes] of Object.entries(columns)) places[name] = placed(nodes, (keep[name] ??= []), name);
  const edges = summed(ends, places);
  const byWeight = (one, other) => weight(other) - weight(one) || (one.key < other.key ? -1 : 1);
  edges.sort(byWeight);
  // Neither side may take all the room from the other.
  const comesIn = (edge) => edge.to.startsWith('point:');
  const sides = [edges.filter(comesIn), edges.filter((edge) => !comesIn(edge))];
  const chosen = sides.flatMap((side) => side.slice(0, EDGE_BOUND / 2));
  const others = sides.flatMap((side) => side.slice(EDGE_BOUND / 2)).sort(byWeight);
  return {
    columns: Object.fromEntries(Object.entries(places).map(([name, { shown }]) => [name, shown])),
    edges: chosen.concat(others.slice(0, EDGE_BOUND - chosen.length)),
    undrawn: Math.max(0, edges.length - EDGE_BOUND),
  };
}

// Sums of several points are one node: `_other` of one point is not that of another, but all are "other workloads".
function keyOf(side, node) {
  return node.type === 'rest' ? `${side}:rest:${node.name}` : `${side}:${node.id}`;
}

export function label(node) {
  if (!node) return '';
  if (node.type === 'rest') return REST[node.name] ?? node.name;
  if (node.type === 'namespace') return node.name || '(no namespace)';
  return node.type === 'workload' && node.namespace ? `${node.namespace}/${node.name}` : node.name;
}

function add(column, key, node, size) {
  const there = column.get(key);
  if (there) there.size += size;
  else column.set(key, { key, node, label: label(node), size });
  return key;
}

// team-2 comes before team-10.
const { compare: byName } = new Intl.Collator('en', { numeric: true });

// Which nodes of a column are shown, and in which order: those of before stay where they are, new ones come in by their name.
function placed(nodes, kept, name) {
  const before = new Set(kept);
  const chosen = [...nodes.values()]
    .sort((one, other) => before.has(other.key) - before.has(one.key) || other.size - one.size || byName(one.label, other.label))
    .slice(0, nodes.size > COLUMN_BOUND ? COLUMN_BOUND - 1 : COLUMN_BOUND);
  const keys = new Set(chosen.map(({ key }) => key));
  const order = kept.filter((key) => keys.has(key));
  const isRest = (key) => nodes.get(key).node.type === 'rest';
  const after = (one, other) => isRest(one) - isRest(other) || byName(nodes.get(one).label, nodes.get(other).label);
  for (const { key } of chosen.filter(({ key }) => !before.has(key)).sort((one, other) => after(one.key, other.key))) {
    const place = order.findIndex((other) => after(key, other) < 0);
    order.splice(place === -1 ? order.length : place, 0, key);
  }
  kept.splice(0, kept.length, ...order);
  const shown = order.map((key) => nodes.get(key));
  const folded = nodes.size - shown.length;
  const fold = `${name}:${FOLDED}`;
  if (folded > 0) shown.push({ key: fold, node: { type: 'rest' }, label: `${folded} more (as a sum)`, size: 0 });
  return { shown, of: (key) => (keys.has(key) ? key : fold) };
}

// Edges between the same two drawn nodes are one.
function summed(ends, places) {
  const sums = new Map();
  for (const { edge, side, point, other } of ends) {
    const pointKey = places.point.of(point);
    const otherKey = places[side].of(other);
    const key = side === 'from' ? `${otherKey} ${pointKey}` : `${pointKey} ${otherKey}`;
    const sum = sums.get(key);
    if (!sum) {
      const [from, to] = side === 'from' ? [otherKey, pointKey] : [pointKey, otherKey];
      sums.set(key, { ...edge, key, from, to, parts: 1 });
      continue;
    }
    sum.parts += 1;
    sum.active ||= edge.active;
    for (const name of ['open_connections', 'opened_total', 'bytes_total', 'failures_total', 'newly_failed']) sum[name] += edge[name];
    if (edge.opened_per_second !== null) sum.opened_per_second = (sum.opened_per_second ?? 0) + edge.opened_per_second;
  }
  return [...sums.values()];
}

// Coordinates: each column has its own distance between rows, so that a short one is spread over the height of the longest.
export function coordinates(columns, width) {
  const longest = Math.max(1, ...Object.values(columns).map(({ length }) => length));
  const row = longest > 30 ? 15 : longest > 12 ? 20 : 28;
  const height = longest * row + 8;
  // Labels of the outer columns take a quarter each.
  const margin = Math.min(270, width * 0.24);
  const xs = { from: margin, point: width / 2, to: width - margin };
  const at = new Map();
  for (const [name, nodes] of Object.entries(columns)) {
    nodes.forEach(({ key }, index) => at.set(key, { x: xs[name], y: 4 + ((index + 0.5) * (height - 8)) / nodes.length }));
  }
  return { at, height, row, margin, box: Math.min(220, margin) };
}

// From the side of one node to that of the other.
export function curve(edge, { at, box }) {
  const [one, other] = [at.get(edge.from), at.get(edge.to)];
  const [left, right] = edge.from.startsWith('point:') ? [one.x + box / 2, other.x] : [one.x, other.x - box / 2];
  const middle = (left + right) / 2;
  return `M${left} ${one.y}C${middle} ${one.y} ${middle} ${other.y} ${right} ${other.y}`;
}

// By traffic: together, the edges of the node that has the most are as thick as a row. None is too thin to be seen.
export function thicknesses(edges) {
  const totals = new Map();
  for (const edge of edges) for (const end of [edge.from, edge.to]) totals.set(end, (totals.get(end) ?? 0) + weight(edge));
  const most = Math.max(1e-9, ...totals.values());
  const [thin, row] = edges.length > 100 ? [0.6, 14] : [1.2, 30];
  return (edge) => Math.min(14, Math.max(thin, (row * weight(edge)) / most));
}
