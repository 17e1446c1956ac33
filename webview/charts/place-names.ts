/** A point's name with the width of its text, in pixels. */
export interface PointName {
  readonly x: number;
  readonly y: number;
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
/** Half the size of a marker, and half the width next to which a name would seem to be that of the marker. */
const [markerRadius, clearance] = [5, 9];

/**
 * Places of names to the right, left, top or bottom of their points, without covering another name or a marker.
 * @returns undefined for names without such a place
 */
export function placeNames(
  names: readonly PointName[],
  markers: readonly { readonly x: number; readonly y: number }[],
  area: Box,
): (NamePlace | undefined)[] {
  const taken: Box[] = markers.map(({ x, y }) => ({
    ...{ left: x - clearance, right: x + clearance },
    ...{ top: y - markerRadius, bottom: y + markerRadius },
  }));
  return names.map(({ x, y, width }) => {
    const centered = Math.max(area.left, Math.min(area.right - width, x - width / 2));
    const places: readonly NamePlace[] = [
      { left: x + sideways, top: y },
      { left: x - sideways - width, top: y },
      { left: centered, top: y - above },
      { left: centered, top: y + above },
    ];
    const place = places.find((one) => {
      const box = nameBox(one, width);
      return isInside(box, area) && !taken.some((other) => overlaps(box, other));
    });
    if (place !== undefined) taken.push(nameBox(place, width));
    return place;
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
