// Everything about a point.
import { useLayoutEffect, useRef } from './vendor/preact-hooks.js';
import { html } from './html.js';
import { bytes, clock, count, counted, percent, perSecond, seconds, words } from './format.js';
import { Delays, explained, legs, Missing, Refusal, RESOURCES, Saturation, Section, Severity, Value } from './parts.js';
import { useAnswer } from './data.js';
import { link } from './url.js';
import { Failures, Load } from './points.js';
import { TimeLines } from './lines.js';
import { Flow } from './flow.js';
import { ListedFailures, LiveFailures } from './failures.js';
import { Inside, Signals } from './inside.js';

const ROWS = 100;

export function Point({ id, parameters }) {
  const { node } = parameters;
  const { answer, refusal } = useAnswer(`api/v1/points/${encodeURIComponent(id)}${node ? `?node=${encodeURIComponent(node)}` : ''}`);
  const back = html`<p><a ...${link({ point: null })}>← ${parameters.view === 'flow' ? 'the flow picture' : 'all points'}</a></p>`;
  if (refusal) return html`${back}<${Refusal} refusal=${refusal} what="This point" />`;
  if (!answer) return html`${back}<p class="quiet" role="status">Asking the agent …</p>`;
  const { point } = answer;
  return html`
    ${back}
    <article class=${`opened ${point.trouble.severity}`}>
      <${Head} point=${point} node=${node} />
      <nav class="contents" aria-label="In this point">
        <a href="#lines">last hour</a> <a href="#dependents">dependents</a> <a href="#served">served</a> <a href="#paths">paths</a> <a href="#failures">failures</a> <a href="#drain">drain</a> <a href="#control-plane">control plane</a> <a href="#inside">inside</a> <a href="#signals">signals</a>
      </nav>
      <h3 class="hidden">Now</h3>
      <div class="top">
        <div class="cell"><h4>Saturation <small>of the point</small></h4><${Saturation} saturation=${point.saturation} /></div>
        <div class="cell"><h4>Delays <small>p99 of the last tick, at its sockets</small></h4><${Delays} delays=${point.delays} />
          <p class="figures"><b>Choke risk</b> <small>the point’s saturation × the share of this node’s workloads</small> <${Value} value=${point.choke_risk.ratio} show=${percent} why=${point.choke_risk.missing} short="missing" /></p></div>
        <div class="cell"><h4>Load <small>at its sockets</small></h4><${Load} load=${point.load} /></div>
        <div class="cell"><h4>Failures</h4><${Failures} point=${point} /><${ByReason} failures=${point.failures} /></div>
      </div>
      <${Explained} point=${point} />
      ${point.local ? html`<${TimeLines} answer=${answer} node=${node} />` : html`<${Section} id="lines" title="The last hour"><p class="missing">missing: the point does not run on this node, and its own agent keeps its time lines</p><//>`}
      <${Workloads} id="dependents" title="Workloads that depend on it" counts=${point.dependents} rows=${answer.dependents} rest=${answer.dependents_rest} share=${true} seen=${point.local ? DEPENDENTS_SEEN : CALLERS_SEEN} />
      <${Workloads} id="served" title="Workloads that it serves" counts=${point.served} rows=${answer.served} rest=${answer.served_rest} seen="at the point’s sockets" isKnown=${point.local} />
      <${Section} id="paths" title="Paths through it"><${Flow} parameters=${parameters} point=${point.id} /><${Carried} paths=${answer.paths} /><//>
      <${node ? ListedFailures : LiveFailures} point=${point} node=${node} />
      <${Drain} drain=${point.drain} />
      <${ControlPlane} links=${point.control_plane} isKnown=${point.local} />
      <${Inside} answer=${answer} />
      <${Signals} signals=${answer.signals} />
    </article>`;
}

function Head({ point, node }) {
  const heading = useRef(null);
  // Who opens it with a key or a screen reader goes on from here. Before it is painted: later, who types already would lose the field.
  useLayoutEffect(() => {
    heading.current.focus({ preventScroll: true });
    scrollTo(0, 0);
  }, [point.id]);
  return html`
    <h2 tabindex="-1" ref=${heading}>${point.name} <${Severity} severity=${point.trouble.severity} /></h2>
    <p class="quiet">${words(point.kind)} · ${point.mesh} · ${point.instance} · ${point.local ? counted(point.processes, 'process', 'processes') : 'on another node'} · ${point.shared ? 'shared by workloads' : 'of one workload'}${node && html` · as node <b>${node}</b> tells`}</p>
    ${point.trouble.reasons.length > 0 && html`<ul class="reasons">${point.trouble.reasons.map((reason) => html`<li key=${reason.what}><${Severity} severity=${reason.severity} /> ${reason.text}</li>`)}</ul>`}`;
}

// What a mouse shows of the numbers above, for who has none.
function Explained({ point: { saturation, delays, choke_risk: risk } }) {
  const missing = saturation.resources.filter(({ ratio }) => ratio === null);
  const lines = [
    ...(delays ? legs(delays).flatMap(({ read, forward }) => [read, forward].map(explained)) : []),
    ...missing.map(({ resource, missing: why }) => `${RESOURCES[resource] ?? words(resource)}: missing: ${why}`),
    ...(risk.ratio === null ? [`choke risk: missing: ${risk.missing}`] : []),
  ];
  return html`
    <details id="explained">
      <summary>Medians, and why values are missing</summary>
      <ul class="reasons">${lines.map((line) => html`<li key=${line}>${line}</li>`)}</ul>
    </details>`;
}

function ByReason({ failures }) {
  const rows = ['callers', 'point'].flatMap((vantage) => (failures[vantage]?.by_reason ?? []).map((row) => ({ vantage, ...row })));
  if (rows.length === 0) return null;
  return html`
    <table class="small">
      <thead><tr><th>reason</th><th>seen by</th><th class="n">now</th><th class="n">in all</th></tr></thead>
      <tbody>${rows.map((row) => html`
        <tr key=${`${row.vantage} ${row.reason} ${row.side}`}><td>${words(row.reason)} <span class="quiet">${words(row.phase)}</span></td><td>${row.vantage}${row.side && `, ${row.side}`}</td>
          <td class="n"><${Value} value=${row.failures_per_second} show=${perSecond} /></td><td class="n">${count(row.failures_total)}</td></tr>`)}
      </tbody>
    </table>`;
}

const REST = { _other: 'others (beyond the limit, as a sum)', _former: 'former ones (as a sum)', unknown: 'unknown workloads' };

const ELSEWHERE = 'the point does not run on this node, and only its own sockets show it';

// At whose sockets connections, bytes and failures are counted.
const DEPENDENTS_SEEN = 'at the point’s sockets, but handshakes that failed at those of callers on this node';
const CALLERS_SEEN = 'at the sockets of callers on this node';

function Workloads({ id, title, counts, rows, rest, seen, share = false, isKnown = true }) {
  if (!isKnown) return html`<${Section} id=${id} title=${title}><p class="missing">missing: ${ELSEWHERE}</p><//>`;
  const about = `${counted(counts.workloads, 'workload')}, ${counted(counts.service_accounts, 'service account')}, ${counted(counts.namespaces, 'namespace')} in the window; counted ${seen}`;
  const all = [...rest.map((row) => ({ ...row, title: REST[row.name] ?? row.name, key: row.name })), ...rows.map((row) => ({ ...row, title: `${row.workload.namespace}/${row.workload.name}`, key: row.workload.id, workload: row.workload }))];
  all.sort((one, other) => other.active - one.active || other.open_connections - one.open_connections || (other.opened_per_second ?? 0) - (one.opened_per_second ?? 0) || (one.title < other.title ? -1 : 1));
  return html`
    <${Section} id=${id} title=${title} about=${about}>
      ${all.length === 0
        ? html`<p class="quiet">none was seen</p>`
        : html`<div class="scroll tall" tabindex="0" role="region" aria-label=${title}>
            <table>
              <thead><tr><th>workload</th><th>identity</th><th class="n">open</th><th class="n">new, last tick</th>
                ${share && html`<th class="n">of its own</th>`}
                <th class="n">of the point's</th><th class="n">failures in all</th><th class="n">bytes, both ways</th></tr></thead>
              <tbody>${all.slice(0, ROWS).map((row) => html`
                <tr key=${row.key} class=${row.active ? '' : 'quiet'}>
                  <td>${row.workload ? html`<a ...${link({ point: null, view: 'flow', search: row.title, group: 'workload' })}>${row.title}</a>` : html`<i>${row.title}</i>`}${!row.active && ' (idle)'}</td>
                  <td>${row.workload ? row.workload.principal || html`<span class="quiet">none</span>` : ''}</td>
                  <td class="n">${count(row.open_connections)}</td><td class="n"><${Value} value=${row.opened_per_second} show=${perSecond} /></td>
                  ${share && html`<td class="n"><${Value} value=${row.share_ratio} show=${percent} why="the share of a sum, or of a workload without sockets on this node, is not known" /></td>`}
                  <td class="n"><${Value} value=${row.part_ratio} show=${percent} /></td><td class="n">${count(row.failures_total)}</td><td class="n">${bytes(row.bytes_total)}</td>
                </tr>`)}
              </tbody>
            </table>
          </div>
          <p class="quiet">${share && 'Of its own: the share of the workload’s connections that pass this point. '}Of the point’s: the share of the connections on this side of the point.</p>
          ${all.length > ROWS && html`<p class="quiet">The first ${count(ROWS)} of ${count(all.length)}; all: <code>/api/v1/points/{id}</code></p>`}`}
    <//>`;
}

