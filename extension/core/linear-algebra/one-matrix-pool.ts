import { SessionPool } from '../runtime/session-pool';
import { keyOf } from './matrix-source';
import type { StoredMatrix } from './matrix-source';

/** Sessions with a matrix of a file in them, in float32: those of the next matrix take their place. */
export class OneMatrixPool {
  private readonly pool: SessionPool;
  private key = '';

  public constructor(...args: ConstructorParameters<typeof SessionPool>) {
    this.pool = new SessionPool(...args);
  }

  public async for(matrix: StoredMatrix): Promise<SessionPool> {
    const key = keyOf(matrix);
    if (key !== this.key) {
      await this.pool.dispose();
      this.key = key;
    }
    return this.pool;
  }

  public async dispose(): Promise<void> {
    await this.pool.dispose();
  }
}
