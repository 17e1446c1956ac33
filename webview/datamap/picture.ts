import { h } from '../dom';
import type { Content } from './types';

type Picture = Extract<Content, { kind: 'picture' }>;

/** Draws pixels into a canvas: the panel's policy lets no picture be loaded. */
export function pictureOf({ width, height, pixels }: Picture, label: string): HTMLCanvasElement {
  const canvas = h('canvas', { width, height, role: 'img', 'aria-label': label, class: 'picture' });
  // Small pictures are enlarged as they are; large ones are smoothed.
  canvas.classList.toggle('small', Math.max(width, height) <= 64);
  const context = canvas.getContext('2d');
  context?.putImageData(new ImageData(rgbaOf(pixels, width * height), width, height), 0, 0);
  return canvas;
}

/** Red, green and blue in base64 with the alpha that a canvas takes. */
export function rgbaOf(pixels: string, count: number): Uint8ClampedArray<ArrayBuffer> {
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
