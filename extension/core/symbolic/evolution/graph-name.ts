import type { SymbolicGraph } from '../../models/patch/symbolic-graph';

/**
 * A name for people: complete graphs, paths, cycles and stars have their usual ones, others are told by their
 * nodes, edges and degrees. Several edges between the same nodes count once.
 */
export function graphName({ nodes, edges }: SymbolicGraph): string {
  const pairs = new Set(edges.map(({ ends: [a, b] }) => `${Math.min(a, b)} ${Math.max(a, b)}`));
  const degrees = nodes
    .map((node) => [...pairs].filter((pair) => pair.split(' ').includes(String(node))).length)
    .sort((a, b) => b - a);
  const [count, joined] = [nodes.length, pairs.size];
  const [most = 0] = degrees;
  if (joined === (count * (count - 1)) / 2) {
    return `K${count}`;
  }
  if (most <= 2) {
    return joined === count ? `C${count}` : `P${count}`;
  }
  return joined === count - 1 && most === count - 1
    ? `star ${count}`
    : `${count} nodes, ${joined} edges (${degrees.join(' ')})`;
}
