import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';

/** Content far below the top, drawn in a separate task after the top has been painted. */
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
