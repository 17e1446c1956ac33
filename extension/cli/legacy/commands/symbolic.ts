import { resolve } from 'node:path';
import { evaluateProgram } from '../../../core/symbolic/evaluation/evaluate-program';
import { Machine } from '../../../core/symbolic/evaluation/machine';
import type { SymbolicGraph } from '../../../core/models/patch/symbolic-graph';
import { graphToJson } from '../../../core/symbolic/graph-json';
import { initialLibrary } from '../../../core/symbolic/language/library';
import type { Library } from '../../../core/symbolic/language/library';
import { readLibrary } from '../../../core/symbolic/language/library-file';
import { reducedMass } from '../../../core/symbolic/language/mass';
import { parseProgram } from '../../../core/symbolic/language/parse-program';
import { Rejection } from '../../../core/symbolic/language/rejection';
import { sizeOf } from '../../../core/symbolic/language/term';
import type { Term } from '../../../core/symbolic/language/term';
import { enumerateBySize } from '../../../core/symbolic/search/enumerate-by-size';
import { UsageError } from '../command';
import type { Arguments, Command, CommandContext } from '../command';
import { printTable } from '../../table';
import { required, wholeNumber } from '../training-options';

export const symbolic: Command = {
  name: 'symbolic',
  usage: `evaluate PROGRAM [--library FILE] [--json]
espalier symbolic enumerate --max-size N [--library FILE] [--json]

  evaluate   shows the graph that a program builds, or why it builds none
  enumerate  counts all programs up to a size, those whose graph is kept, and graphs that differ

A program is written (push (add (connect identity))). A library adds inventions to the ten primitives: next_port,
prev_port, push, move, add, connect, pop, func, if_positions_equal and identity (docs/gssnn.md).`,
  summary: 'Evaluate or enumerate the programs that build symbolic modules.',
  options: {
    library: { type: 'string' },
    'max-size': { type: 'string' },
    json: { type: 'boolean' },
  },
  run: async (args, context) => {
    const [action, ...operands] = args.positionals;
    if (action === 'evaluate') {
      const [program, ...others] = operands;
      if (program === undefined || others.length > 0) {
        throw new UsageError('Give one program, in quotes.');
      }
      await evaluate(program, args, context);
    } else if (action === 'enumerate') {
      await enumerate(args, context);
    } else {
      throw new UsageError('Say what to do: evaluate or enumerate.');
    }
  },
};

async function libraryOf(args: Arguments): Promise<Library> {
  const file = args.text('library');
  return file === undefined ? initialLibrary() : readLibrary(resolve(file));
}

async function evaluate(
  text: string,
  args: Arguments,
  { terminal }: CommandContext,
): Promise<void> {
  const library = await libraryOf(args);
  const json = args.flag('json');
  try {
    const program = parseProgram(text, library);
    const graph = evaluateProgram(program, new Machine(library));
    if (json) {
      terminal.print(JSON.stringify(graphToJson(graph)));
    } else {
      terminal.print(describe(program, graph, library));
    }
  } catch (error) {
    if (!(error instanceof Rejection)) {
      throw error;
    }
    const { reason, message, position } = error;
    terminal.print(
      json ? JSON.stringify({ rejected: reason, message, position }) : `Rejected: ${message}`,
    );
  }
}

/** `0 ─ 1, 3` for every node: its neighbours at ascending ports. */
function describe(program: Term, { nodes, edges }: SymbolicGraph, library: Library): string {
  const lines = nodes.map((node) => {
    const neighbours = edges
      .filter(({ ends }) => ends.includes(node))
      .sort((a, b) => a.port - b.port)
      .map(({ ends: [a, b], port }) => `${a === node ? b : a} (port ${port})`);
    return `  ${node} ─ ${neighbours.join(', ')}`;
  });
  return [
    `${nodes.length} nodes, ${edges.length} edges; size ${sizeOf(program)}, mass ${reducedMass(program, library)}`,
    ...lines,
  ].join('\n');
}

async function enumerate(args: Arguments, { terminal, job }: CommandContext): Promise<void> {
  if (args.positionals.length > 1) {
    throw new UsageError(`"${args.positionals[1] ?? ''}" is one argument too many.`);
  }
  required(args, 'max-size');
  const maxSize = wholeNumber(args, 'max-size', 1);
  const table = await enumerateBySize(await libraryOf(args), maxSize, job);
  if (args.flag('json')) {
    terminal.print(JSON.stringify(table));
    return;
  }
  printTable(
    terminal,
    ['size', 'programs', 'kept', 'distinct graphs so far'],
    table.programs.map((programs, index) => [
      String(index + 1),
      ...[programs, table.kept[index], table.distinctGraphs[index]].map(String),
    ]),
  );
}
