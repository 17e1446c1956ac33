import { resolve } from 'node:path';
import * as v from 'valibot';
import { evolutionJournal } from '../jobs/work-folder';
import { moduleModes } from '../models/patch/graph-slots';
import type { EvolutionEvent } from '../symbolic/evolution/evolve';
import { networkSizeNames } from '../symbolic/evolution/gssnn-document';
import type { EvolutionSettings } from '../symbolic/evolution/gssnn-document';
import { synthesize as runEvolution } from '../symbolic/evolution/synthesize';
import type { SynthesisResult } from '../symbolic/evolution/synthesize';
import { ravenModes } from '../symbolic/raven/raven-data';
import { choice, flag, group, integer, path } from './fields';
import type { RequestOf } from './fields';
import { defineOperation } from './operation';
import type { OperationContext } from './operation';
import { atMost } from './rules';
import { createEngine, sharingFields, sharingRules } from './sharing';
import { say } from '../message';
import { formatPercent } from '../format';

const fields = {
  out: path({
    description: 'Folder of the log, the best network and the library',
    placeholder: 'DIR',
    required: true,
  }),
  ...group('Search', {
    iterations: integer({
      description: 'Rounds of searching, training and learning',
      default: 3,
      min: 1,
    }),
    population: integer({
      description: 'Maximum number of graphs trained in each round',
      default: 12,
      min: 1,
    }),
    keep: integer({
      description: 'Graphs whose programs are kept and added to the library',
      fallback: 'half of the population',
      min: 1,
    }),
    programs: integer({
      description: 'Programs per search',
      default: 1_000_000,
      min: 1,
    }),
    legacyWeights: flag({
      description: 'Fit the weights of the library as the released code does',
      default: false,
    }),
    seed: integer({ description: 'Seed of everything but the data', default: 0, min: 0 }),
  }),
  ...group('Networks', {
    size: choice(networkSizeNames, { description: 'Size of a network', default: 'small' }),
    module: choice(moduleModes, {
      description: 'Input of a graph; compat follows the released code',
      default: 'clean',
    }),
    epochs: integer({ description: 'Epochs of training a network', default: 16, min: 1 }),
    baselines: integer({
      description: 'Networks with a dense layer instead of a graph, trained for comparison',
      default: 0,
      min: 0,
    }),
  }),
  ...group('Data', {
    data: choice(ravenModes, {
      description: 'Images to train on; faithful as published, balanced without its shortcut',
      default: 'faithful',
    }),
    dataSeed: integer({ description: 'Seed of the images', default: 0, min: 0 }),
    train: integer({ description: 'Training examples', default: 128, min: 1 }),
    validation: integer({ description: 'Validation examples', default: 600, min: 1 }),
    test: integer({ description: 'Test examples', default: 600, min: 1 }),
    pictures: integer({
      description: 'Training examples to write as PNG files',
      default: 0,
      min: 0,
    }),
  }),
  ...sharingFields,
};

export const synthesize = defineOperation({
  id: 'synthesize',
  title: 'Synthesize Modules',
  verb: 'Synthesizing modules in',
  summary: 'Search for programs that build graphs, and train those as neural networks.',
  group: 'experimental',
  fields,
  rules: [atMost('keep', 'population'), atMost('pictures', 'train'), ...sharingRules],
  result: v.looseObject({
    iterations: v.array(v.looseObject({ models: v.array(v.looseObject({ program: v.string() })) })),
    best: v.looseObject({
      program: v.string(),
      train: v.number(),
      validation: v.number(),
      test: v.number(),
    }),
    files: v.looseObject({ log: v.string(), network: v.string(), library: v.string() }),
  }),
  trust: 'write',
  writesNextTo: ['evolution'],
  resume: ({ out }) => evolutionJournal(resolve(out)),
  run: async (request, context: OperationContext<EvolutionEvent>): Promise<SynthesisResult> => {
    const { out, pictures } = request;
    const { version } = context.environment;
    return runEvolution(
      { settings: evolutionSettings(request), out: resolve(out), pictures, version },
      context,
      createEngine(request, context.environment),
    );
  },
  toJson: ({ document, ...files }) => {
    const { iterations, lines, baselines, best } = document;
    const { metrics, ...model } = best;
    return { iterations, best: { ...model, ...metrics }, lines, baselines, files };
  },
  presentation: {
    panel: 'symbolic',
    document: 'out',
    outcome: ({ document: { best } }) => ({
      summary: say`the best module is ${best.name}, accuracy ${formatPercent(best.metrics.test)} on test data.`,
      shown: true,
    }),
  },
});

export type SynthesisRequest = RequestOf<typeof fields>;

/** Settings that determine the result; stored in the document of an evolution. */
export function evolutionSettings(request: SynthesisRequest): EvolutionSettings {
  const { iterations, population, seed, size, epochs, legacyWeights, baselines } = request;
  return {
    iterations,
    population,
    keep: request.keep ?? Math.ceil(population / 2),
    seed,
    programLimit: request.programs,
    size,
    mode: request.module,
    epochs,
    legacyWeights,
    ...(baselines === 0 ? {} : { baselines }),
    data: {
      mode: request.data,
      seed: request.dataSeed,
      train: request.train,
      validation: request.validation,
      test: request.test,
    },
  };
}
