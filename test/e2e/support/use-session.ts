import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { Session, type SessionOptions } from './session';

/**
 * A session for all tests of the enclosing file or `describe`: started before them, closed after them, and pictured as
 * test/artifacts/failed-*.png when one fails.
 */
export function useSession(options?: SessionOptions): () => Session {
  let session: Session | undefined;
  beforeAll(async () => {
    session = await Session.start(options);
  });
  afterEach(async ({ task }) => {
    if (task.result?.state !== 'fail') return;
    await session?.releaseJobs();
    await session?.workbench.screenshot(`failed-${task.name.replaceAll(/\W+/g, '-')}`);
  });
  afterAll(async () => {
    const strangers = session?.strangers() ?? [];
    await session?.close();
    expect(strangers, 'hosts beyond this machine that the session asked for').toEqual([]);
  });
  return () => {
    if (session === undefined) throw new Error('the session starts before the first test');
    return session;
  };
}
