import type {
  CandidateStability,
  HeatmapState,
  WidthPrunedSublayer,
  ShownPatch,
  SublayerDrift,
} from '../../extension/protocol/heatmap';
import type { LogScale } from '../charts/log-scale';
import { logScale } from '../charts/log-scale';
import type { GridItem, LostPlace } from '../grid/block-grid';
import { findColumn, columns, listColumns } from './columns';
import type { ColumnSource, HeatmapColumn } from './columns';
import { listLines } from './kinds';
import { expandSublayers, removalOrder, candidateSublayers } from './selection';
import type { Mark, ShownProfile } from './types';
import { isExpert, unitName, listUnits } from './units';
import type { Unit } from './units';

type Granularity = ShownProfile['settings']['granularity'];

/**
 * State of a sublayer: its distance is known, only the local preview, nothing yet, or it is not part of the search (a
 * search over attention alone excludes the MLP).
 */
export type CellStatus = 'measured' | 'preview' | 'pending' | 'excluded';

/** Ids of what colors the cells. */
export const colorings: readonly string[] = ['importance', ...columns.map(({ id }) => id)];

/** One sublayer, or expert, as the grid, the details and the table show it. */
export interface Cell extends GridItem {
  readonly sublayer: Unit;
  readonly status: CellStatus;
  /** Distance of the original without this sublayer (or its block), when measured in full. */
  readonly distance: number | undefined;
  /** Standard error of the distance, if known. */
  readonly standardError: number | undefined;
  /** A lower bound where the distance was not needed in full. */
  readonly atLeast: number | undefined;
  /** 1 − cos(x, x + f(x)). */
  readonly preview: number | undefined;
  /** Position of the distance, or of the preview, on the color scale, from 0 to 1. */
  readonly position: number | undefined;
  /** 1 is the cheapest candidate; undefined without a distance. */
  readonly rank: number | undefined;
  /** Among how many candidates it has its rank. */
  readonly ranked: number | undefined;
  /** Stability across calibration texts, if measured on several. */
  readonly stability: CandidateStability | undefined;
  readonly mark: Mark;
  /** Place in the order of removal, from 1, when removed; of all that one round removes the same. */
  readonly order: number | undefined;
  /** Greedy round that removes it, from 1, when the search got there. */
  readonly round: number | undefined;
  /** Remaining width or experts, if it is kept and loses some. */
  readonly widthPruned: LessWide | undefined;
  /** Patch that replaces, or will replace, the sublayer. */
  readonly patch: ShownPatch | undefined;
  /** Drift of the hidden states after the sublayer, if known. */
  readonly drift: SublayerDrift | undefined;
  /** Values of the columns, by their ids. */
  readonly values: Readonly<Record<string, number | undefined>>;
  /** Value that colors the cell instead of its distance, as text. */
  readonly shown: string | undefined;
}

/** A width-pruned sublayer, or a MoE layer without some of its experts. */
export type LessWide = Omit<WidthPrunedSublayer, 'of'> & {
  readonly of: WidthPrunedSublayer['of'] | 'experts';
};

export interface ShownColumn extends HeatmapColumn {
  readonly colors: LogScale;
}

export interface CellSet {
  readonly cells: readonly Cell[];
  readonly byId: ReadonlyMap<string, Cell>;
  /** Lines of the grid in the order in which a block's are shown. */
  readonly lines: readonly string[];
  readonly distances: LogScale | undefined;
  readonly previews: LogScale | undefined;
  /** Column that colors the cells instead of importance, with its scale. */
  readonly column: ShownColumn | undefined;
}

/** Positions of sublayers removed by an earlier pruning, in lines that other blocks have. */
export function lostPlaces({ absent = [], sublayers }: HeatmapState['model']): LostPlace[] {
  const present = new Set(sublayers.map(({ id }) => id));
  return absent.flatMap((id) => {
    const [, block, kind] = /^block\.(\d+)\.([\w-]+)$/.exec(id) ?? [];
    const like = sublayers.find((one) => one.kind === kind);
    return like === undefined || present.has(id)
      ? []
      : [{ block: Number(block), line: unitName(like) }];
  });
}

