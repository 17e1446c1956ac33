import { isDeepStrictEqual } from 'node:util';
import type { Refusal } from '../models/capability';
import type { ModelSummary } from '../models/model-summary';
import { pruneWidth, readWidthPruning } from '../models/width-pruning/prune-width';
import type { PlannedWidthPruning } from '../models/width-pruning/width';
import type { OpenedModel } from '../models/opened-model';
import { RemovableUnits, unitsMeant } from '../models/units';
import { listCandidates, resolveIds } from '../prune/candidates';
import type { Candidate } from '../prune/candidates';
import type { Granularity, SearchSettings } from '../prune/options';
import type { WritableOnly } from '../prune/profile-model';
import { checkChanges, layOutChanges, placeholderPatches } from './changes';
import { listMatrices, matrixChanges, placeholderEncodings } from './matrix-changes';
import { checkOutputs, findOutput, refusedAs } from './output-options';
import type { CheckedOutput, OutputTarget } from './output-options';
import { writeSource } from './write-source';
import { outputFormats } from './output-formats';
import type { WriteSource } from './write-source';
import type { CompressionChoice } from '../tensornet/compression-choice';
import type { UserError } from '../user-error';
import { joined, say } from '../message';
import type { Message } from '../message';

/** Changes to check before any work. */
export interface AskedChanges {
  /** Ids of sublayers, experts or blocks that go. */
  readonly remove: readonly string[];
  /** Width pruning of the remaining sublayers; none if absent. */
  readonly widths?: readonly PlannedWidthPruning[];
  /** Compression of matrices, embedding and head included; none if absent. */
  readonly compress?: readonly CompressionChoice[];
  /** Ids of patched sublayers; none if absent. */
  readonly patch?: readonly string[];
}

/**
 * Lists all output options for some changes, with reasons for those that aren't possible.
 * @throws UserError if the model lacks one of the sublayers
 */
export async function listOutputs(
  original: OpenedModel,
  { remove, widths = [], compress = [], patch = [] }: AskedChanges,
): Promise<CheckedOutput[]> {
  const opened =
    widths.length === 0
      ? original
      : await pruneWidth(original, readWidthPruning(original, { widths, remove }), undefined);
  const { model, summary } = opened;
  const units = new RemovableUnits(summary);
  const ids = resolveIds(summary, remove, { field: 'remove' }).map((unit) => units.idOf(unit));
  const choices = new Map(compress.map((choice) => [choice.tensor, choice]));
  const chosen = listMatrices(model).filter(({ id }) => choices.has(id));
  const isOneChoice = (head: string): boolean => {
    const { tiedTo = '' } = model.embeddingAndHeadMatrices.find(({ id }) => id === head) ?? {};
    return isDeepStrictEqual({ ...choices.get(head), tensor: tiedTo }, choices.get(tiedTo));
  };
  const matrices = matrixChanges(model, placeholderEncodings(chosen, isOneChoice));
  const changes = checkChanges(summary, ids, matrices, placeholderPatches(patch));
  return checkOutputs(writeSource(opened), changes);
}

/**
 * Default unit of removal: sublayers, or whole blocks if the requested output can only represent
 * whole blocks.
 */
export async function writableGranularity(
  opened: OpenedModel,
  asked: Partial<OutputTarget>,
): Promise<Granularity> {
  const source = writeSource(opened);
  const isAny = async (granularity: Granularity): Promise<boolean> => {
    for (const candidate of listCandidates(opened.summary, granularity)) {
      if (
        (await judge(source, asked, memberIds(opened.summary, candidate))).refusal === undefined
      ) {
        return true;
      }
    }
    return false;
  };
  return !(await isAny('sublayer')) && (await isAny('block')) ? 'block' : 'sublayer';
}

/** Candidates of a search that can't be written. */
export interface ForeseenRefusals {
  /**
   * Number of candidates that can't be removed alone, the reason and a remedy; undefined if all
   * can.
   */
  readonly warning: Message | undefined;
  /** Reason why no option is possible; undefined if one is. */
  readonly nothing: UserError | undefined;
  /** Restricts a search to writable results; undefined if everything or nothing can be written. */
  readonly writable: WritableOnly | undefined;
}

/** Candidates that cannot go alone if the result is written as asked, so that nobody waits for a search in vain. */
export async function foreseeRefusals(
  opened: OpenedModel,
  asked: Partial<OutputTarget>,
  { granularity, protect }: Pick<SearchSettings, 'granularity' | 'protect'>,
): Promise<ForeseenRefusals> {
  const { summary } = opened;
  const source = writeSource(opened);
  const protectedIds = new Set(resolveIds(summary, protect, { field: 'protect' }));
  const candidates = listCandidates(summary, granularity).filter(
    ({ members }) => !members.some((unit) => protectedIds.has(unit)),
  );
  const refusals: (Refusal & { readonly target: OutputTarget })[] = [];
  for (const candidate of candidates) {
    const { refusal, target } = await judge(source, asked, memberIds(summary, candidate));
    if (refusal !== undefined) {
      refusals.push({ ...refusal, target });
    }
  }
  const { length } = refusals;
  // Only two distinct reasons are listed, because candidates of a kind fail with the same message.
  const [first] = refusals;
  const other = refusals.find(({ reason }) => reason.code !== first?.reason.code);
  const messages = [first, other].flatMap((one) =>
    one === undefined ? [] : [one.reason, one.remedy],
  );
  const last = length === candidates.length ? refusals.at(-1) : undefined;
  // Each of the two towers may lose blocks, but not all of them.
  const isFree = length === 0 && summary.encoderBlocks === undefined;
  return {
    warning:
      first &&
      say`${length} of ${candidates.length} candidates can't be removed alone in a ${outputFormats[first.target.format]}: ${joined(messages)}`,
    nothing: last && refusedAs(last.target, last, source.path),
    writable:
      isFree || last !== undefined
        ? undefined
        : {
            key: JSON.stringify([asked.format, asked.layout]),
            test: async (ids) => (await judge(source, asked, ids)).refusal === undefined,
          },
  };
}

/** Number of leading ids that can be removed together, and the reason why not all of them can. */
export async function writablePrefix(
  opened: OpenedModel,
  asked: Partial<OutputTarget>,
  ids: readonly string[],
): Promise<{ readonly count: number; readonly refusal: Refusal | undefined }> {
  const source = writeSource(opened);
  const { refusal } = await judge(source, asked, ids);
  for (let count = refusal === undefined ? ids.length : ids.length - 1; count > 0; count--) {
    if ((await judge(source, asked, ids.slice(0, count))).refusal === undefined) {
      return { count, refusal };
    }
  }
  return { count: 0, refusal };
}

async function judge(
  source: WriteSource,
  asked: Partial<OutputTarget>,
  ids: readonly string[],
): Promise<{ readonly refusal: Refusal | undefined; readonly target: OutputTarget }> {
  const { summary } = source.model;
  const changes = layOutChanges(
    summary,
    ids.flatMap((id) => unitsMeant(id, summary)),
  );
  const target = findOutput(source, changes, asked);
  return { refusal: await target.refuse(changes), target };
}

function memberIds(summary: ModelSummary, { members }: Candidate): string[] {
  const units = new RemovableUnits(summary);
  return members.map((unit) => units.idOf(unit));
}
