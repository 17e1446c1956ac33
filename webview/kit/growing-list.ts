import type { RefObject } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';

/** So many take less than 50 ms to be drawn and laid out. */
const atOnce = 50;
/** How far below what is seen the next ones are drawn, in pixels. */
const ahead = 600;

interface GrowingList {
  /** How many items are drawn by now. */
  readonly shown: number;
  /** Of an element behind the last of them, in what scrolls. */
  readonly end: RefObject<HTMLDivElement | null>;
  /** Draws more than would be seen. */
  readonly showAtLeast: (count: number) => void;
}

/** Of a long list that scrolls, what is seen and a little more: the rest is drawn as the user comes near. */
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
