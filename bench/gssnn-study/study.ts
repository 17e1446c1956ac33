/**
 * Trains the networks of the study in this process and prints their accuracies as JSON:
 *
 *     node dist/bench-gssnn-study.cjs MODE ARM SEEDS MODELS JOURNAL
 *
 * What the journal has is not trained again.
 */
import process from 'node:process';
import { seededRandom } from '../../extension/core/data/random';
import { unattended } from '../../extension/core/jobs/job';
import { Journal } from '../../extension/core/jobs/journal';
import { createNetwork, networkSizes } from '../../extension/core/symbolic/module/network';
import type { Head } from '../../extension/core/symbolic/module/network';
import { trainNetwork } from '../../extension/core/symbolic/module/train-network';
import type { NetworkMetrics } from '../../extension/core/symbolic/module/train-network';
import { randomGraph } from '../../extension/core/symbolic/random-graph';
import { drawSplits } from '../../extension/core/symbolic/raven/splits';
import { ravenModes } from '../../extension/core/symbolic/raven/raven-data';
import { stepKey } from '../../extension/core/training/dropout';

interface Entry {
  readonly seed: number;
  readonly model: number;
  readonly metrics: NetworkMetrics;
}

const [, , modeName, arm = '', seeds = '10', models = '6', path = ''] = process.argv;
const mode = ravenModes.find((known) => known === modeName) ?? 'faithful';
/** The same for all networks, as in the paper. */
const data = {
  ...{ mode, size: networkSizes.small.encoder.imageSize, seed: 0 },
  ...{ train: 128, validation: 600, test: 600 },
};
const epochs = 16;

/** Graphs of 2 to 7 nodes, as the search finds them; up to 3 edges more than a tree has. */
function headOf(key: number): Head {
  const random = seededRandom(key);
  switch (arm) {
    case 'baseline':
      return { kind: 'linear' };
    case 'mlp':
      return { kind: 'mlp' };
    default: {
      const nodes = 2 + Math.floor(random() * 6);
      const graph = randomGraph(nodes, Math.floor(random() * 4), random);
      return { kind: 'graph', graph, mode: 'clean' };
    }
  }
}

async function main(): Promise<void> {
  const identity = JSON.stringify({ arm, data, epochs });
  const journal = await Journal.open<Entry>(path, identity, (value) => value as Entry);
  const done = new Map(journal.replayed.map((entry) => [`${entry.seed}/${entry.model}`, entry]));
  const splits = drawSplits(data);
  const entries: Entry[] = [];
  for (let seed = 0; seed < Number(seeds); seed++) {
    for (let model = 0; model < Number(models); model++) {
      const known = done.get(`${seed}/${model}`);
      if (known !== undefined) {
        entries.push(known);
        continue;
      }
      const key = stepKey(seed, model);
      const network = createNetwork(networkSizes.small, headOf(key), key);
      const { metrics } = await trainNetwork(network, splits, { epochs, seed: key }, unattended);
      const entry = { seed, model, metrics };
      await journal.append([entry]);
      entries.push(entry);
    }
  }
  const { validation, test } = splits;
  const lines = { validation: validation.lines, test: test.lines };
  process.stdout.write(`${JSON.stringify({ mode, arm, lines, entries })}\n`);
}

void main();
