import { asSetting, validateRequest } from './build-request';
import type { Fields, RequestOf } from './fields';
import type { AnyOperation, Environment, OperationContext } from './operation';
import { operations } from './operations';
import type { OperationId } from './operations';
import { foreseenSeconds, knownSeconds } from './run-operation';

/** Operation and a request for it. */
export interface EstimateRequest {
  readonly operation: OperationId;
  readonly request: object;
}

/** Expected seconds of an operation, if necessary from a short run of the model. */
export async function expect(
  request: EstimateRequest,
  context: Pick<OperationContext, 'cancellation' | 'environment'>,
): Promise<number | null> {
  const found = validated(request);
  return found === undefined ? null : ((await foreseenSeconds(...found, context)) ?? null);
}

/** Expected seconds of an operation, from earlier runs on this machine; null if unknown. */
export async function estimate(
  request: EstimateRequest,
  environment: Pick<Environment, 'samples' | 'open' | 'costsFolder'>,
): Promise<number | null> {
  const found = validated(request);
  return found === undefined ? null : ((await knownSeconds(...found, environment)) ?? null);
}

/** Validated request; undefined if the operation doesn't exist. */
export function validated({
  operation: id,
  request,
}: EstimateRequest): readonly [AnyOperation, RequestOf<Fields>] | undefined {
  const declared = operations as unknown as readonly AnyOperation[];
  const operation = declared.find((one) => one.id === id);
  return operation && [operation, validateRequest(operation, request, asSetting(operation.fields))];
}
