import type { SymbolicGraph } from '../../core/models/patch/symbolic-graph';
import type { BuiltGraph, RejectedProgram } from '../../core/operations/symbolic-evaluate';
import type { SizeTable } from '../../core/symbolic/search/enumerate-by-size';
import type { Presenter } from '../presenter';
import { printTable } from '../table';

export const symbolicEvaluate: Presenter<BuiltGraph | RejectedProgram> = {
  options: {},
  print: (result, { terminal }) => {
    if ('rejected' in result) {
      terminal.print(`Rejected: ${result.message}`);
      return;
    }
    const { graph, size, mass } = result;
    const { nodes, edges } = graph;
    terminal.print(`${nodes.length} nodes, ${edges.length} edges; size ${size}, mass ${mass}`);
    for (const node of nodes) {
      terminal.print(`  ${node} ─ ${describeNeighbors(node, graph)}`);
    }
  },
};

export const symbolicEnumerate: Presenter<SizeTable> = {
  options: {},
  print: ({ programs, kept, distinctGraphs }, { terminal }) => {
    printTable(
      terminal,
      ['size', 'programs', 'kept', 'distinct graphs so far'],
      programs.map((count, index) =>
        [index + 1, count, kept[index], distinctGraphs[index]].map(String),
      ),
    );
  },
};

/** `1 (port 0), 3 (port 1)`, at ascending ports. */
function describeNeighbors(node: number, { edges }: SymbolicGraph): string {
  return edges
    .filter(({ ends }) => ends.includes(node))
    .sort((a, b) => a.port - b.port)
    .map(({ ends: [a, b], port }) => `${a === node ? b : a} (port ${port})`)
    .join(', ');
}