/** The part of the panel's state that cells are made from. */
export type CellSource = Pick<
  HeatmapState,
  | 'model'
  | 'profile'
  | 'candidates'
  | 'removed'
  | 'protectedIds'
  | 'widthPruned'
  | 'patches'
  | 'drift'
  | 'measurements'
> & { readonly colors?: string };

/** @param before set whose unchanged cells are reused, so that they are not redrawn */
export function buildCells(source: CellSource, before?: CellSet): CellSet {
  const { model, profile, protectedIds, patches } = source;
  const granularity = profile?.settings.granularity ?? 'sublayer';
  const isExpertSearch = granularity === 'expert';
  const bySublayer = <T>(values: readonly (readonly [candidate: string, value: T])[]) =>
    new Map(
      isExpertSearch
        ? values
        : values.flatMap(([candidate, value]) =>
            candidateSublayers(candidate, model).map((id) => [id, value] as const),
          ),
    );
  const candidates = Object.values(source.candidates);
  const measured = bySublayer(candidates.map((one) => [one.sublayer, one]));
  const ranking = candidates
    .flatMap(({ sublayer, distance }) => (distance === null ? [] : [{ sublayer, distance }]))
    .sort((a, b) => a.distance - b.distance);
  const ranks = bySublayer(ranking.map(({ sublayer }, index) => [sublayer, index + 1]));
  const rounds = bySublayer(
    (profile?.rounds ?? []).map((round, index) => [round.removed, index + 1]),
  );
  const local = bySublayer(
    (profile?.cosineLocal ?? []).flatMap(({ sublayer, distance }) =>
      distance === null ? [] : [[sublayer, distance] as const],
    ),
  );
  const stabilities = bySublayer(
    (profile?.stability?.candidates ?? []).map((one) => [one.sublayer, one] as const),
  );
  const order = removalOrder(source);
  const locked = new Set(expandSublayers(protectedIds, model));
  const distances = logScale(candidates.flatMap((one) => one.distance ?? one.atLeast ?? []));
  const previews = logScale(local.values());
  const drifted = new Map(source.drift?.sublayers.map((one) => [one.sublayer, one]));
  // Experts have cells only where needed, since there may be thousands.
  const withExperts =
    isExpertSearch ||
    [...order.keys(), ...locked, ...Object.values(source.measurements).flatMap(Object.keys)].some(
      isExpert,
    );
  const units = withExperts ? listUnits(model) : model.sublayers;
  const values = columnValues(source);
  const withoutExperts = countRemovedExperts(order.keys());
  const column = shownColumn(source, units);

  const buildCell = (sublayer: Unit, last: Cell | undefined): Cell => {
    const { id, block } = sublayer;
    const candidate = measured.get(id);
    const distance = candidate?.distance ?? undefined;
    const atLeast = distance === undefined ? candidate?.atLeast : undefined;
    const preview = local.get(id);
    const status = cellStatus(distance ?? atLeast, preview, isCandidate(sublayer, granularity));
    const patch = patches[id];
    const own = values(sublayer);
    const value = column && own[column.id];
    const rank = ranks.get(id);
    const isRemoved = order.has(id);
    // Written out, since spreading is slow and there may be thousands.
    return {
      id,
      block,
      line: last?.sublayer === sublayer ? last.line : unitName(sublayer),
      sublayer,
      distance,
      atLeast,
      preview,
      drift: drifted.get(id),
      values: own,
      status: value === undefined ? status : 'measured',
      shown: value === undefined ? undefined : column?.format(value),
      standardError: distance === undefined ? undefined : candidate?.standardError,
      position:
        value === undefined
          ? scalePosition(status, distance ?? atLeast, preview, distances, previews)
          : column?.colors.position(value),
      rank,
      ranked: rank === undefined ? undefined : ranking.length,
      stability: stabilities.get(id),
      mark: isRemoved ? 'removed' : locked.has(id) ? 'protected' : 'keep',
      order: order.get(id),
      round: rounds.get(id),
      widthPruned: isRemoved
        ? undefined
        : (source.widthPruned[id] ?? fewerExperts(sublayer, withoutExperts.get(id))),
      // A planned patch replaces only sublayers that are removed.
      patch: patch?.place === 'model' || isRemoved ? patch : undefined,
    };
  };
  const cells = units.map((sublayer) => {
    const last = before?.byId.get(sublayer.id);
    const cell = buildCell(sublayer, last);
    return last !== undefined && isSame(cell, last) ? last : cell;
  });
  return {
    cells,
    byId: new Map(cells.map((cell) => [cell.id, cell])),
    lines: listLines(cells.map(({ sublayer }) => sublayer)).map(unitName),
    distances,
    previews,
    column,
  };
}

