import type { InferenceSession } from 'onnxruntime-node';
import type { RunnableGraph } from '../models/layered-model';
import { createSession } from './session';
import type { DeviceName } from './device';

/** What a session is made from. */
export interface SessionRecipe {
  readonly key: string;
  /** Bytes its weights take as float32. */
  readonly bytes: number;
  readonly build: () => RunnableGraph;
}

/**
 * Keeps sessions up to a budget of bytes. Those that do not fit are made for one use and released:
 * a walk through the layers is cyclic, so evicting would only replace what is needed next.
 */
export class SessionPool {
  private readonly kept = new Map<string, InferenceSession>();
  private keptBytes = 0;

  public constructor(
    private readonly device: DeviceName,
    private readonly budgetBytes: number,
  ) {}

  public get bytes(): number {
    return this.keptBytes;
  }

  public async use<T>(
    recipe: SessionRecipe,
    run: (session: InferenceSession) => Promise<T>,
  ): Promise<T> {
    const known = this.kept.get(recipe.key);
    if (known !== undefined) {
      return run(known);
    }
    const keep = this.keptBytes + recipe.bytes <= this.budgetBytes;
    if (!keep) {
      return this.once(recipe, run);
    }
    const session = await createSession(recipe.build(), { device: this.device, prepack: true });
    this.kept.set(recipe.key, session);
    this.keptBytes += recipe.bytes;
    return run(session);
  }

  /** Runs a session that is made for this use alone, whatever its key. */
  public async once<T>(
    recipe: Pick<SessionRecipe, 'build'>,
    run: (session: InferenceSession) => Promise<T>,
  ): Promise<T> {
    const session = await createSession(recipe.build(), { device: this.device, prepack: false });
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
    await Promise.all(sessions.map(async (session) => session.release()));
  }
}
