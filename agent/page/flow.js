// The flow picture: workloads → points → destinations, with a table of the same.
import { useEffect, useMemo, useRef, useState } from './vendor/preact-hooks.js';
import { html } from './html.js';
import { bytes, count, counted, perSecond, words } from './format.js';
import { Refusal, Value, severitySymbol } from './parts.js';
import { useAnswer } from './data.js';
import { go, link } from './url.js';
import { EDGE_BOUND, coordinates, curve, label, picture, thicknesses } from './layout.js';

// Asked for, more than are drawn: who loses traffic stays as long as it is among them. The agent says what it leaves out.
const LIMIT = 5000;
// Below the picture, and as a table.
const LISTED = 6;
const ROWS = 200;
// Beyond, namespaces are easier to read.
const MANY = 60;

const COLUMNS = ['from', 'point', 'to'];
const HEADS = {
  workload: { from: 'Workloads that call', point: 'Points', to: 'Destinations' },
  namespace: { from: 'Namespaces that call', point: 'Points', to: 'Namespaces of destinations' },
};

export function Flow({ parameters, point }) {
  const group = parameters.group ?? (point ? 'workload' : 'namespace');
  const query = new URLSearchParams({ group, limit: LIMIT });
  if (parameters.active !== 'false') query.set('active', 'true');
  if (point) query.set('point', point);
  if (point && parameters.node) query.set('node', parameters.node);
  // Filters are the agent's to apply: not all edges may have come here.
  if (!point) for (const name of ['namespace', 'search', 'kind']) if (parameters[name]) query.set(name, parameters[name]);
  const { answer: newest, refusal } = useAnswer(`api/v1/paths?${query}`);
  const answer = useFailing(newest);
  const keep = useRef({ of: null });
  // Places are those of one view: another grouping or filter is another picture.
  const view = query.toString();
  if (keep.current.of !== view) keep.current = { of: view };
  const drawn = useMemo(() => answer && picture(answer, keep.current), [answer, view]);
  if (refusal) return html`<${Refusal} refusal=${refusal} what="The flow picture" />`;
  return html`
    <div class="flow">
      ${!point && parameters.nodes === 'all' && html`<p class="note">The picture is that of this node; the list of points is of all nodes.</p>`}
      <${Controls} parameters=${parameters} group=${group} />
      ${!drawn
        ? html`<p class="quiet" role="status">Asking the agent …</p>`
        : html`<${Drawing} drawn=${drawn} group=${group} of=${point} />
            <${Left} answer=${answer} drawn=${drawn} />
            <${Table} answer=${answer} />`}
    </div>`;
}

function Controls({ parameters, group }) {
  const choice = (changes, text, chosen) => html`<a ...${link(changes)} aria-current=${chosen ? 'true' : undefined}>${text}</a>`;
  const all = parameters.active === 'false';
  return html`
    <div class="choices">
      <span>One node for each</span>
      ${choice({ group: 'namespace' }, 'namespace', group === 'namespace')}
      ${choice({ group: 'workload' }, 'workload', group === 'workload')}
      <span>Edges</span>
      ${choice({ active: null }, 'with traffic', !all)}
      ${choice({ active: 'false' }, 'all', all)}
    </div>`;
}

// The answer with what failed on each edge since the answer before, as `newly_failed`.
function useFailing(answer) {
  const before = useRef({ answer: null, marked: null });
  if (answer && answer !== before.current.answer) {
    const key = (edge) => `${edge.from} ${edge.to}`;
    const old = new Map((before.current.answer?.edges ?? []).map((edge) => [key(edge), edge.failures_total]));
    const edges = answer.edges.map((edge) => ({ ...edge, newly_failed: Math.max(0, edge.failures_total - (old.get(key(edge)) ?? edge.failures_total)) }));
    before.current = { answer, marked: { ...answer, edges } };
  }
  return answer && before.current.marked;
}

