/** Dragging the background scrolls the content. */
export function movedByDragging(scroller: HTMLElement): void {
  let from: { x: number; y: number; left: number; top: number } | undefined;
  scroller.addEventListener('pointerdown', ({ button, clientX, clientY, target }) => {
    const onBox = target instanceof Element && target.closest('[data-id]') !== null;
    if (button !== 0 || onBox) return;
    from = { x: clientX, y: clientY, left: scroller.scrollLeft, top: scroller.scrollTop };
  });
  scroller.addEventListener('pointermove', ({ clientX, clientY, buttons }) => {
    if (from === undefined || buttons === 0) {
      from = undefined;
      return;
    }
    scroller.scrollTo({ left: from.left + from.x - clientX, top: from.top + from.y - clientY });
  });
  scroller.addEventListener('pointerup', () => {
    from = undefined;
  });
}
