import { InferenceSession } from 'onnxruntime-node';

/** Model in one ordinary session; its threads don't spin, because other tests run at the same time. */
export async function openSession(
  model: string | Uint8Array,
  options: InferenceSession.SessionOptions = {},
): Promise<InferenceSession> {
  const extra = { 'intra_op.allow_spinning': '0', ...(options.extra?.['session'] as object) };
  const all = { logSeverityLevel: 3, ...options, extra: { session: extra } } as const;
  return typeof model === 'string'
    ? InferenceSession.create(model, all)
    : InferenceSession.create(model, all);
}
