import { asSetting, validateRequest } from './build-request';
import type { Fields, RequestOf } from './fields';
import type { AnyOperation, Environment, OperationContext } from './operation';
import { operations } from './operations';
import type { OperationId } from './operations';
import { foreseenSeconds, knownSeconds } from './run-operation';
import { randomInputs } from '../data/calibration-defaults';
import { holdsExamples } from '../data/model-inputs';
import { able, requireAble } from '../models/capability';
import type { Capability } from '../models/capability';
import { textPort } from '../models/example';
import type { OpenedModel } from '../models/opened-model';
import type { OpenModel } from '../models/model-cache';

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

/**
 * Checks from headers alone that the models of a request can do what its operation requires. Models that can't be
 * opened, which a job before it may write, are not checked.
 * @throws UserError with the reason and a remedy
 */
export async function checkModels(asked: EstimateRequest, open: OpenModel): Promise<void> {
  const found = validated(asked);
  if (found === undefined) {
    return;
  }
  const [{ requires }, values] = found;
  const request: Readonly<Record<string, unknown>> = values;
  for (const [field, requirement] of Object.entries(requires?.(values) ?? {})) {
    const path = request[field];
    const model = typeof path === 'string' ? await open(path).catch(() => undefined) : undefined;
    if (model !== undefined) {
      requireAble(
        requirement === 'calibration'
          ? await canCalibrate(model, request['calibration'])
          : model.capabilities[requirement],
        model.path,
      );
    }
  }
}

/** A model that reads text needs its tokenizer, unless the calibration inputs are arrays, images or random. */
async function canCalibrate(
  { model, capabilities: { run, readText } }: OpenedModel,
  file: unknown,
): Promise<Capability> {
  const hasText =
    textPort(model) !== undefined &&
    file !== randomInputs &&
    !(typeof file === 'string' && (await holdsExamples(file)));
  const hasTokenizer = readText.able || readText.code !== 'no-tokenizer';
  if (!run.able) {
    return run;
  }
  return hasText && !hasTokenizer ? readText : able;
}
