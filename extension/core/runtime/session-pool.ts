import type { InferenceSession } from 'onnxruntime-node';
import type { GraphPart } from '../models/layered-model';
import { privateBytes } from './memory-shares';
import { createSession } from './session';
import type { SessionOptions } from './session';

/** What a session is made from. */
export type SessionRecipe = Pick<
  GraphPart,
  'key' | 'bytes' | 'mappedBytes' | 'needsPrepacking' | 'build'
> & {
  /** Whether the session keeps what the arrays of a run took, for the next one. */
  readonly keepMemory?: boolean;
  /** Whether outputs stay on the device. */
  readonly stays?: boolean;
};

/** What a pool may keep. */
export interface PoolBudget {
  /** Bytes of private memory that sessions may take as they are. */
  readonly bytes: number;
  /** Further bytes for repacked weights that would else stay mapped from their files. */
  readonly repackedBytes: number;
}

/**
 * Keeps sessions up to a budget of bytes. Those that do not fit
 * are made for one use and released: a walk through the layers is cyclic, so evicting would only replace
 * what is needed next.
 */
export class SessionPool {
  private readonly kept = new Map<string, InferenceSession>();
  private keptBytes = 0;
  private repackedBytes = 0;

  public constructor(
    private readonly where: Pick<SessionOptions, 'device' | 'threads' | 'asItStands'>,
    private readonly budget: PoolBudget,
  ) {}

  public async use<T>(
    recipe: SessionRecipe,
    run: (session: InferenceSession) => Promise<T>,
  ): Promise<T> {
    const known = this.kept.get(recipe.key);
    if (known !== undefined) {
      return run(known);
    }
    const own = privateBytes(recipe, this.where.device);
    const further = recipe.bytes - own;
    if (this.keptBytes + own > this.budget.bytes) {
      return this.once(recipe, run);
    }
    const prepack = this.repackedBytes + further <= this.budget.repackedBytes;
    const session = await createSession(recipe.build(), {
      ...this.where,
      prepack,
      keepMemory: recipe.keepMemory === true,
      stays: recipe.stays,
    });
    this.kept.set(recipe.key, session);
    this.keptBytes += own;
    this.repackedBytes += prepack ? further : 0;
    return run(session);
  }

  /** Runs a session that is made for this use alone, whatever its key. */
  public async once<T>(
    recipe: Pick<SessionRecipe, 'build' | 'needsPrepacking' | 'stays'>,
    run: (session: InferenceSession) => Promise<T>,
  ): Promise<T> {
    const prepack = recipe.needsPrepacking === true;
    const { stays } = recipe;
    const session = await createSession(recipe.build(), { ...this.where, prepack, stays });
    try {
      return await run(session);
    } finally {
      await session.release();
    }
  }

  public async dispose(): Promise<void> {
    const sessions = [...this.kept.values()];
    this.kept.clear();
    this.keptBytes = 0;
    this.repackedBytes = 0;
    await Promise.all(sessions.map(async (session) => session.release()));
  }
}
