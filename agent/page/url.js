// What is looked at is in the URL, so that it can be sent to somebody, kept, and gone back to.
import { useEffect, useState } from './vendor/preact-hooks.js';

const CHANGED = 'narrows:url';

export function parameters() {
  return Object.fromEntries(new URLSearchParams(location.search));
}

export function href(changes) {
  const next = new URLSearchParams(location.search);
  // The node is that of the opened point.
  if ('point' in changes) next.delete('node');
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === '') next.delete(name);
    else next.set(name, value);
  }
  const query = next.toString();
  return query ? `?${query}` : location.pathname;
}

// Typing into a filter replaces the entry in the history; what is opened gets one of its own.
export function go(changes, { replace = false } = {}) {
  const target = href(changes);
  if (replace) history.replaceState(null, '', target);
  else history.pushState(null, '', target);
  dispatchEvent(new Event(CHANGED));
}

export function useParameters() {
  const [value, set] = useState(parameters);
  useEffect(() => {
    const read = () => set(parameters());
    addEventListener('popstate', read);
    addEventListener(CHANGED, read);
    return () => {
      removeEventListener('popstate', read);
      removeEventListener(CHANGED, read);
    };
  }, []);
  return value;
}

// For links that are real ones: they can be copied, and opened in a tab of their own.
export function link(changes) {
  return {
    href: href(changes),
    onClick(event) {
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.button !== 0) return;
      event.preventDefault();
      go(changes);
    },
  };
}
