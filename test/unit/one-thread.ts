import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { InferenceSession } from 'onnxruntime-node';

/**
 * Default options of sessions. Tiny models do not profit from threads, and starting them takes about a millisecond for
 * each of thousands of sessions. Tests can ask for threads. Processes that tests start are not affected.
 */
const onOneThread = { intraOpNumThreads: 1 };

/** Maximum number of released sessions kept for reuse. Creating one takes as long as tens of runs. */
const mostKept = 200;

const create = InferenceSession.create.bind(InferenceSession) as (
  model: string | Uint8Array,
  options: InferenceSession.SessionOptions,
) => Promise<InferenceSession>;

/** Resolution of file times, in milliseconds. */
const clockTick = 20n;

/** Released sessions by hash of graph, options and weight files; least recently used first. */
const openSessions = new Map<string, InferenceSession[]>();
let count = 0;

async function createOrLend(
  model: string | Uint8Array,
  options?: InferenceSession.SessionOptions,
): Promise<InferenceSession> {
  const all = { ...onOneThread, ...options };
  // Sessions on a GPU are not reused, because their device may be lost.
  const files = typeof model === 'string' || isOnDevice(all) ? undefined : readFiles(model);
  if (typeof model === 'string' || files === undefined) return create(model, all);
  const key = createHash('sha1')
    .update(model)
    .update(JSON.stringify([all, files]))
    .digest('hex');
  const sessions = openSessions.get(key) ?? [];
  const session = sessions.pop();
  if (session === undefined) {
    return lent(key, await create(model, all));
  }
  count -= 1;
  if (sessions.length === 0) openSessions.delete(key);
  return lent(key, session);
}

const isOnDevice = ({ executionProviders = [] }: InferenceSession.SessionOptions): boolean =>
  executionProviders.some((one) => (typeof one === 'string' ? one : one.name) !== 'cpu');

/** Matches a path in the temporary folder, written as in a graph: without the first slash. */
const temporaryPath = new RegExp(`${tmpdir().slice(1).replaceAll('.', '\\.')}[\\w./-]+`, 'g');

/**
 * Inode, size and change time of each weight file in the temporary folder. Undefined if a file is missing or so new that
 * its next change might get the same time. Files in the repository never change, so they are not listed.
 */
function readFiles(model: Uint8Array): string[] | undefined {
  const bytes = Buffer.from(model.buffer, model.byteOffset, model.byteLength);
  if (!bytes.includes(tmpdir().slice(1))) return [];
  const paths = new Set(bytes.toString('latin1').match(temporaryPath));
  const states = [...paths].map((path) =>
    statSync(`/${path}`, { bigint: true, throwIfNoEntry: false }),
  );
  const latest = (BigInt(Date.now()) - clockTick) * 1_000_000n;
  if (states.some((state) => state?.isFile() !== true || state.ctimeNs > latest)) return undefined;
  return states.map((state) => `${state?.ino} ${state?.size} ${state?.ctimeNs}`);
}

/** Wraps a session. Releasing the wrapper makes it unusable and keeps the session for reuse. */
function lent(key: string, session: InferenceSession): InferenceSession {
  let isReleased = false;
  const assertUsable = (): void => {
    if (isReleased) throw new Error('Session already disposed.');
  };
  return Object.assign(Object.create(session) as InferenceSession, {
    run: async (...args: Parameters<InferenceSession['run']>) => {
      assertUsable();
      return session.run(...args);
    },
    release: async () => {
      assertUsable();
      isReleased = true;
      const sessions = openSessions.get(key) ?? [];
      openSessions.delete(key);
      openSessions.set(key, [...sessions, session]);
      count += 1;
      if (count > mostKept) await releaseOldest();
    },
  });
}

async function releaseOldest(): Promise<void> {
  const [[key, [session, ...others]] = ['', []]] = openSessions;
  if (others.length > 0) openSessions.set(key, others);
  else openSessions.delete(key);
  count -= 1;
  await session?.release();
}

// The setup runs for every test file, also in a process that is already set up.
if (InferenceSession.create.name !== createOrLend.name) {
  Object.assign(InferenceSession, { create: createOrLend });
}
