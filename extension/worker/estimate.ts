import { asSetting, validateRequest } from '../core/operations/build-request';
import type { OpenModel } from '../core/models/model-cache';
import type { Fields, RequestOf } from '../core/operations/fields';
import type { AnyOperation, OperationContext } from '../core/operations/operation';
import { operations } from '../core/operations/operations';
import { foreseenSeconds, knownSeconds } from '../core/operations/run-operation';
import type { EstimateRequest } from '../protocol/worker';
import { environment } from './environment';

/** Seconds that an operation would take, where need be from a short run of the model. */
export async function expect(
  request: EstimateRequest,
  context: Pick<OperationContext, 'cancellation'>,
): Promise<number | null> {
  const found = validated(request);
  return found === undefined
    ? null
    : ((await foreseenSeconds(...found, { ...context, environment })) ?? null);
}

/** Seconds that an operation would take, by earlier runs on this machine; null where none tells. */
export async function estimate(request: EstimateRequest, open: OpenModel): Promise<number | null> {
  const found = validated(request);
  return found === undefined
    ? null
    : ((await knownSeconds(...found, { ...environment, open })) ?? null);
}

function validated({
  operation: id,
  request,
}: EstimateRequest): readonly [AnyOperation, RequestOf<Fields>] | undefined {
  const declared = operations as unknown as readonly AnyOperation[];
  const operation = declared.find((one) => one.id === id);
  return operation && [operation, validateRequest(operation, request, asSetting(operation.fields))];
}
