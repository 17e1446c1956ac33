import { strings } from './strings';
import type { ModelSummary, SublayerSummary } from './types';

/** Content of a cell: a sublayer, or one expert of an MoE layer. */
export interface Unit extends SublayerSummary {
  /** Index of the expert in its MoE layer, from 0. */
  readonly expert?: number;
}

/** Units of recently shown models: an MoE model has thousands. */
const known = new WeakMap<ModelSummary, readonly Unit[]>();

/** Sublayers in order, each MoE layer followed by its experts. */
export function listUnits(model: ModelSummary): readonly Unit[] {
  const units =
    known.get(model) ?? model.sublayers.flatMap((sublayer) => [sublayer, ...listExperts(sublayer)]);
  known.set(model, units);
  return units;
}

/** Experts of an MoE layer, assuming that the router selects all of them equally often. */
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

/** True if an id names a single expert, `block.N.expert.J`. */
export function isExpert(id: string): boolean {
  return /^block\.\d+\.expert\.\d+$/.test(id);
}

/** Name of a unit, without its block. */
export function unitName({ kind, expert }: Pick<Unit, 'kind' | 'expert'>): string {
  return expert === undefined ? strings.kind(kind) : strings.expertNumber(expert);
}
