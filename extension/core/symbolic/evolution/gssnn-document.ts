import * as v from 'valibot';
import { described, parseDocument } from '../../jobs/parse-document';
import { libraryEntrySchema } from '../language/library-file';
import { moduleModes } from '../../models/patch/graph-slots';
import { networkSizes } from '../module/network';
import { ravenModes } from '../raven/raven-data';
import { say } from '../../message';

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const positive = v.pipe(v.number(), v.integer(), v.minValue(1));
const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1));

export type NetworkSizeName = keyof typeof networkSizes;
export const networkSizeNames = Object.keys(networkSizes) as NetworkSizeName[];

/** Training data of an evolution. */
export const dataSettingsSchema = v.object({
  mode: v.picklist(ravenModes),
  seed: v.pipe(v.number(), v.integer()),
  train: positive,
  validation: positive,
  test: positive,
});

const settingsSchema = v.object({
  iterations: positive,
  /** Maximum number of graphs in a population. */
  population: positive,
  /** Graphs whose programs are kept and used to extend the library. */
  keep: positive,
  seed: v.pipe(v.number(), v.integer()),
  /** Number of programs that each search enumerates. */
  programLimit: positive,
  size: v.picklist(networkSizeNames),
  mode: v.picklist(moduleModes),
  epochs: positive,
  /** True to fit weights like the released code. */
  legacyWeights: v.boolean(),
  /** Number of baseline networks with a dense layer instead of a graph; none by default. */
  baselines: v.optional(count),
  data: dataSettingsSchema,
});
/** Settings of an evolution. */
export type EvolutionSettings = v.InferOutput<typeof settingsSchema>;

const pair = v.pipe(v.tuple([count, count]), v.readonly());
const graphSchema = v.object({
  edges: v.pipe(v.array(v.pipe(v.tuple([pair, pair]), v.readonly())), v.readonly()),
  next_id: count,
  size: count,
  max_conn: count,
});

/** Accuracies of a network: shares from 0 to 1. */
export const metricsSchema = v.object({
  training: share,
  train: share,
  validation: share,
  test: share,
});

const modelSchema = v.object({
  /** Name of its graph. */
  name: v.string(),
  graph: graphSchema,
  program: v.string(),
  /** Symbols of the program with expanded inventions. */
  mass: count,
  metrics: metricsSchema,
  /** True if its program was kept for the next iteration. */
  kept: v.boolean(),
});
/** Graph of a population, with the network trained for it. */
export type ModelRecord = v.InferOutput<typeof modelSchema>;

const spreadSchema = v.object({
  mean: v.number(),
  deviation: v.nullable(v.number()),
  least: v.number(),
  most: v.number(),
});

const iterationSchema = v.object({
  /** Statistics of the search for the population. */
  exploration: v.object({ enumerated: count, added: count, replaced: count, total: count }),
  /** Library of the search. */
  library: v.array(libraryEntrySchema),
  models: v.array(modelSchema),
  /** Spread of the test accuracies. */
  spread: spreadSchema,
  /** Correlation of training and test accuracies; null if either is constant. */
  correlation: v.nullable(v.number()),
  /** Inventions learned from the kept programs. */
  learned: v.array(
    v.object({
      name: v.string(),
      term: v.string(),
      /** Cost saved in the kept programs, minus its own cost (stitch). */
      utility: v.number(),
    }),
  ),
});
/** Result of one round of searching, training and learning. */
export type IterationRecord = v.InferOutput<typeof iterationSchema>;

const linesSchema = v.object({ majority: share, shortcut: share });

export const evolutionSchema = v.object({
  format: described(v.literal('espalier.gssnn'), 'Marks the file as the log of an evolution'),
  version: described(v.literal(1), 'Version of the format'),
  settings: described(settingsSchema, 'Settings of the evolution'),
  lines: described(
    v.object({ train: linesSchema, validation: linesSchema, test: linesSchema }),
    'Accuracies that need no look at the pictures',
  ),
  baselines: described(
    v.optional(v.array(metricsSchema)),
    'Networks with a dense layer instead of a graph',
  ),
  iterations: described(
    v.array(iterationSchema),
    'Results of each round of searching, training and learning',
  ),
  best: described(
    v.object({ iteration: positive, model: positive, ...modelSchema.entries }),
    'The model that validates best',
  ),
  versions: described(v.object({ espalier: v.string() }), 'Version of Espalier'),
});
/** The document `*.gssnn.json`: settings and results of an evolution. */
export type GssnnDocument = v.InferOutput<typeof evolutionSchema>;

/**
 * Parses the text of a *.gssnn.json document.
 * @throws UserError that names the invalid field
 */
export function parseGssnnDocument(text: string, file: string): GssnnDocument {
  return parseDocument(
    evolutionSchema,
    text,
    file,
    say`the log of an evolution of symbolic modules`,
  );
}
