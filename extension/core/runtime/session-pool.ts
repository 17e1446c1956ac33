import type { InferenceSession } from 'onnxruntime-node';
import type { GraphPart } from '../models/layered-model';
import { privateBytes } from './memory-shares';
import { createSession, weightArenas } from './session';
import type { SessionOptions } from './session';

/** Parameters of a session. */
export type SessionRecipe = Pick<
  GraphPart,
  'key' | 'bytes' | 'mappedBytes' | 'needsPrepacking' | 'build'
> & {
  /** True if the session keeps the memory of a run for the next one. */
  readonly keepMemory?: boolean;
  /** True if outputs stay on the device. */
  readonly stays?: boolean;
};

/** Recipe of a session that is used once; without weights, `bytes` is omitted. */
type OnceRecipe = Pick<SessionRecipe, 'build' | 'mappedBytes' | 'needsPrepacking' | 'stays'> &
  Partial<Pick<SessionRecipe, 'bytes'>>;

/** Limits of a pool. */
export interface PoolBudget {
  /** Private bytes of the session's weights. */
  readonly bytes: number;
  /** Further bytes for repacked weights that would else stay mapped from their files. */
  readonly repackedBytes: number;
}

/** Sessions that a pool has opened. */
export interface Openings {
  readonly sessions: number;
  /** Private bytes of their weights. */
  readonly bytes: number;
  readonly seconds: number;
}

/**
 * Keeps sessions up to a budget of bytes. Sessions that don't fit are created for one use and released: a walk through the
 * layers is cyclic, so evicting would only replace what is needed next.
 */
export class SessionPool {
  /** Promises, so that uses that overlap wait for one session instead of creating several. */
  private cachedSessions = new Map<string, Promise<InferenceSession>>();
  private cachedBytes = 0;
  private repackedBytes = 0;
  private opened: Openings = { sessions: 0, bytes: 0, seconds: 0 };

  public constructor(
    private readonly where: Pick<SessionOptions, 'device' | 'threads' | 'asItStands'>,
    private readonly budget: PoolBudget,
  ) {}

  /** All openings so far, including repeated ones after a release. */
  public get openings(): Openings {
    return this.opened;
  }

  public async use<T>(
    recipe: SessionRecipe,
    run: (session: InferenceSession) => Promise<T>,
  ): Promise<T> {
    const known = this.cachedSessions.get(recipe.key);
    if (known !== undefined) {
      return run(await known);
    }
    const own = privateBytes(recipe, this.where.device);
    if (this.cachedBytes + own > this.budget.bytes) {
      return this.once(recipe, run);
    }
    return run(await this.keep(recipe, own));
  }

  /** Creates a session that stays. Its bytes are reserved before it is there. */
  private async keep(recipe: SessionRecipe, own: number): Promise<InferenceSession> {
    const further = recipe.bytes - own;
    const prepack = this.repackedBytes + further <= this.budget.repackedBytes;
    const repacked = prepack ? further : 0;
    this.cachedBytes += own;
    this.repackedBytes += repacked;
    const { cachedSessions } = this;
    const created = this.open(recipe, {
      prepack,
      keepMemory: recipe.keepMemory === true,
      stays: recipe.stays,
    });
    cachedSessions.set(recipe.key, created);
    try {
      return await created;
    } catch (error) {
      // Sessions opened after dispose belong to a new map.
      if (this.cachedSessions === cachedSessions) {
        cachedSessions.delete(recipe.key);
        this.cachedBytes -= own;
        this.repackedBytes -= repacked;
      }
      throw error;
    }
  }

  /** Runs a session that is created only for this call, without using its key. */
  public async once<T>(
    recipe: OnceRecipe,
    run: (session: InferenceSession) => Promise<T>,
  ): Promise<T> {
    const prepack = recipe.needsPrepacking === true;
    const { stays } = recipe;
    const session = await this.open(recipe, { prepack, stays });
    try {
      return await run(session);
    } finally {
      await session.release();
    }
  }

  private async open(
    recipe: OnceRecipe,
    options: Pick<SessionOptions, 'prepack' | 'keepMemory' | 'stays'>,
  ): Promise<InferenceSession> {
    const started = performance.now();
    const session = await createSession(recipe.build(), { ...this.where, ...options });
    const { sessions, bytes, seconds } = this.opened;
    this.opened = {
      sessions: sessions + 1,
      bytes: bytes + privateBytes({ bytes: 0, ...recipe }, this.where.device),
      seconds: seconds + (performance.now() - started) / 1000,
    };
    return session;
  }

  /** Releases all sessions, those that are still being created as well. */
  public async dispose(): Promise<void> {
    const sessions = [...this.cachedSessions.values()];
    this.cachedSessions = new Map();
    this.cachedBytes = 0;
    this.repackedBytes = 0;
    weightArenas.clear();
    // A session that couldn't be created was reported to the user of it.
    const created = await Promise.allSettled(sessions);
    await Promise.all(
      created.map(async (one) =>
        one.status === 'fulfilled' ? one.value.release() : Promise.resolve(),
      ),
    );
  }
}
