import { resolve } from 'node:path';
import * as v from 'valibot';
import type { SymbolicGraph } from '../models/patch/symbolic-graph';
import { evaluateProgram, Machine } from '../symbolic/evaluation/machine';
import { graphToJson } from '../symbolic/random-graph';
import { initialLibrary } from '../symbolic/language/library';
import type { Library } from '../symbolic/language/library';
import { readLibrary } from '../symbolic/language/library-file';
import { reducedMass } from '../symbolic/language/reduce';
import { parseProgram } from '../symbolic/language/parse-term';
import { Rejection } from '../symbolic/language/rejection';
import { termSize } from '../symbolic/language/term';
import { path, text } from './fields';
import { defineOperation } from './operation';
import { say } from '../message';

/** A program and the graph that it builds. */
export interface BuiltGraph {
  readonly graph: SymbolicGraph;
  /** Symbols of the program. */
  readonly size: number;
  /** Symbols of the program with its inventions replaced. */
  readonly mass: number;
}

/** Reason that a program builds no graph. */
export interface RejectedProgram {
  readonly rejected: Rejection['reason'];
  readonly message: string;
  /** Position of the first invalid character. */
  readonly position?: number | undefined;
}

export const libraryField = path({
  description: 'Library whose inventions programs may call, as synthesize writes it',
  fallback: 'the ten primitives alone',
});

export const readLibraryOrDefault = async (file: string | undefined): Promise<Library> =>
  file === undefined ? initialLibrary() : readLibrary(resolve(file));

export const symbolicEvaluate = defineOperation({
  id: 'symbolic evaluate',
  title: 'Evaluate Program',
  verb: 'Evaluating',
  summary: 'Show the graph of a program, or why it has none.',
  group: 'experimental',
  fields: {
    program: text({
      description: 'Program such as "(push (add (connect identity)))", in quotes',
      placeholder: 'PROGRAM',
      positional: true,
      required: true,
      missing: say`Pass one program, in quotes.`,
    }),
    library: libraryField,
  },
  rules: [],
  result: v.union([
    v.looseObject({
      edges: v.array(v.tuple([v.array(v.number()), v.array(v.number())])),
      next_id: v.number(),
      size: v.number(),
      max_conn: v.number(),
    }),
    v.looseObject({ rejected: v.string(), message: v.string() }),
  ]),
  trust: 'inspect',
  run: async ({ program: written, library: file }): Promise<BuiltGraph | RejectedProgram> => {
    const library = await readLibraryOrDefault(file);
    try {
      const program = parseProgram(written, library);
      return {
        graph: evaluateProgram(program, new Machine(library)),
        size: termSize(program),
        mass: reducedMass(program, library),
      };
    } catch (error) {
      if (!(error instanceof Rejection)) {
        throw error;
      }
      const { reason, message, position } = error;
      return { rejected: reason, message, position };
    }
  },
  toJson: (result) => ('graph' in result ? graphToJson(result.graph) : result),
});
