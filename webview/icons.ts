import { svg } from './dom';

function icon(...paths: readonly string[]): SVGSVGElement {
  return svg(
    'svg',
    { class: 'icon', viewBox: '0 0 16 16', 'aria-hidden': 'true', focusable: 'false' },
    ...paths.map((d) => svg('path', { d, fill: 'currentColor' })),
  );
}

export function warningIcon(): SVGSVGElement {
  return icon(
    'M7.56 1.25a.5.5 0 0 1 .88 0l6.5 12a.5.5 0 0 1-.44.75h-13a.5.5 0 0 1-.44-.750l6.5-12ZM7.25 6v4h1.5V6h-1.5Zm0 5v1.5h1.5V11h-1.5Z',
  );
}
