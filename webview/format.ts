import { locale } from './strings';

const whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat(locale, { maximumSignificantDigits: 3 });
const compact = new Intl.NumberFormat(locale, {
  notation: 'compact',
  maximumSignificantDigits: 3,
});
const percentage = new Intl.NumberFormat(locale, {
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
});

/** 1234 → 1,234 */
export function formatCount(value: number): string {
  return whole.format(value);
}

/** 4187264 → 4.19 M, with a space that does not break, as the host writes it */
export function formatCompact(value: number): string {
  return compact.format(value).replace(/(?=[A-Z])/, '\u00a0');
}

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** 5242880 → 5 MiB */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit: (typeof BYTE_UNITS)[number] = 'B';
  for (const larger of BYTE_UNITS.slice(1)) {
    if (value < 1024) break;
    value /= 1024;
    unit = larger;
  }
  return `${short.format(value)} ${unit}`;
}

const timeUnits = ['ns', 'µs', 'ms', 's'] as const;

/** Milliseconds: 0.000224 → 224 ns, 12.34 → 12.3 ms */
export function formatTime(milliseconds: number): string {
  const [smallest, ...larger] = timeUnits;
  let value = milliseconds * 1e6;
  let unit: (typeof timeUnits)[number] = smallest;
  for (const next of larger) {
    if (value < 999.5) break;
    value /= 1000;
    unit = next;
  }
  return `${short.format(value)} ${unit}`;
}

/** 0.2453 → 24.5 %, with a space that does not break, as the host writes it: one decimal, but for 0. */
export function formatPercent(fraction: number): string {
  if (fraction === 0) return '0\u00a0%';
  return Math.abs(fraction) < 0.0005
    ? '<0.1\u00a0%'
    : `${percentage.format(fraction * 100)}\u00a0%`;
}

/** Like formatPercent, without a trailing .0: 0.5 → 50 % */
export function formatShare(fraction: number): string {
  return formatPercent(fraction).replace('.0', '');
}

/** Three significant digits; small values as 1.23e-5. */
export function formatDistance(value: number): string {
  if (value === 0) return '0';
  return Math.abs(value) < 1e-3 ? value.toExponential(2) : short.format(value);
}

/** `0.0497 ± 0.0124`: the error has the places of the value, and at least one digit of its own. */
export function formatWithError(
  value: number,
  error: number,
  format: (value: number) => string = formatDistance,
): string {
  const text = format(value);
  if (text.startsWith('<')) return text;
  const places = /^-?\d+(?:\.(\d+))?$/.exec(text);
  if (places === null || error < 1e-6) return `${text} ± ${format(error)}`;
  const digits = Math.max(places[1]?.length ?? 0, -Math.floor(Math.log10(error)));
  return `${text} ± ${short.format(Number(error.toFixed(Math.min(9, digits))))}`;
}

/** At most two significant digits, for a grid cell: 0.012, 3.4, 1e-5. */
export function formatDistanceShort(value: number): string {
  if (value === 0) return '0';
  if (Math.abs(value) < 1e-3) return value.toExponential(0);
  return String(Number(value.toPrecision(2)));
}

const banded =
  (format: (value: number) => string) =>
  (value: number): string =>
    value !== 0 && Math.abs(value) < 1e-3 ? '<0.001' : format(value);

/** A distance in a row or a tile: what is next to nothing is said so; the details of its cell have the number. */
export const formatInRow = banded(formatDistance);

/** The same in a cell, with two digits. */
export const formatInCell = banded(formatDistanceShort);
