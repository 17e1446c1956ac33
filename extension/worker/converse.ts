import { DecoderPool } from '../core/generate/decoder-pool';
import type { GenerationEvent } from '../core/generate/generate';
import type { JobContext } from '../core/jobs/job';
import { asRunError } from '../core/jobs/run-errors';
import { asSetting, validateRequest } from '../core/operations/build-request';
import { converse as continueText, generate } from '../core/operations/generate';
import type { ConverseRequest, GenerationResult } from '../core/operations/generate';
import { environment } from './environment';

/** Decoders of the two models of a playground: the next prompt reuses them and prefills only new tokens. */
const decoders = new DecoderPool(2);

/** Continues a conversation with models that stay open. */
export async function converse(
  { request, turns }: ConverseRequest,
  context: JobContext<GenerationEvent>,
): Promise<GenerationResult> {
  const validated = validateRequest(generate, request, asSetting(generate.fields));
  try {
    return await continueText({ request: validated, turns }, { ...context, environment }, decoders);
  } catch (error) {
    throw asRunError(error);
  }
}
