import { asSetting, validateRequest } from './build-request';
import type { Fields, RequestOf } from './fields';
import type { AnyOperation, Environment, OperationContext } from './operation';
import { operations } from './operations';
import type { OperationId } from './operations';
import { foreseenSeconds, knownSeconds } from './run-operation';

/** An operation, and a request of it. */
export interface EstimateRequest {
  readonly operation: OperationId;
  readonly request: object;
}

/** Seconds that an operation would take, where need be from a short run of the model. */
export async function expect(
  request: EstimateRequest,
  context: Pick<OperationContext, 'cancellation' | 'environment'>,
): Promise<number | null> {
  const found = validated(request);
  return found === undefined ? null : ((await foreseenSeconds(...found, context)) ?? null);
}

/** Seconds that an operation would take, by earlier runs on this machine; null where none tells. */
export async function estimate(
  request: EstimateRequest,
  environment: Pick<Environment, 'samples' | 'open' | 'costsFolder'>,
): Promise<number | null> {
  const found = validated(request);
  return found === undefined ? null : ((await knownSeconds(...found, environment)) ?? null);
}

/** A request by its declaration; undefined if there is no such operation. */
export function validated({
  operation: id,
  request,
}: EstimateRequest): readonly [AnyOperation, RequestOf<Fields>] | undefined {
  const declared = operations as unknown as readonly AnyOperation[];
  const operation = declared.find((one) => one.id === id);
  return operation && [operation, validateRequest(operation, request, asSetting(operation.fields))];
}
