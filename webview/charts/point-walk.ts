/** A place in a chart, in pixels from the left and from the top. */
export interface Place {
  readonly x: number;
  readonly y: number;
}

export const directions = ['ArrowRight', 'ArrowLeft', 'ArrowUp', 'ArrowDown'] as const;
export type Direction = (typeof directions)[number];

/** Number of the place that is nearest to a pixel, if one is within `reach`. */
export function nearestPlace(
  places: readonly Place[],
  { x, y }: Place,
  reach: number,
): number | undefined {
  let [nearest, best]: [number | undefined, number] = [undefined, reach];
  places.forEach((place, i) => {
    const distance = Math.hypot(place.x - x, place.y - y);
    if (distance <= best) [nearest, best] = [i, distance];
  });
  return nearest;
}

/**
 * Number of the next place in a direction: the nearest in the quarter of the chart that lies there, so
 * that every other place is in exactly one direction. Places that cover each other follow by number, to the right.
 */
export function nextPlace(
  places: readonly Place[],
  from: number,
  direction: Direction,
): number | undefined {
  const start = places[from];
  if (start === undefined) return places.length === 0 ? undefined : 0;
  let [next, best]: [number | undefined, number] = [undefined, Infinity];
  places.forEach((place, i) => {
    const [dx, dy] = [place.x - start.x, start.y - place.y];
    if (i === from || mainDirection(dx, dy, i > from) !== direction) return;
    // Overlapping points are visited in order, in reverse when moving left.
    const distance = Math.hypot(dx, dy);
    const isNearer = direction === 'ArrowLeft' ? distance <= best : distance < best;
    if (isNearer) [next, best] = [i, distance];
  });
  return next;
}

function mainDirection(dx: number, dy: number, isLater: boolean): Direction {
  if (dx === 0 && dy === 0) return isLater ? 'ArrowRight' : 'ArrowLeft';
  if (Math.abs(dx) >= Math.abs(dy)) return dx > 0 ? 'ArrowRight' : 'ArrowLeft';
  return dy > 0 ? 'ArrowUp' : 'ArrowDown';
}
