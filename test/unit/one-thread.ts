import { InferenceSession } from 'onnxruntime-node';

/**
 * Tiny models have nothing to share among threads, which cost each of thousands of sessions about a millisecond, and several
 * where other programs keep the cores busy. Who asks for threads has them, and so do processes that tests start.
 */
const create = InferenceSession.create.bind(InferenceSession);

async function createOnOneThread(
  model: string,
  options?: InferenceSession.SessionOptions,
): Promise<InferenceSession> {
  return create(model, { intraOpNumThreads: 1, ...options });
}

// Files that share a process are all set up.
if (InferenceSession.create.name !== createOnOneThread.name) {
  Object.assign(InferenceSession, { create: createOnOneThread });
}
