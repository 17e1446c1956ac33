import type { FromPanel } from '../../extension/protocol/panel';

let send: ((message: FromPanel) => void) | undefined;

/** Lets images be saved by the host of the page. */
export function imagesGoTo(post: (message: FromPanel) => void): void {
  send = post;
}

/** Asks the host where to save an image. @param url its data, as a `data:` URL of a PNG */
export function saveImage(url: string): void {
  send?.({ type: 'image', png: url.slice(url.indexOf(',') + 1) });
}