function useWidth() {
  const place = useRef(null);
  const [width, set] = useState(0);
  useEffect(() => {
    const observer = new ResizeObserver(([{ contentRect }]) => set(Math.floor(contentRect.width)));
    observer.observe(place.current);
    return () => observer.disconnect();
  }, []);
  return [place, width];
}

// `of` is the point whose own picture it is.
function Drawing({ drawn, group, of }) {
  const [place, width] = useWidth();
  const [looked, look] = useState(null);
  const { columns, edges } = drawn;
  const severities = useMemo(() => new Map(columns.point.map(({ key, node }) => [key, node.severity])), [drawn]);
  const places = useMemo(() => coordinates(drawn, Math.max(width, 560)), [drawn, width]);
  const { at, height } = places;
  const thickness = useMemo(() => thicknesses(edges), [drawn]);
  const isTroubled = (edge) => ['critical', 'warning'].includes(severities.get(edge.from) ?? severities.get(edge.to));
  const [home, setHome] = useState(null);
  const order = COLUMNS.flatMap((name) => columns[name].map(({ key }) => key));
  const tabStop = order.includes(home) ? home : (columns.point[0]?.key ?? order[0]);
  const nodes = new Map(COLUMNS.flatMap((name) => columns[name].map((node) => [node.key, node])));
  const isLooked = (edge) => looked === edge.key || looked === edge.from || looked === edge.to;
  const entered = (key) => inside(nodes.get(key), group, of);
  const enter = (key) => {
    const changes = entered(key);
    if (changes) go(changes);
  };
  const step = (event, key) => {
    const next = neighbour(columns, at, key, event.key);
    if (next) {
      event.preventDefault();
      setHome(next);
      place.current.querySelector(`[data-key="${CSS.escape(next)}"]`)?.focus();
    } else if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      enter(key);
    }
  };
  // Said once for each node: its numbers change with each answer.
  const spoken = useMemo(() => nodes.has(looked) && summary(nodes.get(looked), touching(looked, edges)), [looked]);
  if (order.length === 0) return html`<div ref=${place}><p class="quiet" role="status">No edge matches.</p></div>`;
  return html`
    <div class="heads" aria-hidden="true" style=${{ gridTemplateColumns: `${places.margin}px 1fr ${places.margin}px` }}>${COLUMNS.map((name) => html`<span key=${name}>${HEADS[group][name]} <small>${numbered(drawn, name)}</small></span>`)}</div>
    <div ref=${place} class="drawing">
      ${width > 0 && html`
        <svg width=${Math.max(width, 560)} height=${height} role="group" aria-label="Flow picture: workloads, points, destinations. Arrow keys go from node to node; the table below has the same." class=${`${looked ? 'looked' : ''} ${edges.length > MANY ? 'many' : ''}`} onPointerLeave=${() => look(null)}>
          <g class="edges">
            ${edges.map((edge) => html`
              <g key=${edge.key} class=${`edge ${isLooked(edge) ? 'on' : ''} ${edge.active ? '' : 'idle'} ${edge.newly_failed > 0 ? 'failing' : ''} ${isTroubled(edge) ? 'troubled' : ''}`} onPointerEnter=${() => look(edge.key)}>
                <path d=${curve(edge, places)} stroke-width=${thickness(edge)} />
                <path class="hit" d=${curve(edge, places)} />
              </g>`)}
          </g>
          ${COLUMNS.map((name) => columns[name].map((node) => html`
            <${Node} key=${node.key} node=${node} column=${name} at=${at.get(node.key)} places=${places} severity=${severities.get(node.key)}
              tabStop=${node.key === tabStop} looked=${looked === node.key} look=${look} step=${step} enter=${entered(node.key) && (() => enter(node.key))} />`))}
        </svg>`}
    </div>
    <p class="hidden" role="status">${spoken}</p>
    <div class="told">${told(looked, nodes, edges) ?? html`<p class="quiet">Point at a node or an edge, or go there with the arrow keys, to see its numbers. Enter opens a point, or what is in a namespace. Thickness: open connections and new ones per second.</p>`}</div>`;
}

