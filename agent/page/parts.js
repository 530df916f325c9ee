// Small parts that everything on the page is made of.
import { html } from './html.js';
import { percent, seconds, words } from './format.js';

// A word and a shape of its own for each severity: the colour only repeats them.
const SYMBOLS = { critical: '✖', warning: '▲', notice: '◆', ok: '●' };

export function severitySymbol(severity) {
  return SYMBOLS[severity] ?? '?';
}

export function Severity({ severity }) {
  return html`<span class=${`severity ${severity}`}><span aria-hidden="true">${severitySymbol(severity)}</span> ${severity}</span>`;
}

// Stands where a number would be, and says why it is not there.
export function Missing({ why, short = 'missing' }) {
  return html`<span class="missing" title=${why}>${short}<span class="hidden">: ${why}</span></span>`;
}

// A value, or what is said instead of it.
export function Value({ value, show, why = 'not known yet', short = 'not known' }) {
  return value === null || value === undefined ? html`<${Missing} why=${why} short=${short} />` : show(value);
}

const FULL = 0.85;
const FILLING = 0.7;

export const RESOURCES = {
  cpu: 'CPU',
  memory: 'memory',
  accept_queue: 'accept queue',
  open_files: 'open files',
  backlog: 'backlog',
  ephemeral_ports: 'local ports',
};

export function Bar({ label, ratio, missing }) {
  if (ratio === null) {
    return html`<div class="bar"><span class="label">${label}</span><${Missing} why=${missing ?? 'not known yet'} /></div>`;
  }
  const level = ratio > FULL ? 'full' : ratio > FILLING ? 'filling' : '';
  return html`
    <div class="bar">
      <span class="label">${label}</span>
      <div class=${`meter ${level}`} role="meter" aria-label=${label} aria-valuemin="0" aria-valuemax="1" aria-valuenow=${Math.min(ratio, 1)} aria-valuetext=${percent(ratio)}><i style=${{ width: `${Math.min(ratio, 1) * 100}%` }}></i></div>
      <span class="n">${percent(ratio)}${level === 'full' && html`<span title="above 85 %"> ▲</span>`}</span>
    </div>`;
}

export function Saturation({ saturation }) {
  const { resources } = saturation;
  const whys = new Set(resources.map(({ missing }) => missing));
  if (resources.every(({ ratio }) => ratio === null) && whys.size === 1) {
    return html`<p class="missing">Saturation is missing: ${[...whys][0]}</p>`;
  }
  return html`
    <div class="bars">
      ${resources.map(({ resource, ratio, missing }) => html`<${Bar} key=${resource} label=${RESOURCES[resource] ?? words(resource)} ratio=${ratio} missing=${missing} />`)}
    </div>`;
}

// arrived → read → forwarded, of a request or of its response.
const LEGS = {
  request: ['downstream', 'upstream'],
  response: ['upstream', 'downstream'],
};

// The legs of both ways, with what is said of each.
export function legs(delays) {
  return Object.entries(LEGS).map(([name, [read, forward]]) => ({
    name,
    read: { delay: delays.read[read], missing: delays.read_missing, what: `${name}: from arrival until it is read` },
    forward: { delay: delays.forward[forward], missing: delays.forward_missing, what: `${name}: from the read until it is forwarded` },
  }));
}

// A leg as text, with what has no room in the picture.
export function explained({ delay, missing, what }) {
  if (missing) return `${what}: ${missing}`;
  if (delay.p99_seconds === null) return `${what}: nothing passed in the last tick`;
  return `${what}: p99 ${seconds(delay.p99_seconds)}, median ${seconds(delay.p50_seconds)} of ${delay.samples} in the last tick (interpolated in powers of two: off by up to a factor of 2)`;
}

export function Delays({ delays }) {
  if (!delays) return html`<p class="missing">Delays are missing: the point does not run on this node</p>`;
  return html`
    <div class="delays">
      ${legs(delays).map(
        ({ name, read, forward }) => html`
          <div class="path" key=${name}>
            <span class="label">${name}</span>
            <span class="block">arrived</span>
            <${Leg} leg=${read} />
            <span class="block">read</span>
            <${Leg} leg=${forward} />
            <span class="block">forwarded</span>
          </div>`,
      )}
    </div>`;
}

function Leg({ leg }) {
  const { delay, missing } = leg;
  if (missing) return html`<span class="leg"><${Missing} why=${explained(leg)} /></span>`;
  if (delay.p99_seconds === null) return html`<span class="leg quiet" title=${explained(leg)}>idle</span>`;
  const level = delay.p99_seconds >= 1 ? 'full' : delay.p99_seconds >= 0.1 ? 'filling' : '';
  return html`<span class=${`leg ${level}`} title=${explained(leg)}><span class="hidden">p99 </span>≈ ${seconds(delay.p99_seconds)}${level && ' ▲'}</span>`;
}

export function Section({ id, title, about, children }) {
  return html`
    <section aria-labelledby=${`${id}-title`} class="section" id=${id}>
      <h3 id=${`${id}-title`}>${title} ${about && html`<small>${about}</small>`}</h3>
      ${children}
    </section>`;
}

export function Refusal({ refusal, what }) {
  return html`<p class="note" role="alert">${what} cannot be shown: ${refusal.message}</p>`;
}

// An instance that repeats the name says nothing.
export function pointTitle({ name, instance }) {
  const short = name.split('/').at(-1);
  return instance && instance !== short && instance !== name ? `${name} (${instance})` : name;
}
