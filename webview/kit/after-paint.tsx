import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';

/** What lies far below is drawn in a task of its own, once the top of the page has been painted. */
export function AfterPaint({ children }: { readonly children: ComponentChildren }): VNode | null {
  const [isPainted, setPainted] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => {
      setPainted(true);
    });
    return () => {
      clearTimeout(timer);
    };
  }, []);
  return isPainted ? <>{children}</> : null;
}
