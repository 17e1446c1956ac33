import type { LayeredModel } from '../layered-model';
import type { ModelSummary, SublayerSummary } from '../model-summary';
import type { OpenedModel } from '../opened-model';
import { narrowModel, readNarrowing } from './narrow-model';
import type { PlannedChanges } from './narrow-model';
import type { Width } from './width';

/** A sublayer that is narrowed: how much of it is kept, and what that costs. */
export interface NarrowedSublayer extends Pick<
  SublayerSummary,
  'parameters' | 'bytes' | 'flopsPerToken' | 'kvBytesPerToken'
> {
  readonly of: Width['of'];
  readonly kept: number;
  /** Channels or key/value heads of the original. */
  readonly count: number;
}

/** What a plan's narrowing makes of a model, before anything is written. */
export interface NarrowedModel {
  readonly summary: ModelSummary;
  /** Of a Hugging Face folder: the config.json that says how wide sublayers are. */
  readonly configText?: string;
  /** By id. */
  readonly sublayers: Readonly<Record<string, NarrowedSublayer>>;
}

/**
 * What narrowing leaves of a model, by headers alone.
 * @throws UserError for what cannot be narrowed so, or is removed as well.
 */
export async function describeNarrowed(
  original: OpenedModel,
  changes: PlannedChanges,
): Promise<NarrowedModel> {
  const narrowing = readNarrowing(original, changes);
  const whole: LayeredModel = original.model;
  const { summary, headers } = await narrowModel(original, narrowing, undefined);
  const sublayers = summary.sublayers.flatMap((sublayer, index) => {
    const { id, parameters, bytes, flopsPerToken, kvBytesPerToken } = sublayer;
    const [kept, width] = [narrowing.get(id)?.length, whole.sublayer(index).width];
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