const CERTAINTIES = {
  certain: 'certain',
  estimated: '≈ estimated',
  unknown: 'caller not known',
};

// From which caller to which destination: the picture does not match what comes in with what goes out.
function Carried({ paths }) {
  if (paths.length === 0) return html`<p class="quiet">Whose traffic it carries where is not known: nothing was carried yet, or the signals for it are missing.</p>`;
  const end = ({ namespace, name }) => (name ? `${namespace}/${name}` : namespace);
  return html`
    <h4>Which caller’s traffic goes where <small>connections that the point opened, in all, at its sockets; turns are flights of data that it sent on them: over HTTP/1.1, requests</small></h4>
    <div class="scroll tall" tabindex="0" role="region" aria-label="Which caller’s traffic goes where">
      <table>
        <thead><tr><th>caller</th><th>destination</th><th>caller is</th><th class="n">connections</th><th class="n">turns</th><th class="n">failures</th></tr></thead>
        <tbody>${paths.slice(0, ROWS).map((path) => html`
          <tr key=${`${end(path.source)} ${end(path.destination)} ${path.certainty}`}><td>${end(path.source)}</td><td>${end(path.destination)}</td><td>${CERTAINTIES[path.certainty] ?? path.certainty}</td>
            <td class="n">${count(path.connections_total)}</td><td class="n">${count(path.turns_total)}</td><td class="n">${count(path.failures_total)}</td></tr>`)}
        </tbody>
      </table>
    </div>
    ${paths.length > ROWS && html`<p class="quiet">The first ${count(ROWS)} of ${count(paths.length)}</p>`}`;
}

