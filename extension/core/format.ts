const countUnits = ['', ' K', ' M', ' B', ' T'] as const;
const byteUnits = [' B', ' KiB', ' MiB', ' GiB', ' TiB'] as const;

function scaled(value: number, base: number, units: readonly string[]): string {
  let rest = value;
  let unit = 0;
  while (Math.abs(rest) >= base * 0.9995 && unit < units.length - 1) {
    rest /= base;
    unit++;
  }
  const digits = unit === 0 || Math.abs(rest) >= 99.95 ? 0 : Math.abs(rest) >= 9.995 ? 1 : 2;
  return `${rest.toFixed(digits)}${units[unit] ?? ''}`;
}

/** `3.42 M`: parameters, FLOPs, tokens. */
export const formatCount = (value: number): string => scaled(value, 1000, countUnits);

/** `6.84 MiB`. */
export const formatBytes = (bytes: number): string => scaled(bytes, 1024, byteUnits);

/** `96.1`, `812`, `5,554`: tokens per second. */
export const formatSpeed = (perSecond: number): string =>
  perSecond < 100 ? perSecond.toPrecision(3) : Math.round(perSecond).toLocaleString('en');

/** `24.6 %`, with a space that does not break. */
export const formatPercent = (fraction: number): string =>
  `${(fraction * 100).toFixed(Math.abs(fraction) >= 0.0995 ? 0 : 1)}\u00a0%`;

/** Relative change between two values: `+10 %`, `−24.6 %`, or `±0 %` if it rounds to zero. */
export function formatChange(before: number, after: number): string {
  const size = formatPercent(Math.abs(1 - after / before));
  return size.startsWith('0.0') ? '±0\u00a0%' : `${after > before ? '+' : '−'}${size}`;
}

/** `40 s`, `4 min`, `2 h 5 min`. */
export function formatDuration(seconds: number): string {
  if (seconds < 90) {
    return `${Math.max(1, Math.round(seconds))} s`;
  }
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Estimates of time may be off by this factor. */
const estimateFactor = 1.5;

/** Range of a job's duration from an estimate in seconds: `30–60 s`, `2–5 min`, `1 h 20 min – 3 h 0 min`. */
export function formatEstimate(seconds: number): string {
  const least = formatDuration(seconds / estimateFactor);
  const most = formatDuration(seconds * estimateFactor);
  const [number, unit, ...rest] = least.split(' ');
  return rest.length === 0 && most.endsWith(` ${unit}`) && most.split(' ').length === 2
    ? `${number}–${most}`
    : `${least} – ${most}`;
}

/** Relative error: `3.1e-7`, or `0` if nothing differs. */
export const formatError = (error: number): string => (error === 0 ? '0' : error.toExponential(1));

/** Three significant digits, small values as `2.90e-5`; `–` if none was measured. */
export function formatDistance(distance: number | null | undefined): string {
  if (distance === null || distance === undefined) {
    return '–';
  }
  return distance !== 0 && Math.abs(distance) < 1e-3
    ? distance.toExponential(2)
    : distance.toPrecision(3);
}
