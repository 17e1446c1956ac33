import type { VNode } from 'preact';

const shapes = {
  lock: 'M5 7V5a3 3 0 0 1 6 0v2h.5c.83 0 1.5.67 1.5 1.5v4c0 .83-.67 1.5-1.5 1.5h-7A1.5 1.5 0 0 1 3 12.5v-4C3 7.67 3.67 7 4.5 7H5Zm1.5 0h3V5a1.5 1.5 0 0 0-3 0v2Z',
  /** Two nodes and the edge between them. */
  graph:
    'M4 8.5a3 3 0 1 0 2.24 5l4.2-4.2-1.06-1.06-.12.12L5.7 11.9A3 3 0 0 0 4 8.5Zm8-7a3 3 0 1 0 0 6 3 3 0 0 0 0-6ZM6.1 10.84l3.7-3.7 1.06 1.06-3.7 3.7Z',
  descending: 'M8 11.5 3.5 6h9L8 11.5Z',
  ascending: 'M8 4.5 12.5 10h-9L8 4.5Z',
  warning:
    'M7.56 1.25a.5.5 0 0 1 .88 0l6.5 12a.5.5 0 0 1-.44.75h-13a.5.5 0 0 1-.44-.750l6.5-12ZM7.25 6v4h1.5V6h-1.5Zm0 5v1.5h1.5V11h-1.5Z',
} as const;

export type IconName = keyof typeof shapes;

export function Icon({ name }: { readonly name: IconName }): VNode {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={shapes[name]} fill="currentColor" />
    </svg>
  );
}
