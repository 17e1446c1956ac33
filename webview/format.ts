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

/** Most numbers that are remembered. */
const MOST_NUMBERS = 20_000;

/** The same format, which writes each number once: labels of thousands of cells have the same ones. */
function remembered(format: (value: number) => string): (value: number) => string {
  const known = new Map<number, string>();
  return (value) => {
    const before = known.get(value);
    if (before !== undefined) return before;
    const text = format(value);
    if (known.size < MOST_NUMBERS) known.set(value, text);
    return text;
  };
}

/** 1234 → 1,234 */
export const formatCount = remembered((value) => whole.format(value));

/**
 * 4187264 → 4.19 M, with a space that does not break, as the host writes it
 * @param like gives the unit, as for {@link formatBytes}
 */
export function formatCompact(value: number, like = value): string {
  const parts = compact.formatToParts(like);
  const numberTypes = new Set(['integer', 'decimal', 'fraction']);
  const number = parts.filter(({ type }) => numberTypes.has(type)).map((part) => part.value);
  const shown = Number(number.join(''));
  const factor = shown === 0 ? 1 : 10 ** Math.round(Math.log10(Math.abs(like) / shown));
  const unit = parts.find(({ type }) => type === 'compact')?.value ?? '';
  return `${short.format(value / factor)}${/^[A-Z]/.test(unit) ? '\u00a0' : ''}${unit}`;
}

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/**
 * 5242880 → 5 MiB
 * @param like gives the unit, for numbers that stand together
 */
export function formatBytes(bytes: number, like = bytes): string {
  const found = BYTE_UNITS.findLastIndex((_, power) => like >= 1024 ** power);
  const power = Math.max(0, found);
  return `${short.format(bytes / 1024 ** power)} ${BYTE_UNITS[power] ?? ''}`;
}

const timeUnits = ['ns', 'µs', 'ms', 's'] as const;

/**
 * Milliseconds: 0.000224 → 224 ns, 12.34 → 12.3 ms
 * @param like gives the unit, as for {@link formatBytes}
 */
export function formatTime(milliseconds: number, like = milliseconds): string {
  const found = timeUnits.findLastIndex((_, power) => like * 1e6 >= 0.9995 * 1000 ** power);
  const power = Math.max(0, found);
  return `${short.format((milliseconds * 1e6) / 1000 ** power)} ${timeUnits[power] ?? ''}`;
}

/** 0.2453 → 24.5 %, with a space that does not break, as the host writes it: one decimal, but for 0. */
export const formatPercent = remembered((fraction) => {
  if (fraction === 0) return '0\u00a0%';
  return Math.abs(fraction) < 0.0005
    ? '<0.1\u00a0%'
    : `${percentage.format(fraction * 100)}\u00a0%`;
});

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
export function formatWithError(value: number, error: number): string {
  const text = formatDistance(value);
  const places = /^-?\d+(?:\.(\d+))?$/.exec(text);
  if (places === null || error < 1e-6) return `${text} ± ${formatDistance(error)}`;
  const digits = Math.max(places[1]?.length ?? 0, -Math.floor(Math.log10(error)));
  return `${text} ± ${short.format(Number(error.toFixed(Math.min(9, digits))))}`;
}

/** At most two significant digits, for a grid cell: 0.012, 3.4, 1e-5. */
export function formatDistanceShort(value: number): string {
  if (value === 0) return '0';
  if (Math.abs(value) < 1e-3) return value.toExponential(0);
  return String(Number(value.toPrecision(2)));
}
