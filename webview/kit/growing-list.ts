import type { RefObject } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';

/** Number of items that are drawn and laid out in less than 50 ms. */
const atOnce = 50;
/** Distance below the visible area at which the next items are drawn, in pixels. */
const ahead = 600;

interface GrowingList {
  /** Number of drawn items. */
  readonly shown: number;
  /** Element after the last drawn item, in the scrolling container. */
  readonly end: RefObject<HTMLDivElement | null>;
  /** Draws more than would be seen. */
  readonly showAtLeast: (count: number) => void;
}

/** Visible part of a long list, and a little more: the rest is drawn as the user scrolls. */
export function useGrowingList(total: number): GrowingList {
  const [most, setMost] = useState(atOnce);
  const end = useRef<HTMLDivElement>(null);
  const shown = Math.min(most, total);
  useEffect(() => {
    const element = end.current;
    if (element === null || shown === total) return undefined;
    const observer = new IntersectionObserver(
      (entries) => {
        if (entries.some(({ isIntersecting }) => isIntersecting)) setMost(shown + atOnce);
      },
      { root: element.parentElement, rootMargin: `${ahead}px` },
    );
    observer.observe(element);
    return () => {
      observer.disconnect();
    };
  }, [shown, total]);
  const showAtLeast = (count: number) => {
    setMost(Math.max(most, count));
  };
  return { shown, end, showAtLeast };
}
