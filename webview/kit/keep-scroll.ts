/**
 * Restores the scroll position of an earlier page once the page is long enough, unless the user scrolls first.
 * @param scrolled receives the scroll position from then on
 */
export function keepScroll(wanted: number, scrolled: (top: number) => void): void {
  let isPending = wanted > 0;
  const settle = () => {
    isPending = false;
    observer.disconnect();
  };
  const observer = new ResizeObserver(() => {
    const { scrollHeight, clientHeight } = document.documentElement;
    if (scrollHeight - clientHeight < wanted) return;
    window.scrollTo({ top: wanted });
    settle();
  });
  if (isPending) {
    observer.observe(document.body);
    for (const event of ['wheel', 'keydown', 'pointerdown'] as const) {
      window.addEventListener(event, settle, { once: true, passive: true });
    }
  }
  document.addEventListener('scroll', () => {
    if (!isPending) scrolled(window.scrollY);
  });
}
