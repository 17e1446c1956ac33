import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onPath } from '../export/write-errors';
import { narrowModel, requireWidth } from '../models/narrow/narrow-model';
import type { Narrowing } from '../models/narrow/narrow-model';
import { parseRanges } from '../models/narrow/number-ranges';
import type { OpenedModel } from '../models/opened-model';
import { unitsMeant } from '../models/units';
import type { Plan } from '../plans/plan';
import { UserError } from '../user-error';
import { say } from '../message';
import type { Message } from '../message';

/**
 * Uses a model without the channels and groups that a plan takes out of its sublayers.
 * @param folder for the narrower tensors, removed at the end; a temporary one when undefined
 * @throws UserError for what cannot be narrowed so, or is removed as well.
 */
export async function withNarrowed<T>(
  model: OpenedModel,
  plan: Pick<Plan, 'narrow' | 'remove' | 'patch'>,
  folder: string | undefined,
  use: (narrowed: OpenedModel) => Promise<T>,
): Promise<T> {
  const narrowing = readNarrowing(model, plan);
  if (narrowing.size === 0) {
    return use(model);
  }
  const place = folder ?? join(tmpdir(), `espalier-narrow-${randomUUID()}`);
  await onPath(place, async () => mkdir(place, { recursive: true }));
  try {
    return await use(await narrowModel(model, narrowing, join(place, 'narrow.safetensors')));
  } finally {
    await rm(place, { recursive: true, force: true });
  }
}

/** What stays of the sublayers that a plan narrows. */
function readNarrowing(
  model: OpenedModel,
  { narrow = [], remove, patch = [] }: Pick<Plan, 'narrow' | 'remove' | 'patch'>,
): Narrowing {
  const gone = new Set([
    ...remove.flatMap((id) => unitsMeant(id, model.summary)),
    ...patch.map(({ sublayer }) => sublayer),
  ]);
  return new Map(
    narrow.map(({ sublayer, remove: ranges }, i) => {
      const fault = (problem: Message): never => {
        throw new UserError(problem, { file: model.path, field: `narrow.${i}` });
      };
      if (gone.has(sublayer)) {
        fault(say`${sublayer} is removed, so there is nothing to narrow.`);
      }
      const { count, of } = requireWidth(model, sublayer);
      const out = new Set(parseRanges(ranges));
      const kept = Array.from({ length: count }, (_, place) => place).filter(
        (place) => !out.has(place),
      );
      if (kept.length !== count - out.size) {
        fault(
          of === 'channels'
            ? say`${sublayer} has channels 0 to ${count - 1}, but ${ranges} would be removed.`
            : say`${sublayer} has key/value heads 0 to ${count - 1}, but ${ranges} would be removed.`,
        );
      }
      if (kept.length === 0) {
        fault(say`Nothing of ${sublayer} would be left. Remove it instead.`);
      }
      return [sublayer, kept];
    }),
  );
}
