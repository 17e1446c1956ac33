import type { LayeredModel } from '../layered-model';
import type { ModelSummary, SublayerSummary } from '../model-summary';
import type { OpenedModel } from '../opened-model';
import { pruneWidth, readWidthPruning } from './prune-width';
import type { PlannedChanges } from './prune-width';
import type { Width } from './width';

/** Width-pruned sublayer with its remaining width and costs. */
export interface WidthPrunedSublayer extends Pick<
  SublayerSummary,
  'parameters' | 'bytes' | 'flopsPerToken' | 'kvBytesPerToken'
> {
  readonly of: Width['of'];
  readonly kept: number;
  /** Channels or key/value heads of the original. */
  readonly count: number;
}

/** Model after a plan's width pruning, before anything is written. */
export interface WidthPrunedModel {
  readonly summary: ModelSummary;
  /** For Hugging Face folders: config.json with the new widths. */
  readonly configText?: string;
  /** By sublayer id. */
  readonly sublayers: Readonly<Record<string, WidthPrunedSublayer>>;
}

/**
 * Describes a width-pruned model from headers alone.
 * @throws UserError for sublayers whose width can't be pruned, or that the plan also removes
 */
export async function describeWidthPruned(
  original: OpenedModel,
  changes: PlannedChanges,
): Promise<WidthPrunedModel> {
  const widthPruning = readWidthPruning(original, changes);
  const whole: LayeredModel = original.model;
  const { summary, headers } = await pruneWidth(original, widthPruning, undefined);
  const sublayers = summary.sublayers.flatMap((sublayer, index) => {
    const { id, parameters, bytes, flopsPerToken, kvBytesPerToken } = sublayer;
    const [kept, width] = [widthPruning.get(id)?.length, whole.sublayer(index).width];
    return kept === undefined || width === undefined
      ? []
      : [
          [
            id,
            {
              ...{ of: width.of, count: width.count, kept },
              ...{ parameters, bytes, flopsPerToken, kvBytesPerToken },
            },
          ] as const,
        ];
  });
  return {
    summary,
    ...(headers.format === 'safetensors' ? { configText: headers.configText } : {}),
    sublayers: Object.fromEntries(sublayers),
  };
}
