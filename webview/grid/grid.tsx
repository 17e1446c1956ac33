import type { VNode } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { BlockGrid } from './block-grid';
import type { GridItem, GridOptions } from './block-grid';

type GridProps<Item extends GridItem> = Omit<GridOptions<Item>, 'clicked' | 'pressed'> &
  Partial<Pick<GridOptions<Item>, 'clicked' | 'pressed'>> & {
    readonly items: readonly Item[];
    /** In the order in which a block's are shown. */
    readonly lines: readonly string[];
    /** Data that cells depend on besides their items. */
    readonly context?: unknown;
    readonly scrolled?: (left: number) => void;
  };

/** Blocks against lines; see {@link BlockGrid}, which draws itself since it may have thousands of cells. */
export function Grid<Item extends GridItem>(props: GridProps<Item>): VNode {
  const { items, lines, context } = props;
  const place = useRef<HTMLDivElement>(null);
  const grid = useRef<BlockGrid<Item>>(null);
  const latest = useRef(props);
  latest.current = props;
  useLayoutEffect(() => {
    const made = new BlockGrid<Item>({
      ...props,
      draw: (...cell) => {
        latest.current.draw(...cell);
      },
      pointed: (id) => {
        latest.current.pointed(id);
      },
      clicked: (item) => {
        latest.current.clicked?.(item);
      },
      pressed: (event, item) => latest.current.pressed?.(event, item) ?? false,
    });
    made.element.addEventListener('scroll', () => {
      latest.current.scrolled?.(made.element.scrollLeft);
    });
    place.current?.append(made.element);
    grid.current = made;
  }, []);
  useLayoutEffect(() => {
    grid.current?.update(items, lines, context);
  }, [items, lines, context]);
  return <div ref={place} />;
}