// How many nodes a column has, but for sums, and how many of them are drawn.
function numbered({ columns, folded }, name) {
  const here = columns[name].filter(({ node }) => node.type !== 'rest').length;
  return folded[name] > 0 ? `${count(here)} of ${count(here + folded[name])}` : count(here);
}

function neighbour(columns, at, key, pressed) {
  const column = COLUMNS.findIndex((name) => columns[name].some((node) => node.key === key));
  const keys = columns[COLUMNS[column]].map((node) => node.key);
  const index = keys.indexOf(key);
  const vertical = { ArrowUp: index - 1, ArrowDown: index + 1, Home: 0, End: keys.length - 1 }[pressed];
  if (vertical !== undefined) return keys[vertical];
  const direction = { ArrowLeft: -1, ArrowRight: 1 }[pressed];
  if (!direction) return undefined;
  const beside = columns[COLUMNS[column + direction]] ?? [];
  const distance = (other) => Math.abs(at.get(other.key).y - at.get(key).y);
  return beside.toSorted((one, other) => distance(one) - distance(other))[0]?.key;
}

// Where a node leads: to its point, or to what is in it. Sums, and the point whose picture it is, lead nowhere.
function inside({ node }, group, of) {
  if (node.type === 'point' && node.id !== of) return { point: node.id };
  if (node.type === 'namespace' && node.name) return { view: 'flow', point: null, namespace: node.name, group: 'workload' };
  if (node.type === 'workload') return { view: 'flow', point: null, search: label(node), group };
  return null;
}

function shortened(text, characters) {
  return text.length > characters ? `${text.slice(0, characters - 1)}…` : text;
}

function Node({ node, column, at, places: { row, margin, box }, severity, tabStop, looked, look, step, enter }) {
  const tall = Math.min(row - 3, 20);
  const wide = column === 'point' ? box : 8;
  const left = column === 'from' ? at.x - wide : column === 'to' ? at.x : at.x - wide / 2;
  const text = { from: [at.x - wide - 6, 'end'], point: [at.x, 'middle'], to: [at.x + wide + 6, 'start'] }[column];
  const letters = Math.floor((column === 'point' ? wide - 20 : margin - 20) / (row < 18 ? 5.6 : 6.6));
  const kind = node.node.kind ? `, ${words(node.node.kind)}` : '';
  const spoken = `${node.label}${kind}${severity ? `, ${severity}` : ''}`;
  return html`
    <g class=${`node ${node.node.type} ${severity ?? ''} ${looked ? 'on' : ''} ${enter ? 'enters' : ''}`} role=${enter ? 'button' : 'img'} tabindex=${tabStop ? 0 : -1} data-key=${node.key} aria-label=${spoken}
      onPointerEnter=${() => look(node.key)} onFocus=${() => look(node.key)} onBlur=${() => look(null)} onKeyDown=${(event) => step(event, node.key)} onClick=${enter ?? undefined}>
      <title>${spoken}</title>
      <rect x=${left} y=${at.y - tall / 2} width=${wide} height=${tall} rx="3" />
      <text x=${text[0]} y=${at.y} text-anchor=${text[1]} dominant-baseline="central" font-size=${row < 18 ? 11 : 12.5}>${severity && severity !== 'ok' ? `${severitySymbol(severity)} ` : ''}${shortened(node.label, letters)}</text>
    </g>`;
}

const touching = (looked, edges) => edges.filter((edge) => [edge.key, edge.from, edge.to].includes(looked));

function summary(node, edges) {
  const sum = (name) => edges.reduce((total, edge) => total + (edge[name] ?? 0), 0);
  return `${node.label}: ${counted(edges.length, 'edge')}, ${count(sum('open_connections'))} open, ${perSecond(sum('opened_per_second'))} new, ${counted(sum('failures_total'), 'failure')} in all`;
}

