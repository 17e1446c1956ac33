import { strings } from './strings';
import type { ModelSummary, SublayerSummary } from './types';

/** What a cell stands for: a sublayer, or one expert of a mixture. */
export interface Unit extends SublayerSummary {
  /** Counted from 0 among the mixture's. */
  readonly expert?: number;
}

/** Those of models that are looked at, since a mixture has thousands. */
const known = new WeakMap<ModelSummary, readonly Unit[]>();

/** The sublayers in order, each mixture followed by its experts. */
export function listUnits(model: ModelSummary): readonly Unit[] {
  const units =
    known.get(model) ?? model.sublayers.flatMap((sublayer) => [sublayer, ...listExperts(sublayer)]);
  known.set(model, units);
  return units;
}

/** The experts of a mixture, as if tokens were sent to all of them equally often. */
function listExperts({ id, block, kind, experts }: SublayerSummary): Unit[] {
  if (experts === undefined) return [];
  const { count, perToken, parameters, bytes } = experts;
  return Array.from({ length: count }, (_, expert) => ({
    id: `${id}.${expert}`,
    block,
    kind,
    parameters,
    bytes,
    flopsPerToken: Math.round((2 * parameters * perToken) / count),
    kvBytesPerToken: 0,
    expert,
  }));
}

/** Whether an id is that of a single expert, `block.N.expert.J`. */
export function isExpert(id: string): boolean {
  return /^block\.\d+\.expert\.\d+$/.test(id);
}

/** What a unit is called, its block apart. */
export function unitName({ kind, expert }: Pick<Unit, 'kind' | 'expert'>): string {
  return expert === undefined ? strings.kind(kind) : strings.expertNumber(expert);
}
