import { asSetting, validateRequest } from '../core/operations/build-request';
import type { OpenModel } from '../core/models/model-cache';
import type { AnyOperation } from '../core/operations/operation';
import { operations } from '../core/operations/operations';
import { knownSeconds } from '../core/operations/run-operation';
import type { EstimateRequest } from '../protocol/worker';
import { environment } from './environment';

/** Seconds that an operation would take, by earlier runs on this machine; null where none tells. */
export async function estimate(
  { operation: id, request }: EstimateRequest,
  open: OpenModel,
): Promise<number | null> {
  const declared = operations as unknown as readonly AnyOperation[];
  const operation = declared.find((one) => one.id === id);
  if (operation === undefined) {
    return null;
  }
  const valid = validateRequest(operation, request, asSetting(operation.fields));
  return (await knownSeconds(operation, valid, { ...environment, open })) ?? null;
}
