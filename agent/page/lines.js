// Time lines of the last hour of a point.
import { useLayoutEffect, useRef, useState } from './vendor/preact-hooks.js';
import { html } from './html.js';
import { clock, count, percent, perSecond, seconds } from './format.js';
import { Refusal, RESOURCES, Section } from './parts.js';
import { VANTAGES } from './points.js';
import { useHistory } from './data.js';
import { useTheme } from './theme.js';

const HEIGHT = 132;
// Samples that Page Up and Page Down skip: a minute, or more.
const PAGE = 12;
// A young agent has a short history: not stretched beyond this.
const LEAST_SECONDS = 300;

const resourceLines = Object.entries(RESOURCES).map(([name, label]) => [`${name}_saturation_ratio`, label, ({ point }) => point.saturation.resources.find(({ resource }) => resource === name)?.missing]);

// Each line: its name in the API, its label, and what says in an answer about the point why it may be missing.
const CHARTS = [
  { title: 'New connections', about: 'per second, at its sockets', show: perSecond, lines: [['downstream_opened_per_second', 'accepted'], ['upstream_opened_per_second', 'opened by it']] },
  { title: 'Failures', about: 'per second', show: perSecond, lines: [['caller_failures_per_second', 'seen by callers here', ({ point }) => !point.failures.callers && VANTAGES.callers[1]], ['point_failures_per_second', 'seen by the point']] },
  { title: 'Delays, p99', about: 'approximate, of the worse side', show: seconds, lines: [['read_delay_p99_seconds', 'arrived → read', ({ point }) => point.delays?.read_missing], ['forward_delay_p99_seconds', 'read → forwarded', ({ point }) => point.delays?.forward_missing]] },
  { title: 'Saturation', about: 'by resource', show: percent, most: 1, lines: resourceLines },
  { title: 'Open connections', about: 'at its sockets', show: count, lines: [['downstream_open_connections', 'accepted'], ['upstream_open_connections', 'opened by it']] },
  { title: 'Accept queues', about: 'connections that wait', show: count, lines: [['accept_queue_connections', 'waiting', ({ missing }) => missing.queued_connections]] },
];

// Lines differ by dashes, too.
const DASHES = [[], [6, 4], [2, 3], [10, 3, 2, 3], [12, 5], [1, 5]];

export function TimeLines({ answer, node }) {
  const { history, refusal } = useHistory(answer.point.id, node);
  if (refusal) return html`<${Section} id="lines" title="The last hour"><${Refusal} refusal=${refusal} what="Time lines" /><//>`;
  if (!history) return html`<${Section} id="lines" title="The last hour"><p class="quiet">Asking the agent …</p><//>`;
  const times = history.time_seconds;
  if (times.length < 2) return html`<${Section} id="lines" title="The last hour"><p class="quiet">Time lines begin with the second sample: one every ${seconds(history.resolution_seconds)}.</p><//>`;
  const about = `from ${clock(times[0] * 1000)} to ${clock(times.at(-1) * 1000)}, ${history.resolution_seconds >= 60 ? 'the greatest value of each minute' : `every ${seconds(history.resolution_seconds)}`}; an agent keeps them from its start on, so there is a gap where it was restarted`;
  return html`
    <${Section} id="lines" title="The last hour" about=${about}>
      <div class="charts">
        ${CHARTS.map((chart) => html`<${Chart} key=${chart.title} chart=${chart} history=${history} answer=${answer} />`)}
      </div>
    <//>`;
}

const known = (values) => values.filter((value) => value !== null);

function describe(lines, show) {
  return lines
    .map(({ label, values }) => {
      const numbers = known(values);
      if (numbers.length === 0) return `${label}: not known`;
      return `${label}: now ${values.at(-1) === null ? 'not known' : show(values.at(-1))}, at least ${show(Math.min(...numbers))}, at most ${show(Math.max(...numbers))}`;
    })
    .join('; ');
}

