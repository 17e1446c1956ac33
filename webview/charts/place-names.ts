interface Point {
  readonly x: number;
  readonly y: number;
}

/** A point's name with the width of its text, in pixels. */
export interface PointName extends Point {
  readonly width: number;
}

/** Left end and vertical middle of a drawn name. */
export interface NamePlace {
  readonly left: number;
  readonly top: number;
}

interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

const lineHeight = 13;
/** Distance of a name from the center of its point, horizontally and vertically. */
const [sideways, above] = [9, 13];
/** Horizontal distance of a name above or below its point. */
const corner = 4;
/** Half the size of a marker, and half the width next to which a name would seem to be that of the marker. */
const [markerRadius, clearance] = [5, 9];

/** Distance between the boxes that cover a line, and half their size. */
const [lineStep, lineRadius] = [4, 2];

/**
 * Places of names next to their points, without covering another name or a marker, and without a line through them if
 * there is such a place.
 * @param lines polylines
 * @returns undefined for names without a place
 */
export function placeNames(
  names: readonly PointName[],
  markers: readonly Point[],
  area: Box,
  lines: readonly (readonly Point[])[] = [],
): (NamePlace | undefined)[] {
  const crossed = lines.flatMap(lineBoxes);
  const taken: Box[] = markers.map(({ x, y }) => ({
    ...{ left: x - clearance, right: x + clearance },
    ...{ top: y - markerRadius, bottom: y + markerRadius },
  }));
  // A name of a point at the edge may reach beyond it.
  const room = { ...area, top: area.top - lineHeight / 2 };
  return names.map(({ x, y, width }) => {
    const centered = Math.max(area.left, Math.min(area.right - width, x - width / 2));
    const places: readonly NamePlace[] = [
      { left: x + sideways, top: y },
      { left: x - sideways - width, top: y },
      { left: centered, top: y - above },
      { left: centered, top: y + above },
      { left: x + corner, top: y - above },
      { left: x + corner, top: y + above },
      { left: x - corner - width, top: y - above },
      { left: x - corner - width, top: y + above },
    ];
    const free = places.filter((one) => {
      const box = nameBox(one, width);
      return isInside(box, room) && !taken.some((other) => overlaps(box, other));
    });
    const place =
      free.find((one) => !crossed.some((other) => overlaps(nameBox(one, width), other))) ?? free[0];
    if (place !== undefined) taken.push(nameBox(place, width));
    return place;
  });
}

/** Small boxes along a polyline. */
function lineBoxes(points: readonly Point[]): Box[] {
  return points.slice(1).flatMap((end, i) => {
    const start = points[i] ?? end;
    const steps = Math.max(1, Math.ceil(Math.hypot(end.x - start.x, end.y - start.y) / lineStep));
    return Array.from({ length: steps + 1 }, (_, step) => {
      const x = start.x + ((end.x - start.x) * step) / steps;
      const y = start.y + ((end.y - start.y) * step) / steps;
      return {
        ...{ left: x - lineRadius, right: x + lineRadius },
        ...{ top: y - lineRadius, bottom: y + lineRadius },
      };
    });
  });
}

const nameBox = ({ left, top }: NamePlace, width: number): Box => ({
  ...{ left, right: left + width, top: top - lineHeight / 2, bottom: top + lineHeight / 2 },
});

const isInside = (box: Box, area: Box): boolean =>
  box.left >= area.left &&
  box.right <= area.right &&
  box.top >= area.top &&
  box.bottom <= area.bottom;

const overlaps = (a: Box, b: Box): boolean =>
  a.left < b.right && a.right > b.left && a.top < b.bottom && a.bottom > b.top;
