// Failed connections of a point as they come (server-sent events).
import { useEffect, useState } from './vendor/preact-hooks.js';
import { html } from './html.js';
import { bytes, clock, count, seconds, words } from './format.js';
import { ask, ofNode, problemOf, usePolling } from './data.js';
import { Missing, Refusal, Section } from './parts.js';

// Shown at once; a storm of failures is not drawn in full, and the counters have all of them.
const SHOWN = 100;
const DRAW_MS = 250;
const RETRY_MS = 15000;

const CONNECTING = 'connecting …';
const LIVE = 'live: new ones appear by themselves';

// Why a stream was refused: it does not tell, so it is asked for once more.
async function whyNot(path, signal) {
  const once = new AbortController();
  try {
    const response = await fetch(path, { signal: AbortSignal.any([signal, once.signal]), headers: { accept: 'text/event-stream' } });
    return response.ok ? 'the connection was lost' : (await problemOf(response)).message;
  } catch {
    return 'the connection failed';
  } finally {
    once.abort();
  }
}

function useFailures(point) {
  const [state, set] = useState({ failures: [], status: CONNECTING, missed: 0, untold: 0 });
  useEffect(() => {
    let source = null;
    let timer = null;
    let retry = null;
    const stop = new AbortController();
    let found = new Map();
    const live = { status: CONNECTING, missed: 0, untold: 0 };
    const draw = () => {
      timer ??= setTimeout(() => {
        timer = null;
        const newest = [...found.entries()].sort(([one], [other]) => other - one).slice(0, SHOWN);
        found = new Map(newest);
        set({ ...live, failures: newest.map(([, failure]) => failure) });
      }, DRAW_MS);
    };
    const say = (changes) => {
      Object.assign(live, changes);
      draw();
    };
    const open = () => {
      clearTimeout(retry);
      if (document.hidden) return;
      let run = null;
      const path = `api/v1/failures?follow=true&since=10m&point=${encodeURIComponent(point)}`;
      source = new EventSource(path);
      source.addEventListener('start', (event) => {
        const start = JSON.parse(event.data);
        // Numbers of another run of the agent do not go on.
        if (run !== start.run) found.clear();
        run = start.run;
        say({ status: LIVE });
      });
      source.addEventListener('failure', (event) => {
        const failure = JSON.parse(event.data);
        found.set(failure.seq, failure);
        if (found.size > 2 * SHOWN) found.delete(found.keys().next().value);
        draw();
      });
      source.addEventListener('lost', (event) => say({ missed: live.missed + JSON.parse(event.data).missed }));
      source.addEventListener('dropped', (event) => {
        const dropped = JSON.parse(event.data);
        say({ untold: dropped.failure_event_rate_limited + dropped.failure_event_ring_full });
      });
      source.addEventListener('error', () => {
        if (source.readyState !== EventSource.CLOSED) return say({ status: CONNECTING });
        retry = setTimeout(open, RETRY_MS);
        return whyNot(path, stop.signal).then((why) => stop.signal.aborted || say({ status: `not followed: ${why}; next try within ${RETRY_MS / 1000} s` }));
      });
    };
    const visibility = () => {
      source?.close();
      open();
    };
    open();
    document.addEventListener('visibilitychange', visibility);
    return () => {
      stop.abort();
      source?.close();
      clearTimeout(timer);
      clearTimeout(retry);
      document.removeEventListener('visibilitychange', visibility);
    };
  }, [point]);
  return state;
}

const VANTAGE = { self: 'the point', client: 'a caller' };

export function LiveFailures({ point }) {
  const { status, ...rest } = useFailures(point.name);
  return html`<${Failures} point=${point} about=${status} ...${rest} />`;
}

