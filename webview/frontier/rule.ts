/** Stops that a press of Page Up or Page Down moves by. */
const page = 10;

/** Index of the stop nearest to a size; undefined if there is none. */
export function nearestStop(stops: readonly number[], size: number): number | undefined {
  let nearest: number | undefined;
  for (const [i, stop] of stops.entries()) {
    if (nearest === undefined || Math.abs(stop - size) < Math.abs((stops[nearest] ?? 0) - size)) {
      nearest = i;
    }
  }
  return nearest;
}

/** Index of the stop that a key moves to from another; undefined if the key doesn't move. */
export function moveRule(stops: readonly number[], from: number, key: string): number | undefined {
  const sorted = [...stops.keys()].sort((a, b) => (stops[a] ?? 0) - (stops[b] ?? 0));
  const last = sorted.length - 1;
  const place = sorted.indexOf(from);
  const places: Readonly<Partial<Record<string, number>>> = {
    ArrowRight: place + 1,
    ArrowUp: place + 1,
    ArrowLeft: place - 1,
    ArrowDown: place - 1,
    PageUp: place + page,
    PageDown: place - page,
    Home: 0,
    End: last,
  };
  const next = places[key];
  return next === undefined ? undefined : sorted[Math.min(last, Math.max(0, next))];
}
