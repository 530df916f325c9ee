// What is what, and which keys there are.
import { html } from './html.js';
import { Severity } from './parts.js';

const KEYS = [
  ['/', 'filter'],
  ['Esc', 'out: of help, of a field, of a point, then of the filters'],
  ['Tab, Enter', 'from point to point, and into one'],
  ['arrow keys', 'in the flow picture, from node to node; in a time line, from sample to sample'],
  ['?', 'this help'],
];

export function Help({ dialog }) {
  return html`
    <dialog ref=${dialog} aria-labelledby="help-title">
      <h2 id="help-title">What is what</h2>
      <p>The agent of this node counts the connections of its enforcement points (ztunnels, waypoints, gateways, sidecars) in the kernel. Points with the most trouble come first: <${Severity} severity="critical" />, <${Severity} severity="warning" />, <${Severity} severity="notice" />, <${Severity} severity="ok" />.</p>
      <dl class="pairs">
        <div><dt>Saturation</dt><dd>how full each of its resources is; the fullest decides (▲: above 85 %)</dd></div>
        <div><dt>Delays</dt><dd>how long data waits in the point: <b>arrived</b> at its socket → <b>read</b> by it → <b>forwarded</b>, at the 99th percentile of the last tick. ≈: off by up to a factor of 2</dd></div>
        <div><dt>Failures</dt><dd>at two vantages: by the sockets of <b>callers</b> on this node, and by <b>the point's</b> own. Only callers see that it is down</dd></div>
        <div><dt>Choke risk</dt><dd>saturation × the share of active workloads that depend on it</dd></div>
        <div><dt class="missing">missing</dt><dd>a value that this kernel or node does not offer, never shown as 0: point at it, or open the point, to see why</dd></div>
      </dl>
      <p>Where the agent knows those of other nodes, <b>All nodes</b> lists the points of all: a point as the agent of its own node tells of it, with the trouble that callers on other nodes see.</p>
      <h3>Keys</h3>
      <dl class="pairs">${KEYS.map(([key, what]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${what}</dd></div>`)}</dl>
      <p>The same for programs: <a href="index.txt">list of paths</a>, <a href="api/v1/openapi.json">OpenAPI</a>.</p>
      <p><button type="button" autofocus onClick=${() => dialog.current.close()}>Close</button></p>
    </dialog>`;
}
