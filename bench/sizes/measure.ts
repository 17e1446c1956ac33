// Runs an operation as the command line does, and prints what it reports as JSON lines, each with the seconds since the process
// started:
//     node measure.cjs OPERATION REQUEST.json SAMPLES DIST [CLOCK] [TRACE]
// CLOCK: wall, or processor for the processor time divided by the number of cores, which other processes change little.
// TRACE: file to which the work of a search over time is written.
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import process from 'node:process';
import { formatEstimate } from '../../extension/core/format';
import { Estimate, TimeLeft } from '../../extension/core/jobs/time-left';
import { costsFolder } from '../../extension/core/jobs/user-cache';
import { inEnglish } from '../../extension/core/message';
import { ModelCache } from '../../extension/core/models/model-cache';
import { buildRequest } from '../../extension/core/operations/build-request';
import type { AnyOperation } from '../../extension/core/operations/operation';
import { operations } from '../../extension/core/operations/operations';
import { runOperation } from '../../extension/core/operations/run-operation';
import type { LayerProfile, ProfileEvent } from '../../extension/core/prune/layer-profile';
import { SearchRecorder } from './record-search';

const [id = '', requestFile = '', samples = '', bundles = '', clock = 'wall', trace] =
  process.argv.slice(2);

if (clock === 'processor') {
  const cores = availableParallelism();
  performance.now = () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000 / cores;
  };
}

function print(line: object): void {
  process.stdout.write(`${JSON.stringify({ at: performance.now() / 1000, ...line })}\n`);
}

/** Returns an observer of events that prints a line once every candidate of a search has a first distance. */
function heatmapObserver(): (event: ProfileEvent) => void {
  const open = new Set<string>();
  return (event) => {
    if (event.kind === 'started') {
      event.candidates.forEach((candidate) => open.add(candidate));
    } else if (event.kind === 'candidate' && open.delete(event.distance.sublayer)) {
      if (open.size === 0) {
        print({ kind: 'heatmap' });
      }
    }
  };
}

async function main(): Promise<void> {
  const declared: readonly AnyOperation[] = operations as unknown as readonly AnyOperation[];
  const operation = declared.find((one) => one.id === id);
  if (operation === undefined) {
    throw new Error(`no operation is called ${id}`);
  }
  const request = buildRequest(operation, JSON.parse(readFileSync(requestFile, 'utf8')) as object);
  const models = new ModelCache({ capacity: 4 });
  const timeLeft = new TimeLeft();
  const estimate = new Estimate((seconds) => {
    print({ kind: 'estimate', seconds, text: formatEstimate(seconds) });
  });
  const observe = heatmapObserver();
  const recorder = trace === undefined ? undefined : new SearchRecorder();
  const result = await runOperation(operation, request, {
    cancellation: { isCancellationRequested: false },
    progress: (progress) => {
      const left = timeLeft.update(progress, performance.now());
      estimate.update(left);
      print({ kind: 'progress', stage: inEnglish(progress.stage), left });
    },
    emit: (event) => {
      observe(event);
      recorder?.observe(event);
    },
    warn: () => undefined,
    inform: () => undefined,
    share: () => undefined,
    environment: {
      ...{ samples, bundles, costsFolder: costsFolder(), version: 'bench' },
      open: async (path) => models.open(path),
    },
  });
  if (trace !== undefined) {
    recorder?.write(trace);
  }
  const { rounds, search, settings } = result as Partial<LayerProfile>;
  print({
    kind: 'result',
    removed: rounds?.length,
    distance: rounds?.at(-1)?.distance,
    searchSeconds: search?.seconds,
    evaluations: search?.sublayerEvaluations,
    arithmetic: settings?.arithmetic,
  });
}

void main();
