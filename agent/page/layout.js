// Where the nodes of the flow picture are: three fixed columns, bounded, with places that stay from one answer to the next.

// Nodes drawn in a column, and edges in all; the others are sums, and said to be.
export const COLUMN_BOUND = 60;
export const EDGE_BOUND = 400;

const REST = { _other: 'other workloads (sum)', _former: 'former workloads (sum)', unknown: 'unknown' };
const FOLDED = 'folded';

const weight = (edge) => edge.open_connections + (edge.opened_per_second ?? 0) + Math.min(edge.opened_total, 1e6) / 1e7;

// The three columns and the edges between them, of an answer of /api/v1/paths. `keep` is an object that the caller keeps: it has the
// places of before.
export function picture(answer, keep) {
  const named = new Map(answer.nodes.map((node) => [node.id, node]));
  const columns = { from: new Map(), point: new Map(), to: new Map() };
  for (const node of answer.nodes) {
    if (node.type === 'point') add(columns.point, `point:${node.id}`, node, 0);
  }
  const ends = answer.edges.map((edge) => {
    const [from, to] = [named.get(edge.from), named.get(edge.to)];
    const comesIn = to.type === 'point' && from.type !== 'point';
    const [point, other, side] = comesIn ? [to, from, 'from'] : [from, to, 'to'];
    const size = weight(edge);
    const pointKey = add(columns.point, `point:${point.id}`, point, size);
    const otherKey = add(columns[side], keyOf(side, other), other, size);
    return { edge, side, point: pointKey, other: otherKey };
  });
  keep.columns ??= Object.fromEntries(Object.keys(columns).map((name) => [name, { shown: new Set(), places: new Map() }]));
  const chosen = {};
  for (const [name, nodes] of Object.entries(columns)) chosen[name] = choose(nodes, keep.columns[name].shown, name);
  const shown = Object.values(chosen).map(({ nodes }) => nodes.length);
  keep.rows ??= Math.max(1, ...shown);
  keep.row ??= keep.rows > 30 ? 15 : keep.rows > 12 ? 20 : 28;
  for (const [name, { nodes }] of Object.entries(chosen)) place(nodes, keep.columns[name], keep);
  const edges = summed(ends, chosen);
  const byWeight = (one, other) => weight(other) - weight(one) || (one.key < other.key ? -1 : 1);
  edges.sort(byWeight);
  // Neither side may take all the room from the other.
  const comesIn = (edge) => edge.to.startsWith('point:');
  const sides = [edges.filter(comesIn), edges.filter((edge) => !comesIn(edge))];
  const drawn = sides.flatMap((side) => side.slice(0, EDGE_BOUND / 2));
  const others = sides.flatMap((side) => side.slice(EDGE_BOUND / 2)).sort(byWeight);
  return {
    columns: Object.fromEntries(Object.entries(chosen).map(([name, { nodes }]) => [name, nodes])),
    edges: drawn.concat(others.slice(0, EDGE_BOUND - drawn.length)),
    undrawn: Math.max(0, edges.length - EDGE_BOUND),
    folded: Object.fromEntries(Object.entries(chosen).map(([name, { folded }]) => [name, folded])),
    places: new Map(Object.values(keep.columns).flatMap(({ places }) => [...places])),
    rows: keep.rows,
    row: keep.row,
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

// Which nodes of a column are shown: those of before, then those with the most traffic; the others as a sum.
function choose(all, before, name) {
  const nodes = [...all.values()]
    .sort((one, other) => before.has(other.key) - before.has(one.key) || other.size - one.size || byName(one.label, other.label))
    .slice(0, all.size > COLUMN_BOUND ? COLUMN_BOUND - 1 : COLUMN_BOUND);
  const keys = new Set(nodes.map(({ key }) => key));
  const folded = all.size - nodes.length;
  const fold = `${name}:${FOLDED}`;
  const isRest = ({ node }) => node.type === 'rest';
  nodes.sort((one, other) => isRest(one) - isRest(other) || byName(one.label, other.label));
  if (folded > 0) nodes.push({ key: fold, node: { type: 'rest' }, label: `${folded} more (as a sum)`, size: 0 });
  return { nodes, folded, of: (key) => (keys.has(key) ? key : fold) };
}

// Gives each node of a column a place, in rows from the top, and sorts them by it. Nobody moves: a new one comes where there is room,
// else to the bottom. One that is gone finds its place again when it is back, unless the column became full in the meantime.
function place(nodes, kept, keep) {
  const { places } = kept;
  const isFirst = places.size === 0;
  kept.shown = new Set(nodes.map(({ key }) => key));
  nodes.forEach(({ key }, index) => {
    const at = places.get(key) ?? (isFirst ? ((index + 0.5) * keep.rows) / nodes.length : free(kept, keep));
    // Those that have been gone for longest come first.
    places.delete(key);
    places.set(key, at);
  });
  nodes.sort((one, other) => places.get(one.key) - places.get(other.key));
}

function free({ shown, places }, keep) {
  const taken = [-0.5, ...[...places.values()].sort((one, other) => one - other), keep.rows + 0.5];
  const gaps = taken.slice(1).map((at, index) => ({ width: at - taken[index], middle: (at + taken[index]) / 2 }));
  const widest = gaps.reduce((one, other) => (other.width > one.width ? other : one));
  if (widest.width >= 2) return widest.middle;
  if (places.size >= COLUMN_BOUND) {
    const gone = [...places.keys()].find((key) => !shown.has(key));
    const at = places.get(gone);
    places.delete(gone);
    return at;
  }
  keep.rows += 1;
  return keep.rows - 0.5;
}

// Edges between the same two drawn nodes are one.
function summed(ends, chosen) {
  const sums = new Map();
  for (const { edge, side, point, other } of ends) {
    const pointKey = chosen.point.of(point);
    const otherKey = chosen[side].of(other);
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

// Coordinates of a picture of this width.
export function coordinates({ columns, places, rows, row }, width) {
  const height = rows * row + 8;
  // Labels of the outer columns take a quarter each.
  const margin = Math.min(270, width * 0.24);
  const xs = { from: margin, point: width / 2, to: width - margin };
  const at = new Map();
  for (const [name, nodes] of Object.entries(columns)) {
    for (const { key } of nodes) at.set(key, { x: xs[name], y: 4 + places.get(key) * row });
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