/** Number of removed experts of each MoE layer. */
function countRemovedExperts(removed: Iterable<string>): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const id of removed) {
    if (isExpert(id)) {
      const layer = id.slice(0, id.lastIndexOf('.'));
      counts.set(layer, (counts.get(layer) ?? 0) + 1);
    }
  }
  return counts;
}

/** A MoE layer without some of its experts; undefined if it keeps all. */
function fewerExperts(
  { experts, parameters, bytes, flopsPerToken, kvBytesPerToken }: Unit,
  removed = 0,
): LessWide | undefined {
  return experts === undefined || removed === 0
    ? undefined
    : {
        ...{ of: 'experts', count: experts.count, kept: experts.count - removed },
        parameters: parameters - removed * experts.parameters,
        bytes: bytes - removed * experts.bytes,
        ...{ flopsPerToken, kvBytesPerToken },
      };
}

const listValues = (
  value: (unit: Unit) => number | undefined,
  units: readonly Unit[],
): readonly number[] => units.flatMap((unit) => value(unit) ?? []);

/** The column that is asked for, if something is known for it. */
function shownColumn(source: CellSource, units: readonly Unit[]): ShownColumn | undefined {
  const column = findColumn(source.colors);
  const known = column && listValues(column.value(source), units);
  const colors = known && column.scale(known);
  return colors && { ...column, colors };
}

function isSame(a: Cell, b: Cell): boolean {
  for (const field in a) {
    const name = field as keyof Cell;
    if (a[name] !== b[name] && !(name === 'values' && hasSameValues(a, b))) return false;
  }
  return true;
}

function hasSameValues({ values: a }: Cell, { values: b }: Cell): boolean {
  return [...Object.keys(a), ...Object.keys(b)].every((id) => a[id] === b[id]);
}

/** Values of units by column, and the source that they were read from. The key is the measurements of the source. */
const knownValues = new WeakMap<
  ColumnSource['measurements'],
  { readonly source: ColumnSource; readonly byUnit: WeakMap<Unit, Cell['values']> }
>();

/** Values of a unit by column id: the same object as long as the source is the same. */
function columnValues({
  model,
  drift,
  measurements,
}: ColumnSource): (unit: Unit) => Cell['values'] {
  const source = { model, drift, measurements };
  const known = knownValues.get(measurements);
  const byUnit =
    known !== undefined && known.source.drift === drift && known.source.model === model
      ? known.byUnit
      : new WeakMap<Unit, Cell['values']>();
  knownValues.set(measurements, { source, byUnit });
  const readers = listColumns(source).map(({ id, value }) => [id, value(source)] as const);
  return (unit) => {
    const before = byUnit.get(unit);
    if (before !== undefined) return before;
    const values: Record<string, number | undefined> = {};
    for (const [id, read] of readers) values[id] = read(unit);
    byUnit.set(unit, values);
    return values;
  };
}

function scalePosition(
  status: CellStatus,
  distance: number | undefined,
  preview: number | undefined,
  distances: LogScale | undefined,
  previews: LogScale | undefined,
): number | undefined {
  if (status === 'measured' && distance !== undefined) return distances?.position(distance);
  return status === 'preview' && preview !== undefined ? previews?.position(preview) : undefined;
}

/** True if a search at `granularity` measures a unit. */
function isCandidate({ kind, expert }: Unit, granularity: Granularity): boolean {
  if (granularity === 'expert') return expert !== undefined;
  return (
    expert === undefined &&
    (granularity === 'sublayer' ||
      granularity === 'block' ||
      kind === granularity ||
      (granularity === 'attention' && kind === 'cross-attention'))
  );
}

function cellStatus(
  distance: number | undefined,
  preview: number | undefined,
  considered: boolean,
): CellStatus {
  if (distance !== undefined) return 'measured';
  if (!considered) return 'excluded';
  return preview === undefined ? 'pending' : 'preview';
}
