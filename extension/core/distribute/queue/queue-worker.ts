import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Job, Queue, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import * as v from 'valibot';
import { WorkerLostError } from '../../jobs/child-task';
import type { Cancellation } from '../../jobs/job';
import { printable } from '../../printable';
import { UserError } from '../../user-error';
import { LocalWorker } from '../local-engine';
import type { WorkerLimits } from '../local-engine';
import type { WorkFile, WorkSetup } from '../work-item';
import { readMessage } from '../work-item';
import {
  decode,
  encode,
  failureKey,
  retentionSeconds,
  orderSchema,
  queueName,
  resultKey,
  setupKey,
  sharedSchema,
} from './codec';
import type { QueueServer } from './connection';
import type { Failure, Order } from './codec';
import { beatMilliseconds, Fingerprints, prefix, Registry } from './registry';
import { inEnglish, verbatim } from '../../message';

/** Resources of this machine for remote jobs. */
export interface Offer {
  /** Path of the bundle that runs work items. */
  readonly script: string;
  /** Paths of models and datasets by fingerprint. */
  readonly models: ReadonlyMap<string, string>;
  readonly data: ReadonlyMap<string, string>;
  readonly workers: number;
  readonly limits: WorkerLimits;
  readonly version: string;
  /** Folder for unfinished work. */
  readonly scratch: string;
}

/** Called after each work item. */
export type OnWorkItem = (event: {
  readonly worker: string;
  readonly seconds: number;
  /** Reason of a failure; undefined if the work item succeeded. */
  readonly failure: string | undefined;
}) => void;

/** Runs work items until cancelled; current work items are finished first. */
export async function serveQueue(
  server: QueueServer,
  offer: Offer,
  cancellation: Cancellation,
  onPiece: OnWorkItem,
): Promise<void> {
  const places = Array.from({ length: offer.workers }, (_, i) => {
    const name = offer.workers === 1 ? hostname() : `${hostname()} #${i + 1}`;
    return new Place(server, offer, name, onPiece);
  });
  try {
    while (!cancellation.isCancellationRequested) {
      places.forEach((place) => {
        place.beat();
      });
      await new Promise((resolve) => {
        setTimeout(resolve, beatMilliseconds);
      });
    }
  } finally {
    await Promise.all(places.map(async (place) => place.close()));
    server.redis.disconnect();
  }
}

/** Worker with its own queue and child process. */
class Place {
  private readonly id = randomUUID();
  private readonly started = performance.now();
  private readonly redis: Redis;
  private readonly registry: Registry<'worker'>;
  private readonly worker: Worker;
  private readonly queue: Queue;
  private readonly has: Fingerprints;
  private done = 0;
  private piece: string | null = null;
  private leaving = false;
  /** Child process with its setup and folder. */
  private current:
    | { readonly setup: string; readonly local: LocalWorker; readonly folder: string }
    | undefined;

  public constructor(
    { redis, library }: QueueServer,
    private readonly offer: Offer,
    private readonly name: string,
    private readonly onPiece: OnWorkItem,
  ) {
    this.redis = redis;
    this.registry = new Registry(redis, 'worker');
    this.has = new Fingerprints(redis, this.id);
    const options = { connection: redis, prefix, skipVersionCheck: true };
    this.queue = new library.Queue(queueName(this.id), options);
    this.worker = new library.Worker(queueName(this.id), async (job) => this.take(job), {
      ...{ ...options, concurrency: 1 },
      // The requesting job handles lost work items.
      ...{ skipStalledCheck: true, drainDelay: 1 },
    });
    // The connection reports its errors and reconnects.
    this.worker.on('error', () => undefined);
    this.queue.on('error', () => undefined);
  }

  /** Registers the worker again. */
  public beat(): void {
    // Otherwise messages would queue up while the server is unreachable.
    if (this.redis.status === 'ready') {
      void this.say().catch(() => undefined);
    }
  }

  private async say(): Promise<void> {
    const { id, name, done, piece, offer, leaving } = this;
    const seconds = (performance.now() - this.started) / 1000;
    const { version, models, data, limits } = offer;
    const { device = 'auto' } = limits;
    // Before registering, since jobs check the fingerprints of registered workers.
    await this.has.put([...models.keys(), ...data.keys()]);
    await this.registry.put({
      ...{ id, name, version, models: models.size, data: data.size, device },
      ...{ seconds, done, piece, leaving },
    });
  }

