import { decode, encode } from 'fast-png';

/** Rectangle of a PNG with 8 bits per channel, in pixels; its edges are rounded. */
export function cropPng(
  png: Uint8Array,
  box: {
    readonly x: number;
    readonly y: number;
    readonly width: number;
    readonly height: number;
  },
): Uint8Array {
  const { width, data, channels } = decode(png);
  const [left, top] = [Math.round(box.x), Math.round(box.y)];
  const [right, bottom] = [Math.round(box.x + box.width), Math.round(box.y + box.height)];
  const rows = Array.from({ length: bottom - top }, (_, row) =>
    data.subarray(
      ((top + row) * width + left) * channels,
      ((top + row) * width + right) * channels,
    ),
  );
  return encode({
    ...{ width: right - left, height: bottom - top, channels },
    data: Uint8Array.from(rows.flatMap((row) => [...row])),
  });
}
