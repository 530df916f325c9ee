// Answers of the agent's API: asked for at each tick while somebody looks, one request per path at a time.
import { useEffect, useReducer, useRef, useState } from './vendor/preact-hooks.js';

export const INTERVAL_MS = 5000;
// A question about all nodes goes to every agent.
export const ALL_NODES_MS = 15000;
const PATIENCE_MS = 15000;

// Whether the agent answers at all: shared by everything on the page.
export const connection = { since: null, why: null, last: null, as_of: null, listeners: new Set() };

function tell(changes) {
  Object.assign(connection, changes);
  for (const listener of connection.listeners) listener();
}

export function useConnection() {
  const [, update] = useReducer((n) => n + 1, 0);
  useEffect(() => {
    connection.listeners.add(update);
    return () => connection.listeners.delete(update);
  }, []);
  return connection;
}

class Refusal extends Error {
  constructor(status, error, message) {
    super(message);
    Object.assign(this, { status, error });
  }
}

// What an answer without data says, for programs and for people.
export async function problemOf(response) {
  const text = await response.text();
  let problem = {};
  try {
    problem = JSON.parse(text);
  } catch {
    // Not from the API itself.
  }
  return { error: problem.error, message: problem.message ?? (text.trim() || `status ${response.status}`) };
}

export async function ask(path, signal) {
  const patience = AbortSignal.timeout(PATIENCE_MS);
  let response;
  try {
    response = await fetch(path, {
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
      headers: { accept: 'application/json' },
      cache: 'no-cache',
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    const why = patience.aborted ? `no answer within ${PATIENCE_MS / 1000} s` : 'the connection failed';
    tell({ since: connection.since ?? Date.now(), why });
    throw error;
  }
  if (!response.ok) {
    const { error, message } = await problemOf(response);
    // Nothing at this address answers with data: that is as good as unreachable. But another agent is not this one.
    const answers = ['node_failed', 'busy'].includes(error);
    if (response.status === 421 || (response.status >= 500 && !answers)) {
      tell({ since: connection.since ?? Date.now(), why: message });
      // So what was known stays.
      throw new Error(message);
    }
    throw new Refusal(response.status, error, message);
  }
  const answer = await response.json();
  tell({ since: null, why: null, last: Date.now() });
  return answer;
}

// An answer that is shown: the head of the page says which moment it describes.
function shown(answer) {
  if (answer.as_of) tell({ as_of: answer.as_of });
  return answer;
}

// Whether this agent can ask those of other nodes: as configured, so asked for once.
export function useHasPeers() {
  const [has, set] = useState(false);
  const { since } = useConnection();
  useEffect(() => {
    if (since) return undefined;
    const stop = new AbortController();
    ask('api/v1/status', stop.signal).then(({ peers }) => set(peers.length > 0), () => {});
    return () => stop.abort();
  }, [since === null]);
  return has;
}

// What is added to a question about a point that the agent of another node tells of.
export function ofNode(node) {
  return node ? `&node=${encodeURIComponent(node)}` : '';
}

// Calls `load(signal)` now and after each interval; not while the page is hidden, but at once when it is shown again.
export function usePolling(load, key, interval = INTERVAL_MS) {
  const current = useRef(load);
  current.current = load;
  useEffect(() => {
    const stop = new AbortController();
    let timer = null;
    let running = false;
    const round = async () => {
      if (running || document.hidden || stop.signal.aborted) return;
      running = true;
      clearTimeout(timer);
      const begin = Date.now();
      await current.current(stop.signal).catch(() => {});
      running = false;
      // A slow agent is asked less often.
      const pause = Math.max(interval - (Date.now() - begin), interval / 5);
      if (!stop.signal.aborted) timer = setTimeout(round, pause);
    };
    round();
    document.addEventListener('visibilitychange', round);
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', round);
    };
  }, [key]);
}

// The newest answer to `path`, and why there is none. The last answer stays while the agent is unreachable.
export function useAnswer(path, interval) {
  const [state, set] = useState({ path, answer: null, refusal: null });
  usePolling(async (signal) => {
    try {
      const answer = await ask(path, signal);
      if (!signal.aborted) set({ path, answer: shown(answer), refusal: null });
    } catch (error) {
      if (error instanceof Refusal && !signal.aborted) set({ path, answer: null, refusal: error });
    }
  }, path, interval);
  return state.path === path ? state : { path, answer: null, refusal: null };
}

const HOUR_SECONDS = 3600;

// The last hour of a point, of which each round asks only for what is new.
export function useHistory(id, node) {
  const point = `${encodeURIComponent(id)}${ofNode(node)}`;
  const [state, set] = useState({ point, history: null, refusal: null });
  const known = useRef(null);
  usePolling(async (signal) => {
    const before = known.current?.of === point ? known.current : null;
    const last = before?.time_seconds.at(-1);
    const after = last === undefined ? '' : `&after_seconds=${last}`;
    try {
      const answer = await ask(`api/v1/history?point=${point}${after}`, signal);
      if (signal.aborted) return;
      known.current = { ...(before ? joined(before, answer) : answer), of: point };
      shown(answer);
      set({ point, history: known.current, refusal: null });
    } catch (error) {
      if (error instanceof Refusal && !signal.aborted) set({ point, history: null, refusal: error });
    }
  }, point);
  return state.point === point ? state : { point, history: null, refusal: null };
}

// Between the samples of two agents, as where some are missing, is a gap.
function joined(before, newer) {
  const [last, first] = [before.time_seconds.at(-1), newer.time_seconds[0]];
  const isOther = newer.as_of.tick < before.as_of.tick;
  const hasGap = first !== undefined && (isOther || first - last > 2.5 * newer.resolution_seconds);
  const gap = hasGap ? [(last + first) / 2] : [];
  const times = before.time_seconds.concat(gap, newer.time_seconds);
  const oldest = (times.at(-1) ?? 0) - HOUR_SECONDS;
  const skip = Math.max(0, times.findIndex((time) => time >= oldest));
  const lines = {};
  for (const [name, values] of Object.entries(newer.lines)) {
    lines[name] = (before.lines[name] ?? []).concat(gap.map(() => null), values).slice(skip);
  }
  // Whose the last sample is.
  const { as_of } = first === undefined ? before : newer;
  return { ...newer, as_of, time_seconds: times.slice(skip), lines };
}
