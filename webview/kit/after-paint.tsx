import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';

/** What lies far below is drawn once the top of the page has been painted. */
export function AfterPaint({ children }: { readonly children: ComponentChildren }): VNode | null {
  return useGradually(1) > 0 ? <>{children}</> : null;
}

/** How many of some parts are drawn by now: each in a task of its own, the first once the page has been painted. */
export function useGradually(parts: number): number {
  const [drawn, setDrawn] = useState(0);
  useEffect(() => {
    if (drawn >= parts) return undefined;
    const timer = setTimeout(() => {
      setDrawn(drawn + 1);
    });
    return () => {
      clearTimeout(timer);
    };
  }, [drawn, parts]);
  return drawn;
}
