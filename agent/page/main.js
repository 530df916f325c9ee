// The page: what every view has around it.
import { render } from './vendor/preact.js';
import { useEffect, useLayoutEffect, useRef, useState } from './vendor/preact-hooks.js';
import { html } from './html.js';
import { ago, clock, seconds, words } from './format.js';
import { INTERVAL_MS, useConnection, useHasPeers } from './data.js';
import { go, link, parameters as inUrl, useParameters } from './url.js';
import { KINDS, Points } from './points.js';
import { Point } from './point.js';
import { Flow } from './flow.js';
import { Help } from './help.js';
import { apply, chooseTheme, chosenTheme, THEMES } from './theme.js';

const TYPING_MS = 250;
// So many ticks without an answer are more than a delay.
const STALE_TICKS = 4;

function Page() {
  const parameters = useParameters();
  const help = useRef(null);
  useKeys(help);
  useEffect(() => {
    document.title = `${parameters.point ? parameters.point.split('~')[2]?.replace('__', '/') : parameters.view === 'flow' ? 'Flow' : 'Points'} · Narrows`;
  }, [parameters.point, parameters.view]);
  return html`
    <a class="skip" href="#content">Skip to the content</a>
    <header>
      <h1><a ...${link({ point: null, view: null })}>Narrows</a></h1>
      <${Node} />
      <nav aria-label="Views">
        <a ...${link({ view: null, point: null })} aria-current=${!parameters.point && parameters.view !== 'flow' ? 'page' : undefined}>Points</a>
        <a ...${link({ view: 'flow', point: null })} aria-current=${!parameters.point && parameters.view === 'flow' ? 'page' : undefined}>Flow</a>
      </nav>
      <${Nodes} parameters=${parameters} />
      <${Filters} parameters=${parameters} />
      <${Theme} />
      <button type="button" onClick=${() => help.current.showModal()} aria-keyshortcuts="?" title="What is what, and which keys (?)">Help</button>
    </header>
    <${State} />
    <main id="content" tabindex="-1">
      ${parameters.point
        ? html`<${Point} key=${`${parameters.point} ${parameters.node}`} id=${parameters.point} parameters=${parameters} />`
        : parameters.view === 'flow'
          ? html`<h2 class="hidden">Flow</h2><${Flow} parameters=${parameters} />`
          : html`<h2 class="hidden">Points</h2><${Points} parameters=${parameters} />`}
    </main>
    <${Help} dialog=${help} />`;
}

function Node() {
  const { as_of: of } = useConnection();
  if (!of) return null;
  return html`
    <p class="quiet" title="The moment that everything on this page describes, and the time that rates are about">
      ${of.node === null ? 'agent at' : 'node'} <b>${of.node ?? location.hostname}</b>, as of <time dateTime=${of.time}>${clock(of.time)}</time>, tick ${of.tick}${of.rate_span_seconds !== null && html`; rates over ${seconds(of.rate_span_seconds)}`}
    </p>`;
}

// Whose points: this agent's own, or those of all nodes. Only where the agent can ask the others.
function Nodes({ parameters }) {
  const hasPeers = useHasPeers();
  const isAll = parameters.nodes === 'all';
  if (!hasPeers && !isAll) return null;
  const choice = (nodes, text, chosen) => html`<a ...${link({ nodes, point: null })} aria-current=${chosen ? 'true' : undefined}>${text}</a>`;
  return html`<nav aria-label="Nodes" id="nodes">${choice(null, 'This node', !isAll)} ${choice('all', 'All nodes', isAll)}</nav>`;
}

// Ticks may be closer to each other than the questions of the page.
function staleAfter({ interval_seconds: interval }) {
  return STALE_TICKS * Math.max(1000 * interval, INTERVAL_MS);
}

// That something is wrong between the page and the agent, or in the agent itself, and since when.
function State() {
  const { since, why, last, as_of: of } = useConnection();
  const [, update] = useState(0);
  useEffect(() => {
    if (!since) return undefined;
    const timer = setInterval(() => update((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, [since]);
  let text = null;
  if (since) {
    text = html`✖ <b>No data from the agent</b> since ${clock(since)} (${ago(since)}): ${why}. ${last ? `What is shown is from ${clock(last)}.` : 'Nothing has been received yet.'} Trying again every 5 s.`;
  } else if (of?.tick_error) {
    text = html`▲ <b>The agent's last tick failed</b>: ${of.tick_error}. What is shown is of tick ${of.tick}, at ${clock(of.time)}.`;
  } else if (of && last - new Date(of.time).getTime() > staleAfter(of)) {
    text = html`▲ The agent's last tick was at ${clock(of.time)}, ${ago(of.time)} by the clock of this browser: it is late, or the clocks differ.`;
  }
  return html`<div class=${text ? `banner ${since ? 'critical' : 'warning'}` : ''} role="status" id="state">${text}</div>`;
}

function Filters({ parameters }) {
  const pending = useRef({ timer: null, changes: {} });
  // Whatever else changes the URL decides what is in the fields.
  useEffect(() => {
    clearTimeout(pending.current.timer);
    pending.current.changes = {};
  }, [parameters]);
  // Typed text is of the fields until nothing more is typed for a moment. An opened point keeps its entry in the history.
  const typed = (name) => (event) => {
    const { changes, timer } = pending.current;
    changes[name] = event.target.value.trim();
    clearTimeout(timer);
    pending.current.timer = setTimeout(() => go({ ...changes, point: null }, { replace: !inUrl().point }), TYPING_MS);
  };
  return html`
    <form role="search" onSubmit=${(event) => event.preventDefault()}>
      <input id="search" type="search" placeholder="filter  ( / )" aria-label=${`Filter by name, instance, kind or mesh${parameters.view === 'flow' ? ', or by workload' : ''}`} aria-keyshortcuts="/" value=${parameters.search ?? ''} onInput=${typed('search')} />
      <input id="namespace" type="search" placeholder="namespace" aria-label="Namespace" value=${parameters.namespace ?? ''} onInput=${typed('namespace')} />
      <select aria-label="Kind of point" value=${parameters.kind ?? ''} onChange=${(event) => go({ kind: event.target.value, point: null })}>
        <option value="">all kinds</option>
        ${KINDS.map((kind) => html`<option key=${kind} value=${kind}>${words(kind)}</option>`)}
      </select>
    </form>`;
}

function Theme() {
  const [chosen, set] = useState(chosenTheme);
  const choose = (event) => {
    chooseTheme(event.target.value);
    set(event.target.value);
  };
  return html`
    <select id="theme" aria-label="Light or dark" value=${chosen} onChange=${choose}>
      ${THEMES.map((theme) => html`<option key=${theme} value=${theme}>${theme === 'system' ? 'auto' : theme}</option>`)}
    </select>`;
}

function useKeys(help) {
  // Before it is painted, so that no key is lost.
  useLayoutEffect(() => {
    const pressed = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || help.current.open) return;
      const isField = event.target.matches('input, select, textarea');
      if (event.key === 'Escape') {
        // Else a browser would empty the field, and some do not leave it.
        event.preventDefault();
        if (isField) event.target.blur();
        else back();
      } else if (!isField && event.key === '/') {
        event.preventDefault();
        document.getElementById('search').focus();
      } else if (!isField && event.key === '?') {
        help.current.showModal();
      }
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);
}

// One step out: of a point, then of the filters.
function back() {
  const { point, search, namespace, kind } = inUrl();
  if (point) go({ point: null });
  else if (search || namespace || kind) go({ search: null, namespace: null, kind: null });
}

apply(chosenTheme());
render(html`<${Page} />`, document.getElementById('page'));
