import type { Redis } from 'ioredis';
import * as v from 'valibot';
import { parseJsonOrUndefined } from '../../parse-json';
import { printable } from '../../printable';

/** Prefix of all Espalier keys on a server. */
export const prefix = 'espalier';

/** Interval at which workers and jobs register, in milliseconds. */
export const beatMilliseconds = 1000;
/** Time after which an entry expires, in milliseconds. */
export const silentMilliseconds = 5 * beatMilliseconds;

/** Schema of text from other machines, sanitized for display. */
export const shownSchema = v.pipe(v.string(), v.transform(printable));

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** Schema of a worker's entry. */
const workerSchema = v.object({
  id: v.string(),
  /** Machine name and worker number. */
  name: shownSchema,
  version: shownSchema,
  /** Number of its models and datasets, see {@link Fingerprints}. */
  models: count,
  data: count,
  device: shownSchema,
  /** Seconds since the start. Relative, because clocks of machines differ. */
  seconds: v.number(),
  /** Completed work items, and the current one. */
  done: count,
  piece: v.nullable(v.string()),
  /** True if it accepts no more work. */
  leaving: v.boolean(),
});
export type WorkerEntry = v.InferOutput<typeof workerSchema>;

/** Schema of a job's entry. */
const jobSchema = v.object({
  id: v.string(),
  kind: shownSchema,
  /** Fingerprint of the model or dataset. */
  about: shownSchema,
  /** Seconds since the start. */
  seconds: v.number(),
  done: count,
  /** Number of pending work items. */
  open: count,
});
export type JobEntry = v.InferOutput<typeof jobSchema>;

const schemas = { worker: workerSchema, job: jobSchema };
interface Entries {
  readonly worker: WorkerEntry;
  readonly job: JobEntry;
}

/** Registered workers or jobs. Entries expire if not renewed. */
export class Registry<Kind extends keyof Entries> {
  public constructor(
    private readonly redis: Redis,
    private readonly kind: Kind,
  ) {}

  public async put(entry: Entries[Kind]): Promise<void> {
    await this.redis
      .multi()
      .sadd(this.all, entry.id)
      .set(this.entryKey(entry.id), JSON.stringify(entry), 'PX', silentMilliseconds)
      .exec();
  }

  public async remove(id: string): Promise<void> {
    await this.redis.multi().srem(this.all, id).del(this.entryKey(id)).exec();
  }

  /** Valid entries, sorted by id. */
  public async list(): Promise<Entries[Kind][]> {
    const ids = (await this.redis.smembers(this.all)).sort();
    const texts = ids.length === 0 ? [] : await this.redis.mget(ids.map((id) => this.entryKey(id)));
    const expired = ids.filter((_, i) => (texts[i] ?? null) === null);
    if (expired.length > 0) {
      await this.redis.srem(this.all, ...expired);
    }
    return texts.flatMap((text) => {
      const parsed = v.safeParse(schemas[this.kind], parseJsonOrUndefined(text ?? 'null'));
      return parsed.success ? [parsed.output as Entries[Kind]] : [];
    });
  }

  private get all(): string {
    return `${prefix}:${this.kind}s`;
  }

  private entryKey(id: string): string {
    return `${prefix}:${this.kind}:${id}`;
  }
}

/** Fingerprints of a worker's files. Sent once, and again if the server lost them. */
export class Fingerprints {
  private readonly key: string;

  public constructor(
    private readonly redis: Redis,
    worker: string,
  ) {
    this.key = `${prefix}:has:${worker}`;
  }

  /** Stores the fingerprints for the lifetime of an entry. */
  public async put(all: readonly string[]): Promise<void> {
    if (all.length > 0 && (await this.redis.pexpire(this.key, silentMilliseconds)) === 0) {
      await this.redis
        .multi()
        .sadd(this.key, ...all)
        .pexpire(this.key, silentMilliseconds)
        .exec();
    }
  }

  /** True if all given fingerprints are stored. */
  public async include(some: readonly string[]): Promise<boolean> {
    const found = await Promise.all(some.map(async (one) => this.redis.sismember(this.key, one)));
    return found.every((one) => one === 1);
  }

  public async remove(): Promise<void> {
    await this.redis.del(this.key);
  }
}
