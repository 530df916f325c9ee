// The points of the node, those with the most trouble first.
import { html } from './html.js';
import { bytesPerSecond, count, counted, percent, perSecond, words } from './format.js';
import { Delays, Missing, Refusal, Saturation, Severity, Value } from './parts.js';
import { ALL_NODES_MS, useAnswer } from './data.js';
import { link } from './url.js';

// Drawn at once. Those beyond have less trouble, and are found by the filter.
export const SHOWN = 100;

export const KINDS = ['ztunnel', 'waypoint', 'sidecar', 'ingress_gateway', 'egress_gateway', 'east_west_gateway', 'zone_ingress', 'zone_egress', 'node_proxy'];

export function pointsPath({ search, kind, namespace, nodes }) {
  const query = new URLSearchParams({ limit: SHOWN });
  for (const [name, value] of Object.entries({ search, kind, namespace, nodes })) if (value) query.set(name, value);
  return `api/v1/points?${query}`;
}

export function Points({ parameters }) {
  const isAll = parameters.nodes === 'all';
  const { answer, refusal } = useAnswer(pointsPath(parameters), isAll ? ALL_NODES_MS : undefined);
  if (refusal) return html`<${Refusal} refusal=${refusal} what="The list of points" />`;
  if (!answer) return html`<p class="quiet" role="status">Asking the agent …</p>`;
  if (answer.nodes) return html`<${OfAllNodes} answer=${answer} />`;
  const { points, matched, total } = answer;
  if (total === 0) {
    return html`<p>This agent knows no enforcement point yet. <code>narrows check</code> says what is missing.</p>`;
  }
  if (matched === 0) return html`<p role="status">None of ${counted(total, 'point')} matches the filter.</p>`;
  const troubled = points.filter(({ trouble }) => trouble.severity !== 'ok').length;
  return html`
    <p class="summary" role="status">
      ${matched === total ? counted(total, 'point') : `${count(matched)} of ${counted(total, 'point')}`}, ${troubled === 0 ? 'none' : count(troubled)} with trouble${troubled > 0 && troubled < matched && `, at the top`}.
      ${matched > points.length && ` Shown are ${count(points.length)}: filter to see others.`}
    </p>
    <ol class="points" aria-label="Points by trouble">
      ${points.map((point) => html`<${Row} key=${point.id} point=${point} />`)}
    </ol>`;
}

// A point that several nodes know is listed once, as the agent of its own node tells of it.
function OfAllNodes({ answer: { points, nodes, next, total } }) {
  const troubled = points.filter(({ trouble }) => trouble.severity !== 'ok').length;
  const [own] = nodes.answered;
  return html`
    <${MissingNodes} missing=${nodes.missing} answered=${nodes.answered.length} />
    ${points.length === 0
      ? html`<p role="status">${total === 0 ? 'No agent knows an enforcement point yet.' : 'No point of any node matches the filter.'}</p>`
      : html`<p class="summary" role="status">
            ${next === null ? counted(points.length, 'point') : `The first ${counted(points.length, 'point')}`} of ${counted(nodes.answered.length, 'node')}, ${troubled === 0 ? 'none' : count(troubled)} with trouble${troubled > 0 && troubled < points.length && ', at the top'}.
            ${next !== null && ' Filter to see others.'}
          </p>
          <ol class="points" aria-label="Points of all nodes by trouble">
            ${points.map((point) => html`<${Row} key=${`${point.id} ${point.node}`} point=${point} own=${own} />`)}
          </ol>`}`;
}

const NAMED = 20;

// What these nodes know is not on the page: which they are, and why.
function MissingNodes({ missing, answered }) {
  if (missing.length === 0) return null;
  return html`
    <div class="note" role="status" id="missing-nodes">
      <p>▲ <b>Not all nodes are here</b>: ${counted(answered, 'agent')} answered, ${count(missing.length)} did not.</p>
      <ul>${missing.slice(0, NAMED).map(({ address, node, message }) => html`<li key=${address}><b>${node ?? address}</b>: ${message}</li>`)}</ul>
      ${missing.length > NAMED && html`<p>And ${count(missing.length - NAMED)} more: <code>narrows top --all-nodes --json</code></p>`}
    </div>`;
}

