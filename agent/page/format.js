// Numbers with their units. What is not known is never a number: callers show `missing` instead.

const NARROW_SPACE = '\u202f';

function digits(value) {
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size >= 100) return Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, NARROW_SPACE);
  return value.toFixed(size >= 9.995 ? 1 : 2).replace(/\.?0+$/, '') || '0';
}

export function count(value) {
  return digits(Math.round(value));
}

// "1 connection", "5 connections".
export function counted(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

// A small rate is not rounded to nothing.
export function perSecond(value) {
  return value > 0 && value < 0.005 ? `<${NARROW_SPACE}0.01/s` : `${digits(value)}/s`;
}

const SCALES = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

export function bytes(value) {
  let scale = 0;
  while (Math.abs(value) >= 999.5 && scale < SCALES.length - 1) {
    value /= 1000;
    scale += 1;
  }
  return `${scale === 0 ? Math.round(value) : digits(value)} ${SCALES[scale]}`;
}

export function bytesPerSecond(value) {
  return `${bytes(value)}/s`;
}

export function percent(ratio) {
  const value = ratio * 100;
  if (value > 0 && value < 0.1) return '< 0.1 %';
  return `${value >= 9.95 || value === 0 ? Math.round(value) : value.toFixed(1)} %`;
}

export function seconds(value) {
  const size = Math.abs(value);
  if (size === 0) return '0 s';
  if (size < 0.0009995) return `${digits(value * 1e6)} µs`;
  if (size < 0.9995) return `${digits(value * 1e3)} ms`;
  if (size < 119.5) return `${digits(value)} s`;
  if (size < 7170) return `${Math.round(value / 60)} min`;
  if (size < 172800) return `${digits(value / 3600)} h`;
  return `${Math.round(value / 86400)} d`;
}

const pad = (number, length = 2) => String(number).padStart(length, '0');

// The viewer's local time of day. Takes milliseconds or RFC 3339.
export function clock(time) {
  const date = new Date(time);
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
}

export function ago(time, now = Date.now()) {
  return `${seconds(Math.max(0, Math.round((now - new Date(time).getTime()) / 1000)))} ago`;
}

// `ingress_gateway` in words.
export function words(label) {
  return label.replaceAll('_', ' ');
}
