// Light or dark: as the system says, or as somebody chose.
import { useEffect, useState } from './vendor/preact-hooks.js';

const KEY = 'narrows-theme';
const system = matchMedia('(prefers-color-scheme: dark)');
export const THEMES = ['system', 'light', 'dark'];

export function chosenTheme() {
  try {
    const chosen = localStorage.getItem(KEY);
    return THEMES.includes(chosen) ? chosen : 'system';
  } catch {
    // Storage may be forbidden.
    return 'system';
  }
}

export function chooseTheme(theme) {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // It then lasts as long as the page.
  }
  apply(theme);
  dispatchEvent(new Event(KEY));
}

export function apply(theme) {
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

const shown = () => document.documentElement.dataset.theme ?? (system.matches ? 'dark' : 'light');

// The theme that is shown now.
export function useTheme() {
  const [theme, set] = useState(shown);
  useEffect(() => {
    const read = () => set(shown());
    addEventListener(KEY, read);
    system.addEventListener('change', read);
    return () => {
      removeEventListener(KEY, read);
      system.removeEventListener('change', read);
    };
  }, []);
  return theme;
}