function Chart({ chart, history, answer }) {
  const place = useRef(null);
  const plot = useRef(null);
  const theme = useTheme();
  const [at, setAt] = useState(null);
  const all = chart.lines.map(([name, label, why], index) => ({ name, label, index, why: why?.(answer), values: history.lines[name] ?? [] }));
  const lines = all.filter(({ values }) => known(values).length > 0);
  const shape = lines.map(({ name }) => name).join();
  const times = history.time_seconds;
  const data = [times, ...lines.map(({ values }) => values)];
  const newest = useRef(data);
  newest.current = data;

  // Before it is painted, as what is said of a time must be what the plot has there.
  useLayoutEffect(() => {
    if (lines.length === 0) return undefined;
    let gone = false;
    let observer = null;
    // Only who opens a point needs it.
    import('./vendor/uplot.js').then(({ default: Plot }) => {
      if (gone || !place.current) return;
      const width = () => Math.max(200, place.current.clientWidth);
      plot.current = new Plot(options(chart, lines, width(), place.current, setAt), newest.current, place.current);
      observer = new ResizeObserver(() => {
        // When the point is closed, its place is gone before the observer is.
        if (place.current) plot.current?.setSize({ width: width(), height: HEIGHT });
      });
      observer.observe(place.current);
    });
    return () => {
      gone = true;
      observer?.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape, theme]);

  useLayoutEffect(() => plot.current?.setData(data), [history]);

  const index = Math.min(at ?? times.length - 1, times.length - 1);
  const value = ({ values }) => (values[index] === null || values[index] === undefined ? 'none' : chart.show(values[index]));
  // What a mouse shows of one time, for the keyboard.
  const pressed = (event) => {
    const last = times.length - 1;
    const next = { ArrowLeft: index - 1, ArrowDown: index - 1, ArrowRight: index + 1, ArrowUp: index + 1, PageDown: index - PAGE, PageUp: index + PAGE, Home: 0, End: last }[event.key];
    if (next === undefined || !plot.current) return;
    event.preventDefault();
    const wanted = Math.max(0, Math.min(last, next));
    plot.current.setCursor({ left: plot.current.valToPos(times[wanted], 'x'), top: 0 });
    // There may be several samples to a pixel.
    setAt(wanted);
  };
  const left = () => plot.current?.setCursor({ left: -10, top: -10 });
  return html`
    <figure class="chart">
      <figcaption><b>${chart.title}</b> <small>${chart.about}</small></figcaption>
      ${lines.length > 0 &&
        html`<div ref=${place} class="plot" role="slider" tabindex="0" aria-label=${`${chart.title}: ${describe(lines, chart.show)}`} aria-valuemin="0" aria-valuemax=${times.length - 1} aria-valuenow=${index}
              aria-valuetext=${`${clock(times[index] * 1000)}: ${lines.map((line) => `${line.label} ${value(line)}`).join(', ')}`} onKeyDown=${pressed} onBlur=${left}></div>
            <ul class="legend" aria-hidden="true">
              <li class="quiet">${at === null ? 'now' : clock(times[index] * 1000)}</li>
              ${lines.map((line) => html`<li key=${line.name}><${Sample} index=${line.index} /> ${line.label} <b>${value(line)}</b></li>`)}
            </ul>`}
      <${Lacking} lines=${all.filter((line) => !lines.includes(line))} />
    </figure>`;
}

// Lines without a value in this time: idle, or missing now, and why.
function Lacking({ lines }) {
  const said = ({ why }) => (why ? html`<span class="missing">missing: ${why}</span>` : html`<span class="quiet">idle: nothing was measured in this time</span>`);
  if (lines.length === 0) return null;
  return html`<ul class="lacking">${lines.map((line) => html`<li key=${line.name}>${line.label}: ${said(line)}</li>`)}</ul>`;
}

function Sample({ index }) {
  return html`<svg class=${`line-${index}`} width="22" height="8"><line x1="0" y1="4" x2="22" y2="4" stroke="currentColor" stroke-width="2" stroke-dasharray=${DASHES[index].join(' ')} /></svg>`;
}

// The colour that CSS gives, as canvas knows no variables.
function color(place, className) {
  const probe = document.createElement('i');
  probe.className = className;
  place.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function options(chart, lines, width, place, setAt) {
  const [text, grid] = [color(place, 'axis-text'), color(place, 'axis-grid')];
  const axis = { stroke: text, font: '11px system-ui, sans-serif', grid: { stroke: grid, width: 1 }, ticks: { show: false } };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { sync: { key: 'hour' }, points: { size: 5 }, drag: { x: false, y: false } },
    scales: {
      x: { range: (_, from, to) => [Math.min(from, to - LEAST_SECONDS), to] },
      y: { range: (_, least, most) => [0, Math.max(chart.most ?? 0, (most ?? 0) * 1.1) || 1] },
    },
    axes: [
      { ...axis, size: 22, space: 70, values: (_, ticks) => ticks.map((tick) => clock(tick * 1000).slice(0, 5)) },
      { ...axis, size: 58, space: 30, ...(chart.show === count && { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 1e5, 1e6] }), values: (_, ticks) => ticks.map((tick) => chart.show(tick)) },
    ],
    series: [
      {},
      ...lines.map(({ label, index }) => ({ label, stroke: color(place, `line-${index}`), width: 1.5, dash: DASHES[index], points: { size: 4, show: (plot) => plot.data[0].length < 12 }, spanGaps: false })),
    ],
    hooks: { setCursor: [(plot) => setAt(plot.cursor.idx ?? null)] },
  };
}