// Those that another node's agent knows: asked for again and again, as a stream would have to come from there.
export function ListedFailures({ point, node }) {
  const [state, set] = useState({ answer: null, refusal: null });
  usePolling(async (signal) => {
    try {
      const path = `api/v1/failures?follow=false&since=10m&limit=${SHOWN}&point=${encodeURIComponent(point.name)}${ofNode(node)}`;
      const answer = await ask(path, signal);
      if (!signal.aborted) set({ answer, refusal: null });
    } catch (error) {
      if (!signal.aborted) set({ answer: null, refusal: error });
    }
  }, `${point.name} ${node}`);
  const { answer, refusal } = state;
  if (refusal) return html`<${Section} id="failures" title="Failures, newest first"><${Refusal} refusal=${refusal} what="Failures" /><//>`;
  if (!answer) return html`<${Section} id="failures" title="Failures, newest first"><p class="quiet">Asking the agent …</p><//>`;
  const untold = answer.dropped.failure_event_rate_limited + answer.dropped.failure_event_ring_full;
  return html`<${Failures} point=${point} about=${`as node ${node} tells, every 5 s`} failures=${answer.failures.toReversed()} missed=${0} untold=${untold} />`;
}

function Failures({ point, about, failures, missed, untold }) {
  return html`
    <${Section} id="failures" title="Failures, newest first" about=${`all instances of ${point.name}, the last 10 minutes; ${about}`}>
      ${missed > 0 && html`<p class="note">${count(missed)} came faster than they could be sent; the counters above include them.</p>`}
      ${untold > 0 && html`<p class="note">${count(untold)} of this agent's failures since its start were not told one by one (rate limits); the counters include them.</p>`}
      ${failures.length === 0
        ? html`<p class="quiet">none</p>`
        : html`<div class="scroll tall" tabindex="0" role="region" aria-label="Failures, newest first">
            <table>
              <thead><tr><th>time</th><th>reason</th><th>phase</th><th>seen by</th><th>side</th><th>from</th><th>to</th><th>for caller</th><th class="n">known for</th><th class="n">sent</th><th class="n">received</th></tr></thead>
              <tbody>${failures.map((failure) => html`<${Row} key=${failure.seq} failure=${failure} />`)}</tbody>
            </table>
          </div>
          <p class="quiet">The ${count(failures.length)} newest${failures.length === SHOWN ? ', not more' : ''}. All of them: <code>narrows failures --point ${point.name}</code></p>`}
    <//>`;
}

function Row({ failure }) {
  const owner = End(failure.owner, failure.local_address);
  const peer = End(failure.peer, failure.peer_address);
  const [from, to] = failure.side === 'upstream' ? [owner, peer] : [peer, owner];
  return html`
    <tr>
      <td>${clock(failure.time)}</td>
      <td>${words(failure.reason)}</td>
      <td>${words(failure.phase)}</td>
      <td>${VANTAGE[failure.vantage] ?? 'no point'}</td>
      <td>${failure.side}</td>
      <td>${from}</td>
      <td>${to}</td>
      <td>${Caller(failure)}</td>
      <td class="n">${failure.duration_seconds === null ? html`<${Missing} why="it began and ended between two ticks" short="not known" />` : seconds(failure.duration_seconds)}</td>
      <td class="n">${bytes(failure.sent_bytes)}</td>
      <td class="n">${bytes(failure.received_bytes)}</td>
    </tr>`;
}

// Whose traffic a connection carried that the point had opened.
function Caller({ caller, caller_certainty: certainty, vantage, side }) {
  if (caller) return html`${certainty === 'certain' ? '' : '≈ '}${caller.name ?? KINDS[caller.type] ?? caller.type}${certainty !== 'certain' && html` <span class="quiet">(estimated)</span>`}`;
  return vantage === 'self' && side === 'upstream' ? html`<${Missing} why="whose traffic it carried was not seen, or the signals for it are missing" short="not known" />` : '';
}

const KINDS = { node: 'the node itself', external: 'outside the cluster', unknown: 'unknown' };

function End(end, address) {
  return html`${end.name ?? KINDS[end.type] ?? end.type} <span class="quiet">${address ?? ''}</span>`;
}
