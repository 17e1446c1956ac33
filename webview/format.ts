import { locale } from './strings';
import { t } from './translate';

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

/** 0.2453 → 24.5 %, with a space that does not break, as the host writes it */
export function formatPercent(fraction: number): string {
  return `${percentage.format(fraction * 100)}\u00a0%`;
}

/** Three significant digits; small values as 1.23e-5. */
export function formatDistance(value: number): string {
  if (value === 0) return '0';
  return Math.abs(value) < 1e-3 ? value.toExponential(2) : short.format(value);
}

/** At most two significant digits, for a grid cell: 0.012, 3.4, 1e-5. */
export function formatDistanceShort(value: number): string {
  if (value === 0) return '0';
  if (Math.abs(value) < 1e-3) return value.toExponential(0);
  return String(Number(value.toPrecision(2)));
}

/** A distance in a cell: what is next to nothing is said so; its details have the number. */
export const formatInCell = (value: number): string =>
  value !== 0 && Math.abs(value) < 1e-3 ? '<0.001' : formatDistanceShort(value);

/** Seconds as under 1 s, 45 s, 3 min 20 s or 2 h 5 min. */
export function formatDuration(seconds: number): string {
  if (seconds < 1) return t('under 1 s');
  const rounded = Math.round(seconds);
  if (rounded < 60) return `${rounded} s`;
  if (rounded < 3600) return `${Math.floor(rounded / 60)} min ${rounded % 60} s`;
  return `${Math.floor(rounded / 3600)} h ${Math.floor((rounded % 3600) / 60)} min`;
}
