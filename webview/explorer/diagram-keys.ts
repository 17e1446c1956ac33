import type { DiagramNode } from './types';

type KeyAction =
  | { readonly kind: 'focus'; readonly node: DiagramNode | undefined }
  | { readonly kind: 'toggle' | 'zoomIn' | 'zoomOut' | 'fit' };

/** Action of a key on a box of the diagram; undefined if it has none. */
export function keyAction(
  key: string,
  nodes: readonly DiagramNode[],
  node: DiagramNode | undefined,
): KeyAction | undefined {
  const at = node === undefined ? -1 : nodes.indexOf(node);
  const focus = (to: DiagramNode | undefined): KeyAction => ({ kind: 'focus', node: to });
  switch (key) {
    case 'ArrowDown':
      return focus(nodes[Math.min(at + 1, nodes.length - 1)]);
    case 'ArrowUp':
      return focus(nodes[Math.max(at - 1, 0)]);
    case 'Home':
      return focus(nodes[0]);
    case 'End':
      return focus(nodes.at(-1));
    case 'ArrowRight':
      if (node?.expanded === false) return { kind: 'toggle' };
      return focus(node?.frame === true ? nodes[at + 1] : undefined);
    case 'ArrowLeft':
      if (node?.expanded === true) return { kind: 'toggle' };
      return focus(nodes.find(({ id }) => id === node?.parent));
    case 'Enter':
    case ' ':
      return { kind: 'toggle' };
    case '+':
      return { kind: 'zoomIn' };
    case '-':
      return { kind: 'zoomOut' };
    case '0':
      return { kind: 'fit' };
    default:
      return undefined;
  }
}
