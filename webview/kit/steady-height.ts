import { useLayoutEffect, useRef } from 'preact/hooks';
import type { RefObject } from 'preact';

/**
 * Keeps a box as high as it was at its highest, at its present width: what is below it stays where it is while one
 * points from cell to cell.
 * @param isCounted whether its content now counts
 */
export function useSteadyHeight(isCounted: boolean): RefObject<HTMLDivElement | null> {
  const box = useRef<HTMLDivElement>(null);
  const known = useRef({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return;
    const width = element.clientWidth;
    if (width !== known.current.width) {
      known.current = { width, height: 0 };
      element.style.minHeight = '';
    }
    if (!isCounted || element.offsetHeight <= known.current.height) return;
    known.current.height = element.offsetHeight;
    element.style.minHeight = `${known.current.height}px`;
  });
  return box;
}
