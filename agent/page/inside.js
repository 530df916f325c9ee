// What is measured inside a point, and which signals this node offers.
import { html } from './html.js';
import { bytes, count, counted, percent, seconds, words } from './format.js';
import { Section, Value } from './parts.js';

const UNREAD = 'it could not be read';

export function Inside({ answer }) {
  const { missing } = answer;
  return html`
    <${Section} id="inside" title="Inside the point">
      <div class="cells">
        <${Queues} queues=${answer.accept_queues} missing=${missing} />
        <${Rows} title="Threads" rows=${threads(answer.threads)} />
        <${Rows} title="Sockets, accepted" rows=${sockets(answer.sockets?.downstream, missing)} />
        <${Rows} title="Sockets, opened by it" rows=${sockets(answer.sockets?.upstream, missing)} />
        <${Rows} title="Resources" rows=${answer.point.local ? resources(answer) : null} />
        <${Rows} title="Processes that ended" rows=${answer.exits?.map(({ how, processes_total }) => [words(how), processes_total, count, missing.exits])} why=${missing.exits} />
        <${Rows} title="Dropped packets" rows=${answer.drops?.map(({ reason, direction, packets_total }) => [`${words(reason)}, ${direction}`, packets_total, count])} why=${missing.drops} />
        <${Ages} ages=${answer.ages.open} why=${missing.ages} />
      </div>
    <//>`;
}

// Each row: words, value, how to show it, why it may be missing. Without rows, `why` says why all are.
function Rows({ title, rows, why = 'the point does not run on this node' }) {
  return html`
    <div class="cell">
      <h4>${title}</h4>
      ${!rows
        ? html`<p class="missing">missing: ${why}</p>`
        : rows.length === 0
          ? html`<p class="quiet">none was seen</p>`
          : html`<dl class="pairs">${rows.map(([label, value, show, why]) => html`<div key=${label}><dt>${label}</dt><dd><${Value} value=${value} show=${show} why=${why ?? UNREAD} short="missing" /></dd></div>`)}</dl>`}
    </div>`;
}

function threads(found) {
  if (!found) return null;
  const why = found.missing ?? 'not known in the last tick';
  return [
    ['busiest: of a CPU', found.busiest_cpu_ratio, percent, why],
    ["busiest: of the point's CPU time", found.busiest_cpu_share_ratio, percent, why],
    ['most connections: share of them', found.busiest_connections_share_ratio, percent, why],
    ['threads that serve', found.serving_threads, count, why],
  ];
}

function sockets(side, missing) {
  if (!side) return null;
  return [
    ['arrived, not read', side.unread_bytes, bytes, missing.unread_bytes],
    ['sent, not acknowledged', side.unacknowledged_bytes, bytes, missing.unacknowledged_bytes],
    ['stalled connections', side.stalled_unread_connections, count, missing.unread_bytes],
  ];
}

// What is read from the node's files.
function resources({ resources: found, signals }) {
  const why = (name) => signals.find((signal) => signal.name === name && !signal.active)?.reason ?? null;
  const limit = (value, show, name) => (value !== null ? show(value) : why(name) ? null : "all of the machine's");
  const [cpu, memory, files] = ['cpu_throttling', 'memory_limit', 'open_files'].map(why);
  return [
    ['CPU time in all', found.cpu_seconds_total, seconds, cpu],
    ['CPU limit', limit(found.cpu_limit_cores, (cores) => `${cores} ${cores === 1 ? 'CPU' : 'CPUs'}`, 'cpu_throttling'), String, cpu],
    ['throttled in all', found.cpu_throttled_seconds_total, seconds, cpu ?? 'it has no quota'],
    ['memory', found.memory_bytes, bytes, memory],
    ['memory limit', limit(found.memory_limit_bytes, bytes, 'memory_limit'), String, memory],
    ['open files', found.open_files, ({ open, limit }) => `${count(open)} of ${count(limit)}`, files],
    ['OOM kills', found.oom_kills_total, count, memory],
  ];
}

function Queues({ queues, missing }) {
  return html`
    <div class="cell">
      <h4>Accept queues <small>by port</small></h4>
      ${queues === null
        ? html`<p class="missing">missing: ${missing.accept_queues}</p>`
        : queues.length === 0
          ? html`<p class="quiet">it does not listen</p>`
          : html`<table class="small">
              <thead><tr><th class="n">port</th><th class="n">waiting</th><th class="n">of</th><th class="n">oldest</th><th class="n">dropped</th></tr></thead>
              <tbody>${queues.map((queue) => html`
                <tr key=${queue.port}><td class="n">${queue.port}</td><td class="n"><${Value} value=${queue.queued_connections} show=${count} why=${missing.queued_connections} short="missing" /></td><td class="n">${count(queue.limit_connections)}</td>
                  <td class="n"><${Value} value=${queue.oldest_seconds} show=${seconds} why=${missing.queued_connections ?? 'the kernel does not tell it of a connection that waits'} short="missing" /></td>
                  <td class=${`n ${queue.drops_total > 0 ? 'bad' : ''}`}><${Value} value=${queue.drops_total} show=${count} why=${missing.accept_queue_drops} short="missing" /></td></tr>`)}
              </tbody>
            </table>`}
    </div>`;
}

function Ages({ ages, why }) {
  return html`
    <div class="cell">
      <h4>Open connections by age <small>at least</small></h4>
      ${ages === null
        ? html`<p class="missing">missing: ${why}</p>`
        : html`<table class="small">
            <thead><tr><th class="n">age</th><th class="n">accepted</th><th class="n">opened by it</th></tr></thead>
            <tbody>${ages.downstream.map(({ min_age_seconds: age, connections }, index) => html`
              <tr key=${age}><td class="n">${seconds(age)}</td><td class="n">${count(connections)}</td><td class="n">${count(ages.upstream[index].connections)}</td></tr>`)}
            </tbody>
          </table>`}
    </div>`;
}

export function Signals({ signals }) {
  const off = signals.filter(({ active }) => !active);
  const about = off.length === 0 ? `all ${count(signals.length)} work on this node` : `${count(off.length)} of ${counted(signals.length, 'signal')} missing on this node`;
  return html`
    <${Section} id="signals" title="Signals" about=${about}>
      <details open=${off.length > 0}>
        <summary>Which, and for what</summary>
        <table>
          <thead><tr><th>signal</th><th>state</th><th>for what</th><th>why not</th></tr></thead>
          <tbody>${signals.toSorted((one, other) => one.active - other.active).map(({ name, what, active, reason }) => html`
            <tr key=${name}><td><code>${name}</code></td><td>${active ? '● works' : html`<span class="missing">○ missing</span>`}</td><td>${what}</td><td>${reason ?? ''}</td></tr>`)}
          </tbody>
        </table>
      </details>
    <//>`;
}