  /** Finishes the current work item and accepts no more. */
  public async close(): Promise<void> {
    this.leaving = true;
    if (this.redis.status !== 'ready') {
      // The result can't be sent; the job notices that this worker is silent.
      this.current?.local.end();
      void this.worker.close(true).catch(() => undefined);
      return;
    }
    this.beat();
    const beats = setInterval(() => {
      this.beat();
    }, beatMilliseconds);
    await this.worker.close();
    clearInterval(beats);
    await this.queue.obliterate({ force: true }).catch(() => undefined);
    await this.queue.close();
    this.current?.local.end();
    await this.registry.remove(this.id).catch(() => undefined);
    await this.has.remove().catch(() => undefined);
  }

  private async take({ data }: Job): Promise<void> {
    const begun = performance.now();
    const parsed = v.safeParse(orderSchema, data);
    if (!parsed.success) {
      // The sender can't be notified, because the reply key is part of the work item.
      const failure = "The queue sent a message that isn't a piece.";
      this.onPiece({ worker: this.name, seconds: 0, failure });
      return;
    }
    const order = parsed.output;
    this.piece = order.piece;
    let failure: Failure | undefined;
    try {
      if ((await this.redis.exists(resultKey(order.piece))) === 0) {
        const result = await this.compute(order);
        await this.redis.set(resultKey(order.piece), encode(result), 'EX', retentionSeconds);
      }
      this.done++;
    } catch (error) {
      failure = describeFailure(error);
      await this.redis.set(failureKey(order.attempt), encode(failure), 'EX', retentionSeconds);
    } finally {
      this.piece = null;
      const seconds = (performance.now() - begun) / 1000;
      this.onPiece({ worker: this.name, seconds, failure: failure?.text });
    }
  }

  private async compute({ piece, setup, request }: Order): Promise<unknown> {
    const { local } = await this.ensureProcess(setup);
    const cancellation = { isCancellationRequested: false };
    const job = { cancellation, progress: () => undefined };
    return local.do({ key: piece, lane: 0, cost: 1, request, result: v.unknown() }, job);
  }

  private async ensureProcess(setup: string): Promise<{ readonly local: LocalWorker }> {
    if (this.current?.setup === setup) {
      return this.current;
    }
    await this.dropProcess();
    const text = await this.redis.get(setupKey(setup));
    if (text === null) {
      throw new WorkerLostError('The server has lost what the pieces share.');
    }
    const { kind, files, data } = readMessage(sharedSchema, decode(text), 'What pieces share');
    const { script, limits, scratch } = this.offer;
    const folder = join(scratch, randomUUID());
    const found = Object.entries(files).map(([name, fingerprint]) => [
      name,
      this.find(fingerprint),
    ]);
    const own = Object.fromEntries(found) as WorkSetup['files'];
    const shared = { kind, key: setup, files: own, data, scratch: folder };
    this.current = {
      setup,
      local: new LocalWorker(verbatim(this.name), script, shared, limits),
      folder,
    };
    return this.current;
  }

  private find(fingerprint: string): WorkFile {
    const { models, data } = this.offer;
    const path = models.get(fingerprint) ?? data.get(fingerprint);
    if (path === undefined) {
      throw new Error(`This machine has nothing with the fingerprint ${printable(fingerprint)}.`);
    }
    return { fingerprint, path };
  }

  /** Ends the process. Its folder remains. */
  private async dropProcess(): Promise<void> {
    const { current } = this;
    this.current = undefined;
    current?.local.end();
    if (current !== undefined) {
      await rm(current.folder, { recursive: true, force: true }).catch(() => undefined);
    }
  }
}

function describeFailure(error: unknown): Failure {
  const isLost = error instanceof WorkerLostError;
  if (error instanceof UserError) {
    // Paths on this machine must not be sent to others.
    return { text: inEnglish(error.problem), log: [], isFinal: true, isLost };
  }
  // The remaining lines contain source locations on this machine.
  const [text = ''] = (error instanceof Error ? error.message : String(error)).split('\n', 1);
  return { text, log: isLost ? [...error.log] : [], isFinal: false, isLost };
}
