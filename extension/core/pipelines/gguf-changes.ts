import { checkChanges } from '../export/changes';
import { findOutput } from '../export/output-options';
import { writeSource } from '../export/write-source';
import type { Refusal } from '../models/capability';
import type { SublayerKind } from '../models/model-summary';
import type { OpenedModel } from '../models/opened-model';
import { unitsMeant } from '../models/units';
import { ownWidth } from '../models/width-pruning/explain-not-width-prunable';
import { formatRanges } from '../models/width-pruning/number-ranges';
import type { PlannedWidthPruning } from '../models/width-pruning/width';
import { pruneWidth, readWidthPruning } from '../models/width-pruning/prune-width';
import type { LayeredModel } from '../models/layered-model';
import type { GgufFacts } from '../tensornet/sensitivity/sensitivity-profile';
import { say } from '../message';
import { UserError } from '../user-error';

/** Sublayers, experts and widths to remove. */
interface Removal {
  readonly remove?: readonly string[];
  readonly widths?: readonly PlannedWidthPruning[];
}

/** Explains why a GGUF file can't hold a model without some of its parts; undefined if it can. */
export async function explainNotInGguf(
  opened: OpenedModel,
  { remove = [], widths = [] }: Removal,
): Promise<Refusal | undefined> {
  const pruned =
    widths.length === 0
      ? opened
      : await pruneWidth(opened, readWidthPruning(opened, { widths, remove }), undefined);
  const source = writeSource(pruned);
  const { summary } = source.model;
  try {
    const changes = checkChanges(
      summary,
      remove.flatMap((id) => unitsMeant(id, summary)),
    );
    return await findOutput(source, changes, { format: 'gguf' }).refuse(changes);
  } catch (error) {
    if (error instanceof UserError) {
      const { code, problem: reason, subject } = error;
      return { code, reason, remedy: subject.remedy ?? say`Choose another format.` };
    }
    throw error;
  }
}

/** Sublayers and widths that a plan can remove from a model that becomes a GGUF file. */
export async function findGgufChanges(
  opened: OpenedModel,
): Promise<Pick<GgufFacts, 'removable' | 'widths'>> {
  const model: LayeredModel = opened.model;
  const { sublayers, blocks } = model.summary;
  const isPossible = async (removal: Removal): Promise<boolean> =>
    (await explainNotInGguf(opened, removal)) === undefined;
  const removable: (readonly string[])[] = [];
  for (let block = 0; block < blocks; block++) {
    const ids = sublayers.filter((one) => one.block === block).map(({ id }) => id);
    const units = [...(ids.length > 1 ? ids.map((id) => [id]) : []), ids];
    for (const remove of units) {
      if (remove.length > 0 && (await isPossible({ remove }))) {
        removable.push(remove);
      }
    }
  }
  const widths: Partial<Record<SublayerKind, 'each' | 'same'>> = {};
  for (const kind of new Set(sublayers.map((one) => one.kind))) {
    const prunings = sublayers.flatMap((one, index): Required<Removal>[] => {
      const { id, experts } = one;
      if (one.kind !== kind) {
        return [];
      }
      if (experts !== undefined) {
        return [{ remove: [`${id}.${experts.count - 1}`], widths: [] }];
      }
      const width = ownWidth(model, index);
      const last = Array.from(
        { length: width?.step ?? 0 },
        (_, i) => (width?.count ?? 0) - (width?.step ?? 0) + i,
      );
      return width === undefined
        ? []
        : [{ remove: [], widths: [{ sublayer: id, remove: formatRanges(last) }] }];
    });
    const [first] = prunings;
    const all = {
      remove: prunings.flatMap(({ remove }) => remove),
      widths: prunings.flatMap((one) => one.widths),
    };
    if (first !== undefined && (await isPossible(all))) {
      widths[kind] = prunings.length > 1 && (await isPossible(first)) ? 'each' : 'same';
    }
  }
  return { removable, widths };
}
