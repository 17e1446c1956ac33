// Times pieces of a search, what reads their results, and the way through a queue, and prints JSON:
//     node measure.cjs MODEL PIECES SEQUENCES LENGTH TEXT QUEUE FOLDER
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { LocalWorker } from '../../extension/core/distribute/local-engine';
import type { Engine, WorkItem, WorkSetup } from '../../extension/core/distribute/work-item';
import { parseQueueAddress } from '../../extension/core/distribute/queue/address';
import { decode, encode } from '../../extension/core/distribute/queue/codec';
import { connect } from '../../extension/core/distribute/queue/connection';
import type { QueueServer } from '../../extension/core/distribute/queue/connection';
import * as library from '../../extension/core/distribute/queue/library';
import { QueueEngine } from '../../extension/core/distribute/queue/queue-engine';
import { serveQueue } from '../../extension/core/distribute/queue/queue-worker';
import { readMessage } from '../../extension/core/distribute/work-item';
import { Dispatcher } from '../../extension/core/distribute/dispatcher';
import { unattended } from '../../extension/core/jobs/job';
import { Journal } from '../../extension/core/jobs/journal';
import { verbatim } from '../../extension/core/message';
import { openModelFiles } from '../../extension/core/models/open-model';
import { defaultSettings } from '../../extension/core/prune/options';
import { profileModel } from '../../extension/core/prune/profile-model';
import { termsResultSchema } from '../../extension/core/prune/shards/shard-work';
import type { ShardRequest, TermsResult } from '../../extension/core/prune/shards/shard-work';

const version = 'bench';
/** Answers that are read, and orders that are sent. */
const repeats = 50;
/** Rounds of the search, whose pieces are timed. */
const rounds = 4;
const threads = 1;

const [model = '', script = '', sequences = '', length = '', text = '', queue = '', folder = ''] =
  process.argv.slice(2);

interface Timed {
  readonly seconds: number;
  /** Sublayers between its candidates and the end, of all candidates. */
  readonly cost: number;
  readonly evaluated: number;
  readonly candidates: number;
  /** Round and sequence. */
  readonly place: string;
  readonly result: TermsResult;
}

/** Pieces of an exact search as a process does them that has one thread, while this one has another. */
async function timePieces(): Promise<Timed[]> {
  const timed: Timed[] = [];
  const engine: Engine = {
    ...{ threads, memoryShare: 0.5 },
    addWorkers: async (setup, pool) => {
      const name = verbatim('worker');
      const worker = new LocalWorker(name, script, setup, { threads, memoryShare: 0.5 });
      pool.join({
        name,
        do: async (piece, job) => {
          const begun = performance.now();
          const result = await worker.do(piece, job);
          const request = piece.request as ShardRequest;
          if (request.kind === 'terms') {
            const { candidates, removed, slice } = request;
            const { evaluated } = result as TermsResult;
            const seconds = (performance.now() - begun) / 1000;
            const { cost } = piece;
            timed.push({
              ...{ seconds, cost, evaluated, candidates: candidates.length },
              place: `${removed.length} ${slice.sequence}`,
              result: result as TermsResult,
            });
          }
          return result;
        },
      });
      return Promise.resolve(async () => {
        worker.end();
        return Promise.resolve();
      });
    },
  };
  await profileModel(
    {
      model: await openModelFiles(model),
      calibration: { file: text, sequences: Number(sequences), length: Number(length) },
      settings: {
        ...defaultSettings,
        mode: 'exact',
        budget: { kind: 'count', count: rounds },
        baselines: [],
      },
      ...{ device: 'cpu', memoryBytes: 2 ** 32, out: undefined, engine },
      journal: join(folder, 'bench.journal.jsonl'),
    },
    { bundledText: '', version },
    unattended,
  );
  return timed;
}

/** Milliseconds that this process takes to read a result, and to keep it. */
async function timeReduce({ result, candidates }: Timed): Promise<number> {
  const sent = encode(result);
  const journal = await Journal.open(join(folder, 'reduce.journal.jsonl'), 'bench', (one) => one);
  const begun = performance.now();
  for (let i = 0; i < repeats; i++) {
    const { terms } = readMessage(termsResultSchema(candidates), decode(sent), 'The result');
    await journal.append(terms.map((own, candidate) => ({ candidate, step: i, terms: own })));
  }
  const milliseconds = (performance.now() - begun) / repeats;
  await journal.remove();
  return milliseconds;
}

/** Milliseconds from an order to its result, of a worker that has nothing to compute. */
async function timeQueue({ result, candidates }: Timed): Promise<number> {
  const echo = join(folder, 'echo.cjs');
  writeFileSync(
    echo,
    `const result = ${JSON.stringify(result)};
    process.on('message', ({ task }) => {
      process.send({ kind: 'result', result: task.request === 'probe' ? [1] : result });
    });`,
  );
  const open = async (): Promise<QueueServer> =>
    connect(library, parseQueueAddress(queue), { allowOpen: false });
  const cancellation = { isCancellationRequested: false };
  const offer = { models: new Map([['bench', model]]), data: new Map(), workers: 1, version };
  const served = serveQueue(
    await open(),
    { ...offer, script: echo, limits: { memoryShare: 1 }, scratch: folder },
    cancellation,
    () => undefined,
  );
  // It says every second that it is there.
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const files = { model: { fingerprint: 'bench', path: model } };
  const setup: WorkSetup = { kind: 'search', key: 'bench', files, data: {} };
  const never = { name: verbatim('home'), do: async () => new Promise(() => undefined) };
  const pieces = new Dispatcher(never, unattended, {
    lost: () => undefined,
    changed: () => undefined,
  });
  const piece = (key: string, home = false): WorkItem => ({
    ...{ key, lane: 0, cost: 1, request: {}, home },
    result: termsResultSchema(candidates),
  });
  pieces.add(piece('kept here', true));
  const means = {
    probe: async () => Promise.resolve([1]),
    ...{ warn: () => undefined, inform: () => undefined },
  };
  const release = await new QueueEngine(open, version).addWorkers(setup, pieces, means);
  const begun = performance.now();
  for (let i = 0; i < repeats; i++) {
    await pieces.add(piece(`piece ${begun} ${i}`)).result;
  }
  const milliseconds = (performance.now() - begun) / repeats;
  cancellation.isCancellationRequested = true;
  await Promise.all([release(), served]);
  return milliseconds;
}

async function main(): Promise<void> {
  const timed = await timePieces();
  const [largest] = [...timed].sort((a, b) => b.candidates - a.candidates);
  if (largest === undefined) throw new Error('the search had no pieces');
  process.stdout.write(
    JSON.stringify({
      pieces: timed.map(({ seconds, cost, evaluated }) => ({ seconds, cost, evaluated })),
      waves: timed.length / new Set(timed.map(({ place }) => place)).size,
      reduceMilliseconds: (await timeReduce(largest)) / largest.candidates,
      queueMilliseconds: await timeQueue(largest),
    }),
  );
  process.exit(0);
}

void main();
