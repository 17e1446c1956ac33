import { fitsRows } from '../../checkpoints/quantize/quantizers';
import { parseRanges } from '../../models/width-pruning/number-ranges';
import type { SublayerSummary } from '../../models/model-summary';
import type {
  EmbeddingOrHeadSensitivity,
  GgufFacts,
  LayerSensitivity,
  SensitivityEntry,
  WidthEntry,
  WidthSensitivity,
} from '../sensitivity/sensitivity-profile';
import { isStoredBytes, unitCosts } from './budget-limits';
import type { BudgetUnit } from './budget-limits';
import { undominated } from './budget-problem';
import type { Alternative, Costs, PartState } from './budget-problem';
import {
  expertRestCost,
  optionsWithoutExperts,
  remainingExpertShare,
  remainingInputs,
  remainingShare,
  totalCost,
  widthPruningOptions,
} from './remaining-costs';
import type { OfferedEntries, RemainingCost, WidthShare } from './remaining-costs';

/** Change of a sublayer as a whole. */
export interface SublayerChange {
  readonly sublayer: string;
  /** Its width if it is width-pruned; undefined if it is removed. */
  readonly width?: WidthEntry & Pick<WidthSensitivity, 'of'>;
}

export type PlannedMatrix = LayerSensitivity | EmbeddingOrHeadSensitivity;

/** Meaning of a part's state. */
export interface PlannedState {
  readonly changes: readonly SublayerChange[];
  /** Matrices of the part that remain, in the order of the state's layers. */
  readonly matrices: readonly PlannedMatrix[];
  readonly entries: OfferedEntries;
}

/** A state, and its meaning. */
interface OpenState {
  readonly planned: PlannedState;
  readonly state: PartState;
}

/** Sublayer with its measured changes. */
export interface OpenSublayer {
  readonly sublayer: SublayerSummary;
  readonly matrices: readonly LayerSensitivity[];
  readonly width: WidthSensitivity | undefined;
  /** Excess distance of the model without it; undefined if it stays. */
  readonly removalLoss: number | undefined;
}

/** Costs and losses of states. */
export interface Counting {
  readonly units: readonly BudgetUnit[];
  readonly excessDistance: (measured: { readonly distance: number }) => number;
  /** Costs of a sublayer without its layers at a share of its width. */
  readonly rest: (sublayer: SublayerSummary, share: number) => Costs;
}

/** States of the embedding or head: unchanged, with all its options. */
export const matrixState = (
  matrix: PlannedMatrix,
  counting: Pick<Counting, 'units' | 'excessDistance'>,
): OpenState => {
  const { entries, layers } = offered([matrix], whole([matrix]), counting);
  return {
    planned: { changes: [], matrices: [matrix], entries },
    state: { costs: counting.units.map(() => 0), loss: 0, layers },
  };
};

/**
 * States of a part that consists of sublayers: every combination of their states. The first one is unchanged.
 * @param gguf if set, only combinations that a GGUF file can represent; sublayers are those of one block
 */
export function combinedStates(
  sublayers: readonly OpenSublayer[],
  counting: Counting,
  gguf: GgufFacts | undefined,
): OpenState[] {
  const [first, ...others] = sublayers.map((one) => sublayerStates(one, counting, gguf));
  const combined = others.reduce(
    (states, more) => states.flatMap((one) => more.map((other) => joined(one, other))),
    first ?? [],
  );
  if (gguf === undefined) {
    return combined;
  }
  const [block = 0] = sublayers.map(({ sublayer }) => sublayer.block);
  const blockRest =
    (gguf.blocks[block] ?? 0) -
    sublayers.reduce((sum, { matrices }) => sum + totalCost(matrices, 'bytes'), 0);
  return combined.flatMap(({ planned, state }) => {
    const removed = removedSublayers(planned);
    const isAllowed =
      removed.length === 0 ||
      gguf.removable.some(
        (unit) => unit.length === removed.length && unit.every((id) => removed.includes(id)),
      );
    const rest = removed.length === sublayers.length ? 0 : blockRest;
    const costs = state.costs.map((cost, i) =>
      isStoredBytes(counting.units[i]) ? cost + rest : cost,
    );
    return isAllowed ? [{ planned, state: { ...state, costs } }] : [];
  });
}

export const removedSublayers = ({ changes }: Pick<PlannedState, 'changes'>): string[] =>
  changes.flatMap(({ sublayer, width }) => (width === undefined ? [sublayer] : []));

function sublayerStates(
  { sublayer, matrices, width, removalLoss }: OpenSublayer,
  counting: Counting,
  gguf: GgufFacts | undefined,
): OpenState[] {
  const { units, excessDistance, rest } = counting;
  const { id } = sublayer;
  const { entries, layers } = offered(matrices, whole(matrices), counting);
  const states: OpenState[] = [
    {
      planned: { changes: [], matrices, entries },
      state: { costs: rest(sublayer, 1), loss: 0, layers },
    },
  ];
  const isPruned = gguf === undefined || gguf.widths[sublayer.kind] !== undefined;
  for (const entry of isPruned ? (width?.entries ?? []) : []) {
    const { of, count } = width ?? { of: 'channels', count: entry.kept };
    const share = { kept: entry.kept, count };
    const without = new Set(of === 'experts' ? parseRanges(entry.remove) : []);
    const left =
      of === 'experts'
        ? offered(
            matrices,
            optionsWithoutExperts(matrices, without),
            counting,
            remainingExpertShare(without, share),
          )
        : offered(matrices, fittingOptions(matrices, share), counting, (_, ...made) =>
            remainingShare(share, ...made),
          );
    const own = rest(sublayer, of === 'experts' ? 1 : share.kept / count);
    states.push({
      planned: {
        changes: [{ sublayer: id, width: { of, ...entry } }],
        matrices,
        entries: left.entries,
      },
      state: {
        costs: own.map(
          (cost, i) =>
            cost - without.size * expertRestCost(units[i] ?? 'bytes', sublayer, matrices),
        ),
        loss: excessDistance(entry),
        layers: left.layers,
      },
    });
  }
  if (removalLoss !== undefined) {
    states.push({
      planned: { changes: [{ sublayer: id }], matrices: [], entries: [] },
      state: { costs: units.map(() => 0), loss: removalLoss, layers: [] },
    });
  }
  return states;
}

