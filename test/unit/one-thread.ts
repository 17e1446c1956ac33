import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { InferenceSession } from 'onnxruntime-node';

/**
 * Tiny models have nothing to share among threads, which cost each of thousands of sessions about a millisecond, and several
 * where other programs keep the cores busy. Who asks for threads has them, and so do processes that tests start.
 */
const onOneThread = { intraOpNumThreads: 1 };

/** Released sessions of a process that are kept to be lent again: to make one takes as long as tens of runs. */
const mostKept = 200;

const create = InferenceSession.create.bind(InferenceSession) as (
  model: string | Uint8Array,
  options: InferenceSession.SessionOptions,
) => Promise<InferenceSession>;

/** Milliseconds in which two changes of a file may have the same time. */
const clockTick = 20n;

/** By what they were made of, the longest unused first. */
const kept = new Map<string, InferenceSession[]>();
let count = 0;

async function createOrLend(
  model: string | Uint8Array,
  options?: InferenceSession.SessionOptions,
): Promise<InferenceSession> {
  const all = { ...onOneThread, ...options };
  // Devices may be lost.
  const files = typeof model === 'string' || isOnDevice(all) ? undefined : readFiles(model);
  if (typeof model === 'string' || files === undefined) return create(model, all);
  const key = createHash('sha1')
    .update(model)
    .update(JSON.stringify([all, files]))
    .digest('hex');
  const sessions = kept.get(key) ?? [];
  const session = sessions.pop();
  if (session === undefined) {
    return lent(key, await create(model, all));
  }
  count -= 1;
  if (sessions.length === 0) kept.delete(key);
  return lent(key, session);
}

const isOnDevice = ({ executionProviders = [] }: InferenceSession.SessionOptions): boolean =>
  executionProviders.some((one) => (typeof one === 'string' ? one : one.name) !== 'cpu');

/** A path in the folder that tests write to, as graphs name it. */
const temporaryPath = new RegExp(`${tmpdir().slice(1).replaceAll('.', '\\.')}[\\w./-]+`, 'g');

/**
 * State of the files in the temporary folder that a graph reads weights from; undefined if one of them is unknown or was
 * written a moment ago, since the next change might then have the same time. Files of the repository never change.
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

/** A session that cannot be used once it is released, though what is behind it is kept. */
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
      const sessions = kept.get(key) ?? [];
      kept.delete(key);
      kept.set(key, [...sessions, session]);
      count += 1;
      if (count > mostKept) await releaseOldest();
    },
  });
}

async function releaseOldest(): Promise<void> {
  const [[key, [session, ...others]] = ['', []]] = kept;
  if (others.length > 0) kept.set(key, others);
  else kept.delete(key);
  count -= 1;
  await session?.release();
}

// Files that share a process are all set up.
if (InferenceSession.create.name !== createOrLend.name) {
  Object.assign(InferenceSession, { create: createOrLend });
}
