import type { Redis } from 'ioredis';
import * as v from 'valibot';
import { jsonOf } from '../../parse-json';
import { printable } from '../../printable';

/** In front of every key that Espalier uses on a server. */
export const prefix = 'espalier';

/** How often workers and jobs say that they are there. */
export const beatMilliseconds = 1000;
/** Who has said nothing for so long is gone. */
export const silentMilliseconds = 5 * beatMilliseconds;

/** What somebody else writes, for people. */
export const shownSchema = v.pipe(v.string(), v.transform(printable));

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** What a worker says of itself. */
const workerSchema = v.object({
  id: v.string(),
  /** Machine, and which of its workers. */
  name: shownSchema,
  version: shownSchema,
  /** How many models and data sets it has, see {@link Fingerprints}. */
  models: count,
  data: count,
  device: shownSchema,
  /** Since it began: clocks of machines differ. */
  seconds: v.number(),
  /** Pieces done, and the one in work. */
  done: count,
  piece: v.nullable(v.string()),
  /** Whether it takes no more. */
  leaving: v.boolean(),
});
export type WorkerEntry = v.InferOutput<typeof workerSchema>;

/** What a job says of itself. */
const jobSchema = v.object({
  id: v.string(),
  kind: shownSchema,
  /** Fingerprint of the model, or of the data set. */
  about: shownSchema,
  /** Since it began. */
  seconds: v.number(),
  done: count,
  /** Pieces that it waits for. */
  open: count,
});
export type JobEntry = v.InferOutput<typeof jobSchema>;

const schemas = { worker: workerSchema, job: jobSchema };
interface Entries {
  readonly worker: WorkerEntry;
  readonly job: JobEntry;
}

/** Who is there: each entry lasts until its owner has been silent for too long. */
export class Registry<Kind extends keyof Entries> {
  public constructor(
    private readonly redis: Redis,
    private readonly kind: Kind,
  ) {}

  public async put(entry: Entries[Kind]): Promise<void> {
    await this.redis
      .multi()
      .sadd(this.all, entry.id)
      .set(this.keyOf(entry.id), JSON.stringify(entry), 'PX', silentMilliseconds)
      .exec();
  }

  public async remove(id: string): Promise<void> {
    await this.redis.multi().srem(this.all, id).del(this.keyOf(id)).exec();
  }

  /** Those that are there, by id; what somebody else has written in their place is left out. */
  public async list(): Promise<Entries[Kind][]> {
    const ids = (await this.redis.smembers(this.all)).sort();
    const texts = ids.length === 0 ? [] : await this.redis.mget(ids.map((id) => this.keyOf(id)));
    const gone = ids.filter((_, i) => (texts[i] ?? null) === null);
    if (gone.length > 0) {
      await this.redis.srem(this.all, ...gone);
    }
    return texts.flatMap((text) => {
      const parsed = v.safeParse(schemas[this.kind], jsonOf(text ?? 'null'));
      return parsed.success ? [parsed.output as Entries[Kind]] : [];
    });
  }

  private get all(): string {
    return `${prefix}:${this.kind}s`;
  }

  private keyOf(id: string): string {
    return `${prefix}:${this.kind}:${id}`;
  }
}

/** Fingerprints of what a worker has: they are sent once, and again where the server has lost them. */
export class Fingerprints {
  private readonly key: string;

  public constructor(
    private readonly redis: Redis,
    worker: string,
  ) {
    this.key = `${prefix}:has:${worker}`;
  }

  /** Says that they are there, for as long as an entry lasts. */
  public async put(all: readonly string[]): Promise<void> {
    if (all.length > 0 && (await this.redis.pexpire(this.key, silentMilliseconds)) === 0) {
      await this.redis
        .multi()
        .sadd(this.key, ...all)
        .pexpire(this.key, silentMilliseconds)
        .exec();
    }
  }

  /** Whether all of some are among them. */
  public async include(some: readonly string[]): Promise<boolean> {
    const found = await Promise.all(some.map(async (one) => this.redis.sismember(this.key, one)));
    return found.every((one) => one === 1);
  }

  public async remove(): Promise<void> {
    await this.redis.del(this.key);
  }
}
