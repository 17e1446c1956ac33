/**
 * Trains the networks of one arm of the study in this process and prints the results as JSON:
 *
 *     node dist/bench-gssnn-study.cjs faithful|balanced ARM SEEDS JOURNAL
 *
 * Results in the journal are not trained again.
 */
import process from 'node:process';
import { seededRandom } from '../../extension/core/data/random';
import { unattended } from '../../extension/core/jobs/job';
import { Journal } from '../../extension/core/jobs/journal';
import {
  evolve,
  correlation,
  expectedBestScore,
  describeSpread,
} from '../../extension/core/symbolic/evolution/evolve';
import type { IterationRecord } from '../../extension/core/symbolic/evolution/gssnn-document';
import type { Spread } from '../../extension/core/symbolic/evolution/evolve';
import { createNetwork, networkSizes } from '../../extension/core/symbolic/module/network';
import type { Head } from '../../extension/core/symbolic/module/network';
import { trainNetwork } from '../../extension/core/symbolic/module/train-network';
import type { NetworkMetrics } from '../../extension/core/symbolic/module/train-network';
import { randomGraph } from '../../extension/core/symbolic/random-graph';
import { ravenModes } from '../../extension/core/symbolic/raven/raven-data';
import { drawSplits } from '../../extension/core/symbolic/raven/splits';
import type { RavenSplits } from '../../extension/core/symbolic/raven/splits';
import { stepKey } from '../../extension/core/training/dropout';

/** One trained network. */
interface Entry {
  readonly seed: number;
  readonly model: number;
  /** Program of a graph found by a search. */
  readonly program?: string;
  readonly metrics: NetworkMetrics;
}

/** Results of the networks of one kind. */
interface Row {
  readonly name: string;
  readonly networks: number;
  readonly train: number;
  readonly test: Spread;
  readonly correlation: number | null;
  /** Test accuracy of the network that validates best of {@link budget}, over the seeds. */
  readonly selected: Spread;
}

/** Networks from which the best is selected, of each seed. */
const budget = 6;
const epochs = 16;

const [, , modeName = '', arm = '', seedCount = '', path = ''] = process.argv;
const mode = ravenModes.find((known) => known === modeName) ?? 'faithful';
const seeds = Array.from({ length: Number(seedCount) }, (_, seed) => seed);
/** The same for all networks, as in the paper. */
const data = {
  ...{ mode, size: networkSizes.small.encoder.imageSize, seed: 0 },
  ...{ train: 128, validation: 600, test: 600 },
};

/** Trains networks that the journal does not have. */
class Bench {
  private readonly done: ReadonlyMap<string, Entry>;
  private constructor(
    private readonly journal: Journal<Entry>,
    public readonly splits: RavenSplits,
  ) {
    this.done = new Map(
      journal.replayed.map((entry) => [`${entry.seed}/${entry.model}`, entry] as const),
    );
  }

  public static async open(): Promise<Bench> {
    const identity = JSON.stringify({ arm, data, epochs });
    const journal = await Journal.open<Entry>(path, identity, (value) => value as Entry);
    return new Bench(journal, await drawSplits(data, unattended));
  }

  public async train(
    head: Head,
    key: number,
    what: Omit<Entry, 'metrics'>,
  ): Promise<NetworkMetrics> {
    const known = this.done.get(`${what.seed}/${what.model}`);
    if (known !== undefined && known.program === what.program) {
      return known.metrics;
    }
    const network = createNetwork(networkSizes.small, head, key);
    const plan = { epochs, seed: key };
    const { metrics } = await trainNetwork(network, this.splits, plan, unattended);
    await this.journal.append([{ ...what, metrics }]);
    return metrics;
  }
}

/** Graphs of 2 to 7 nodes, as the search finds them; up to 3 edges more than a tree has. */
function makeHead(key: number): Head {
  if (arm === 'random') {
    const random = seededRandom(key);
    const nodes = 2 + Math.floor(random() * 6);
    const graph = randomGraph(nodes, Math.floor(random() * 4), random);
    return { kind: 'graph', graph, mode: 'clean' };
  }
  return { kind: arm === 'mlp' ? 'mlp' : 'linear' };
}

async function controls(bench: Bench): Promise<Row[]> {
  const runs: NetworkMetrics[][] = [];
  for (const seed of seeds) {
    const metrics: NetworkMetrics[] = [];
    for (let model = 0; model < budget; model++) {
      const key = stepKey(seed, model);
      metrics.push(await bench.train(makeHead(key), key, { seed, model }));
    }
    runs.push(metrics);
  }
  return [makeRow(arm, runs)];
}

/** An evolution for each seed; a row for each iteration. */
async function synthesized(bench: Bench): Promise<Row[]> {
  const evolutions: (readonly IterationRecord[])[] = [];
  for (const seed of seeds) {
    const { iterations } = await evolve(
      {
        ...{ iterations: 3, population: 12, keep: 6, seed, programLimit: 1_000_000 },
        ...{ size: 'small', mode: 'clean', epochs, legacyWeights: false, data },
      },
      async ({ graph, number, seed: key, record: { program } }) => {
        const head: Head = { kind: 'graph', graph, mode: 'clean' };
        return bench.train(head, key, { seed, model: number, program });
      },
      unattended,
    );
    evolutions.push(iterations);
  }
  return [0, 1, 2].map((iteration) =>
    makeRow(
      `synthesized, iteration ${iteration + 1}`,
      evolutions.map((records) => records[iteration]?.models.map(({ metrics }) => metrics) ?? []),
    ),
  );
}

function makeRow(name: string, runs: readonly (readonly NetworkMetrics[])[]): Row {
  const all = runs.flat();
  const [trains, tests] = [all.map(({ train }) => train), all.map(({ test }) => test)];
  const selected = runs.map((run) =>
    expectedBestScore(
      run.map(({ validation, test }) => ({ validation, score: test })),
      budget,
    ),
  );
  return {
    ...{
      name,
      networks: all.length,
      train: describeSpread(trains).mean,
      test: describeSpread(tests),
    },
    correlation: correlation(trains, tests),
    selected: describeSpread(selected),
  };
}

async function main(): Promise<void> {
  const bench = await Bench.open();
  const rows = await (arm === 'synthesized' ? synthesized(bench) : controls(bench));
  const lines = bench.splits.test.lines;
  process.stdout.write(`${JSON.stringify({ lines, rows })}\n`);
}

void main();