function Drain({ drain }) {
  return html`
    <${Section} id="drain" title="Drain">
      ${drain === null
        ? html`<p class="quiet">It is not to go.</p>`
        : html`<p>It is to go (${drain.cause}), known for ${seconds((Date.now() - new Date(drain.since)) / 1000)}: ${counted(drain.connections, 'connection')} still open.
            ${drain.deadline === null ? html` <${Missing} why="its grace period is not known" short="Its end is not known." />` : ` Its grace ends at ${clock(drain.deadline)}.`}
            ${drain.cut_estimate !== null && html` About <b>${count(drain.cut_estimate)}</b> would be cut (an estimate).`}</p>`}
    <//>`;
}

function ControlPlane({ links, isKnown }) {
  return html`
    <${Section} id="control-plane" title="Links to control planes" about="at the point’s sockets">
      ${!isKnown
        ? html`<p class="missing">missing: ${ELSEWHERE}</p>`
        : links.length === 0
          ? html`<p class="quiet">None was seen: it has none, or the agent does not know the control plane as a workload.</p>`
          : html`<table>
              <thead><tr><th>control plane</th><th>state</th><th>since</th><th>last received</th><th class="n">opened in all</th><th class="n">failures in all</th></tr></thead>
              <tbody>${links.map((row) => html`
                <tr key=${`${row.namespace}/${row.name}`}><td>${row.namespace}/${row.name}</td><td>${row.open_connections > 0 ? `● ${counted(row.open_connections, 'connection')} open` : html`<span class="bad">✖ closed</span>`}</td>
                  <td>${clock(row.changed)}</td><td>${row.last_received === null ? html`<${Missing} why="nothing was received yet, or this kernel does not show it" short="not known" />` : clock(row.last_received)}</td>
                  <td class="n">${count(row.opened_total)}</td><td class="n">${count(row.failures_total)}</td></tr>`)}
              </tbody>
            </table>`}
    <//>`;
}
