import * as v from 'valibot';
import { described } from '../../jobs/described';
import { parseDocument } from '../../jobs/parse-document';
import { libraryEntrySchema } from '../language/library-file';
import { moduleModes } from '../../models/patch/graph-slots';
import { networkSizes } from '../module/network-sizes';
import { ravenModes } from '../raven/raven-data';
import { say } from '../../message';

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const positive = v.pipe(v.number(), v.integer(), v.minValue(1));
const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1));

export type NetworkSizeName = keyof typeof networkSizes;
export const networkSizeNames = Object.keys(networkSizes) as NetworkSizeName[];

/** What an evolution trains on. */
export const dataSettingsSchema = v.object({
  mode: v.picklist(ravenModes),
  seed: v.pipe(v.number(), v.integer()),
  train: positive,
  validation: positive,
  test: positive,
});

const settingsSchema = v.object({
  iterations: positive,
  /** Graphs of a population at most. */
  population: positive,
  /** Graphs whose programs stay and teach the library. */
  keep: positive,
  seed: v.pipe(v.number(), v.integer()),
  /** Programs that each search looks at. */
  programLimit: positive,
  size: v.picklist(networkSizeNames),
  mode: v.picklist(moduleModes),
  epochs: positive,
  /** Weights as the released code fits them. */
  legacyWeights: v.boolean(),
  /** Networks with a dense layer in place of a graph that are trained for comparison; none when absent. */
  baselines: v.optional(count),
  data: dataSettingsSchema,
});
/** What an evolution is started with. */
export type EvolutionSettings = v.InferOutput<typeof settingsSchema>;

const pair = v.pipe(v.tuple([count, count]), v.readonly());
const graphSchema = v.object({
  edges: v.pipe(v.array(v.pipe(v.tuple([pair, pair]), v.readonly())), v.readonly()),
  next_id: count,
  size: count,
  max_conn: count,
});

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
  /** Symbols of the program with its inventions replaced. */
  mass: count,
  metrics: metricsSchema,
  /** Whether its program stayed for the next iteration. */
  kept: v.boolean(),
});
/** A graph of a population and the network that was trained of it. */
export type ModelRecord = v.InferOutput<typeof modelSchema>;

const spreadSchema = v.object({
  mean: v.number(),
  deviation: v.nullable(v.number()),
  least: v.number(),
  most: v.number(),
});

const iterationSchema = v.object({
  /** The search that made the population. */
  exploration: v.object({ enumerated: count, added: count, replaced: count, total: count }),
  /** What it searched with. */
  library: v.array(libraryEntrySchema),
  models: v.array(modelSchema),
  /** Of the test accuracies. */
  spread: spreadSchema,
  /** Between the accuracies on the training and on the test data; null where one is the same for all. */
  correlation: v.nullable(v.number()),
  /** Inventions that the kept programs have taught. */
  learned: v.array(
    v.object({
      name: v.string(),
      term: v.string(),
      /** Cost that it took off the kept programs, less its own (stitch). */
      utility: v.number(),
    }),
  ),
});
/** What one round of searching, training and learning has given. */
export type IterationRecord = v.InferOutput<typeof iterationSchema>;

const linesSchema = v.object({ majority: share, shortcut: share });

export const evolutionSchema = v.object({
  format: described(v.literal('espalier.gssnn'), 'Marks the file as the log of an evolution'),
  version: described(v.literal(1), 'Version of the format'),
  settings: described(settingsSchema, 'What it was started with'),
  lines: described(
    v.object({ train: linesSchema, validation: linesSchema, test: linesSchema }),
    'Accuracies that need no look at the pictures',
  ),
  baselines: described(
    v.optional(v.array(metricsSchema)),
    'Networks with a dense layer in place of a graph',
  ),
  iterations: described(
    v.array(iterationSchema),
    'What each round of searching, training and learning found',
  ),
  best: described(
    v.object({ iteration: positive, model: positive, ...modelSchema.entries }),
    'The model that validates best',
  ),
  versions: described(v.object({ espalier: v.string() }), 'What made it'),
});
/** The document `*.gssnn.json`: what an evolution did and found. */
export type GssnnDocument = v.InferOutput<typeof evolutionSchema>;

/** @throws UserError naming the field at fault. */
export function parseGssnnDocument(text: string, file: string): GssnnDocument {
  return parseDocument(
    evolutionSchema,
    text,
    file,
    say`the log of an evolution of symbolic modules`,
  );
}
