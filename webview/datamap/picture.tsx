import type { VNode } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { Content } from './types';

interface PictureProps {
  readonly content: Extract<Content, { kind: 'picture' }>;
  readonly label: string;
}

/** Pixels in a canvas: the panel's policy lets no picture be loaded. */
export function Picture({ content: { width, height, pixels }, label }: PictureProps): VNode {
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    const context = canvas.current?.getContext('2d');
    context?.putImageData(new ImageData(decodeRgba(pixels, width * height), width, height), 0, 0);
  }, [pixels, width, height]);
  // Small pictures are enlarged as they are; large ones are smoothed.
  const size = Math.max(width, height) <= 64 ? 'picture small' : 'picture';
  return (
    <canvas ref={canvas} class={size} width={width} height={height} role="img" aria-label={label} />
  );
}

/** Red, green and blue in base64 with the alpha that a canvas takes. */
export function decodeRgba(pixels: string, count: number): Uint8ClampedArray<ArrayBuffer> {
  const bytes = atob(pixels);
  const rgba = new Uint8ClampedArray(count * 4);
  for (let i = 0; i < count; i++) {
    for (let channel = 0; channel < 3; channel++) {
      rgba[i * 4 + channel] = bytes.charCodeAt(i * 3 + channel);
    }
    rgba[i * 4 + 3] = 255;
  }
  return rgba;
}