const joined = (one: OpenState, other: OpenState): OpenState => ({
  planned: {
    changes: [...one.planned.changes, ...other.planned.changes],
    matrices: [...one.planned.matrices, ...other.planned.matrices],
    entries: [...one.planned.entries, ...other.planned.entries],
  },
  state: {
    costs: one.state.costs.map((cost, i) => cost + (other.state.costs[i] ?? 0)),
    loss: one.state.loss + other.state.loss,
    layers: [...one.state.layers, ...other.state.layers],
  },
});

const whole = (matrices: readonly PlannedMatrix[]): OfferedEntries =>
  matrices.map(({ entries }) => [undefined, ...entries]);

/** Options of layers in a width-pruned sublayer whose rows can be stored in them. */
const fittingOptions = (
  matrices: readonly LayerSensitivity[],
  share: WidthShare,
): OfferedEntries => {
  const options = widthPruningOptions(matrices);
  return matrices.map((matrix, i) =>
    (options[i] ?? []).filter(
      (entry) => entry?.type === undefined || fitsRows(entry.type, remainingInputs(share, matrix)),
    ),
  );
};

/** Options without those that are dominated by another one; the first option is always the unchanged layer. */
function offered(
  matrices: readonly PlannedMatrix[],
  entries: OfferedEntries,
  { units, excessDistance }: Pick<Counting, 'units' | 'excessDistance'>,
  left?: RemainingCost,
): Pick<PlannedState, 'entries'> & Pick<PartState, 'layers'> {
  const options = matrices.map((matrix, i) => {
    const all = (entries[i] ?? []).map((entry: SensitivityEntry | undefined) => ({
      entry,
      costs: units.map(
        (unit) =>
          unitCosts[unit](entry ?? matrix) * (left === undefined ? 1 : left(unit, matrix, entry)),
      ),
      loss: entry === undefined ? 0 : excessDistance(entry),
    }));
    const best = new Set(undominated(all));
    return all.filter((_, index) => index === 0 || best.has(index));
  });
  return {
    entries: options.map((own) => own.map(({ entry }) => entry)),
    layers: options.map((own) => own.map(({ costs, loss }) => ({ costs, loss }))),
  };
}

/**
 * Combinations of states in which all sublayers of a kind have the same width, for kinds whose widths a GGUF file gives
 * once; undefined if it gives them for each block.
 */
export function widthAlternatives(
  parts: readonly (readonly PlannedState[])[],
  sublayers: readonly OpenSublayer[],
  { widths }: Pick<GgufFacts, 'widths'>,
): Alternative[] | undefined {
  const kinds = [...new Set(sublayers.map(({ sublayer }) => sublayer.kind))].filter((kind) =>
    sublayers.some(({ sublayer, width }) => sublayer.kind === kind && width !== undefined),
  );
  const uniform = kinds.filter((kind) => widths[kind] === 'same');
  if (uniform.length === 0) {
    return undefined;
  }
  // undefined is the original width.
  const combinations = uniform.reduce<ReadonlyMap<string, number | undefined>[]>(
    (made, kind) => {
      const all = sublayers.filter(({ sublayer }) => sublayer.kind === kind);
      const sizes = new Set(
        all.flatMap(({ width }) => (width?.entries ?? []).map(({ kept }) => kept)),
      );
      return made.flatMap((known) =>
        [undefined, ...sizes].map((size) => new Map([...known, [kind, size]])),
      );
    },
    [new Map()],
  );
  const sublayerKinds = new Map(sublayers.map(({ sublayer }) => [sublayer.id, sublayer.kind]));
  const members = parts.map((states) => [
    ...new Set(
      states.flatMap(({ changes, matrices }) => [
        ...changes.map(({ sublayer }) => sublayer),
        ...matrices.flatMap((one) => ('sublayer' in one ? [one.sublayer] : [])),
      ]),
    ),
  ]);
  return combinations
    .map((sizes) =>
      parts.map((states, part) =>
        states.flatMap(({ changes }, index) => {
          const fits = (members[part] ?? []).every((id) => {
            const kind = sublayerKinds.get(id) ?? '';
            const change = changes.find(({ sublayer }) => sublayer === id);
            const isRemoved = change !== undefined && change.width === undefined;
            return !sizes.has(kind) || isRemoved || change?.width?.kept === sizes.get(kind);
          });
          return fits ? [index] : [];
        }),
      ),
    )
    .filter((allowed) => allowed.every((states) => states.length > 0));
}