// `own` is the node of this agent, where the points are those of all nodes.
function Row({ point, own }) {
  const { trouble } = point;
  return html`
    <li class=${`point ${trouble.severity}`}>
      <div class="who">
        <${Severity} severity=${trouble.severity} />
        <h3><a ...${link({ point: point.id, view: null, node: point.node === own ? null : point.node })}>${point.name}</a></h3>
        <p class="quiet">${words(point.kind)} · ${point.mesh} · ${point.instance}${point.node && html` · ${point.local ? 'on' : 'seen from'} node <b>${point.node}</b>`}${!point.local && ' · on another node'}</p>
        ${trouble.reasons.length > 0 && html`<ul class="reasons">${trouble.reasons.map((reason) => html`<li key=${reason.what}>${reason.text}</li>`)}</ul>`}
      </div>
      <div class="cell"><h4>Saturation <small>of the point</small></h4><${Saturation} saturation=${point.saturation} /></div>
      <div class="cell"><h4>Delays <small>p99, at its sockets</small></h4><${Delays} delays=${point.delays} />
        <p class="figures"><b>Choke risk</b> <${Value} value=${point.choke_risk.ratio} show=${percent} why=${point.choke_risk.missing} short="missing" />${point.choke_risk.dependents_ratio > 0 && html`<span class="quiet">: ${percent(point.choke_risk.dependents_ratio)} of active workloads on this node depend on it</span>`}</p>
        <p class="figures"><b>Workloads</b> ${count(point.dependents.workloads)} depend on it, <${Value} value=${point.local ? point.served.workloads : null} show=${count} why="the point does not run on this node" short="missing" /> served by it</p>
      </div>
      <div class="cell"><h4>Load <small>at its sockets</small></h4><${Load} load=${point.load} /></div>
      <div class="cell"><h4>Failures</h4><${Failures} point=${point} /></div>
    </li>`;
}

const SIDES = { downstream: 'accepted', upstream: 'opened by it' };

export function Load({ load }) {
  if (!load) return html`<p class="missing">Load is missing: the point does not run on this node</p>`;
  return html`
    <dl class="figures">
      ${Object.entries(SIDES).map(
        ([side, words]) => html`
          <div key=${side}>
            <dt>${words}</dt>
            <dd>${count(load[side].open_connections)} open, <${Value} value=${load[side].opened_per_second} show=${perSecond} /> new</dd>
            <dd class="quiet"><${Value} value=${load[side].received_bytes_per_second} show=${bytesPerSecond} /> in, <${Value} value=${load[side].sent_bytes_per_second} show=${bytesPerSecond} /> out</dd>
          </div>`,
      )}
    </dl>`;
}

// What is said of each vantage, and why nothing may be known there.
export const VANTAGES = {
  callers: ['seen by callers here', 'no caller on this node calls it at an address of its own'],
  point: ['seen by the point', 'the point does not run on this node'],
};

export function Failures({ point }) {
  return html`
    <dl class="figures">
      ${Object.entries(VANTAGES).map(([vantage, [words, why]]) => {
        const seen = point.failures[vantage];
        return html`
          <div key=${vantage}>
            <dt>${words}</dt>
            <dd>${seen === null ? html`<${Missing} why=${why} />` : html`<${Rate} seen=${seen} />`}</dd>
          </div>`;
      })}
    </dl>`;
}

function Rate({ seen: { failures_per_second: rate, failures_total: total, opened_per_second: opened } }) {
  if (rate === null) return html`<${Missing} why="a rate needs two ticks" short="not known yet" />`;
  const tries = rate + (opened ?? 0);
  return html`
    <span class=${rate > 0 ? 'bad' : ''}>${rate > 0 && '✖ '}${perSecond(rate)}</span>${rate > 0 && tries > 0 && ` (${percent(rate / tries)})`}
    <span class="quiet"> ${count(total)} in all</span>`;
}