// The numbers of what is pointed at or has the focus.
function told(looked, nodes, edges) {
  if (!looked) return null;
  const touched = touching(looked, edges);
  const line = (edge) => html`<li key=${edge.key}><b>${nodes.get(edge.from).label} → ${nodes.get(edge.to).label}</b>: <${Numbers} edge=${edge} /></li>`;
  const node = nodes.get(looked);
  if (!node) return touched.length > 0 ? html`<ul>${touched.map(line)}</ul>` : null;
  return html`
    <p>${summary(node, touched)}</p>
    <ul>${touched.slice(0, LISTED).map(line)}${touched.length > LISTED && html`<li class="quiet">and ${count(touched.length - LISTED)} more: see the table</li>`}</ul>`;
}

function Numbers({ edge }) {
  return html`${count(edge.open_connections)} open, <${Value} value=${edge.opened_per_second} show=${perSecond} /> new, ${count(edge.opened_total)} opened and ${counted(edge.failures_total, 'failure')} in all${edge.newly_failed > 0 && html` <span class="bad">(✖ ${count(edge.newly_failed)} since the answer before)</span>`}, ${bytes(edge.bytes_total)}; ${edge.certainty} at a socket${edge.parts > 1 ? `; sum of ${count(edge.parts)}` : ''}`;
}

// What is not in the picture is said.
function Left({ answer, drawn }) {
  const parts = [];
  if (answer.omitted_edges > 0) parts.push(`of ${counted(answer.total_edges, 'edge')}, ${count(answer.omitted_edges)} with ${counted(answer.omitted_open_connections, 'open connection')} ${answer.omitted_edges === 1 ? 'is' : 'are'} beyond the limit of the page`);
  if (drawn.undrawn > 0) parts.push(`${counted(drawn.undrawn, 'edge')} with less traffic than the first ${count(EDGE_BOUND)} ${drawn.undrawn === 1 ? 'is' : 'are'} not drawn`);
  if (answer.group === 'workload' && drawn.columns.from.length >= MANY) parts.push('by namespace, everything has a place');
  if (parts.length === 0) return null;
  return html`<p class="note">Not everything is drawn: ${parts.join('; ')}. A filter by namespace or text shows the rest.</p>`;
}

function Table({ answer }) {
  const [open, setOpen] = useState(false);
  const named = new Map(answer.nodes.map((node) => [node.id, node]));
  return html`
    <details onToggle=${(event) => setOpen(event.target.open)}>
      <summary>The same as a table (${counted(answer.edges.length, 'edge')}${answer.omitted_edges > 0 && ` of ${count(answer.total_edges)}`})</summary>
      ${open && html`
        <div class="scroll tall" tabindex="0" role="region" aria-label="Edges of the flow picture">
          <table>
            <thead><tr><th>from</th><th>to</th><th class="n">open</th><th class="n">new, last tick</th><th class="n">opened in all</th><th class="n">failures in all</th><th class="n">bytes, both ways</th><th>known how</th></tr></thead>
            <tbody>
              ${answer.edges.slice(0, ROWS).map((edge) => html`
                <tr key=${`${edge.from} ${edge.to}`}>
                  <td>${label(named.get(edge.from))}</td><td>${label(named.get(edge.to))}</td>
                  <td class="n">${count(edge.open_connections)}</td><td class="n"><${Value} value=${edge.opened_per_second} show=${perSecond} /></td>
                  <td class="n">${count(edge.opened_total)}</td><td class="n">${count(edge.failures_total)}</td><td class="n">${bytes(edge.bytes_total)}</td><td>${edge.certainty}</td>
                </tr>`)}
            </tbody>
          </table>
        </div>
        ${answer.edges.length > ROWS && html`<p class="quiet">The first ${count(ROWS)}, by open connections: filter to see others. All: <code>/api/v1/paths</code></p>`}`}
    </details>`;
}
