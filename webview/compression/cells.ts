import type { MadePlan, ShownTable } from '../../extension/protocol/compression';
import type { LogScale } from '../charts/log-scale';
import { logScale } from '../charts/log-scale';
import type { GridItem } from '../grid/block-grid';
import { strings } from './strings';
import type { Drawback, Entry, Matrix, EmbeddingOrHead, CompressionScheme } from './types';

/** One linear layer, embedding or head as the grid, the details and the table show it. */
export interface LayerCell extends GridItem {
  readonly layer: Matrix;
  /**
   * Compressed as the entry says; not measured in this way yet; kept dense by the plan; or removed by
   * the plan with its sublayer.
   */
  readonly status: 'measured' | 'pending' | 'kept' | 'removed';
  readonly entry: Entry | undefined;
  /** Increase of the output distance, or of perplexity, caused by the entry. */
  readonly loss: number | undefined;
  readonly drawbacks: readonly Drawback[];
}

export interface CellSet {
  readonly cells: readonly LayerCell[];
  readonly byId: ReadonlyMap<string, LayerCell>;
  /** Lines of the grid in the order of a block. */
  readonly lines: readonly string[];
  /** Over all that has been measured, so that colors of methods and settings can be compared. */
  readonly scale: LogScale | undefined;
}

/** Contents of the cells: one scheme at about a share of the bytes, or the plan. */
export type Shown =
  | { readonly kind: 'scheme'; readonly scheme: string; readonly share: number }
  | { readonly kind: 'plan'; readonly plan: MadePlan };

/** Tells schemes apart: METHOD[:VARIANT][+THEN]. */
export function schemeKey({ method, variant, then }: CompressionScheme): string {
  return `${method}${variant === undefined ? '' : `:${variant}`}${then === undefined ? '' : `+${then}`}`;
}

/** The schemes that a table has measured or will measure, in its order. */
export function tableSchemes(table: ShownTable): CompressionScheme[] {
  const all: readonly CompressionScheme[] = [
    ...table.settings.compressions,
    ...allMatrices(table).flatMap(({ entries }) => entries),
  ];
  return [
    ...new Map(
      all.map(({ method, variant, then }) => {
        const scheme = {
          method,
          ...(variant === undefined ? {} : { variant }),
          ...(then === undefined ? {} : { then }),
        };
        return [schemeKey(scheme), scheme];
      }),
    ).values(),
  ];
}

/** Whole percents of the bytes that a scheme's settings leave of layers, the mildest first. */
export function listShares(table: ShownTable, scheme: string): number[] {
  const shares = allMatrices(table).flatMap(({ entries, bytes }) =>
    entries
      .filter((entry) => schemeKey(entry) === scheme)
      .map((entry) => bytesPercent(entry, bytes)),
  );
  return [...new Set(shares)].sort((a, b) => b - a);
}

function bytesPercent(entry: Entry, bytes: number): number {
  return Math.round((100 * entry.bytes) / bytes);
}

/** @param before set whose unchanged cells are reused, so that they are not redrawn */
export function buildCells(table: ShownTable, shown: Shown, before?: CellSet): CellSet {
  const matrices = allMatrices(table);
  const lines = nameLines(matrices);
  const blocks = table.layers.map(({ block }) => block);
  const removed = shown.kind === 'plan' ? new Set(shown.plan.result.remove) : new Set<string>();
  const choices = new Map(
    shown.kind === 'plan'
      ? shown.plan.result.compress.map((choice) => [choice.tensor, choice] as const)
      : [],
  );
  const cells = matrices.map((layer): LayerCell => {
    const { tensor } = layer;
    const choice = choices.get(tensor);
    const entry =
      shown.kind === 'scheme'
        ? nearest(layer, shown.scheme, shown.share)
        : choice &&
          layer.entries.find(
            (one) => schemeKey(one) === schemeKey(choice) && one.setting === choice.setting,
          );
    const cell: LayerCell = {
      id: tensor,
      // The embedding is placed before the first block, the head after the last.
      block: isEmbeddingOrHead(layer)
        ? layer.place === 'embedding'
          ? Math.min(...blocks)
          : Math.max(...blocks)
        : layer.block,
      line: lines.get(tensor) ?? '',
      layer,
      entry,
      loss: entry && entryLoss(entry, table),
      status:
        !isEmbeddingOrHead(layer) && removed.has(layer.sublayer)
          ? 'removed'
          : entry !== undefined
            ? 'measured'
            : shown.kind === 'plan'
              ? 'kept'
              : 'pending',
      drawbacks: entry === undefined ? [] : findDrawbacks(layer, entry),
    };
    const known = before?.byId.get(tensor);
    const isKnown = known?.layer === layer && known.entry === entry && known.status === cell.status;
    return isKnown ? known : cell;
  });
  const scale = logScale(
    matrices.flatMap(({ entries }) => entries.map((one) => entryLoss(one, table))),
  );
  const isSameScale = before?.scale?.min === scale?.min && before?.scale?.max === scale?.max;
  return {
    cells,
    byId: new Map(cells.map((cell) => [cell.id, cell])),
    lines: [...new Set(lines.values())].sort((a, b) => lineRank(a) - lineRank(b)),
    scale: isSameScale ? before?.scale : scale,
  };
}

/** Distances by perplexity begin at the original's. */
export function entryLoss({ distance }: Entry, { original }: Pick<ShownTable, 'original'>): number {
  return Math.max(0, distance - original);
}

/** The entry of a scheme that leaves nearest to a share (percent) of a layer's bytes. */
function nearest({ entries, bytes }: Matrix, scheme: string, share: number): Entry | undefined {
  const far = (entry: Entry) => Math.abs((100 * entry.bytes) / bytes - share);
  return entries
    .filter((entry) => schemeKey(entry) === scheme)
    .reduce<Entry | undefined>(
      (best, entry) => (best === undefined || far(entry) < far(best) ? entry : best),
      undefined,
    );
}

/** Aspects in which an encoding is no better than the original matrix; unknown times are zero. */
function findDrawbacks(layer: Matrix, entry: Entry): Drawback[] {
  const [before, after] = [layer.decodeMsPerToken, entry.decodeMsPerToken];
  const isSlower = after > before && before > 0;
  const isTimed = after > 0 && before > 0;
  return [
    ...(entry.bytes >= layer.bytes ? (['bytes'] as const) : []),
    ...(isSlower ? (['time'] as const) : []),
    ...(!isTimed && entry.flopsPerToken > layer.flopsPerToken ? (['flops'] as const) : []),
  ];
}

/** Name of the line of each layer: its role, numbered where a block has several of it. */
function nameLines(matrices: readonly Matrix[]): Map<string, string> {
  const seen = new Map<string, number>();
  return new Map(
    matrices.map((matrix) => {
      const name = roleName(matrix);
      const key = isEmbeddingOrHead(matrix) ? name : `${matrix.block} ${name}`;
      const number = (seen.get(key) ?? 0) + 1;
      seen.set(key, number);
      return [matrix.tensor, number === 1 ? name : `${name} ${number}`];
    }),
  );
}

/** Role of a matrix, in words. */
export function roleName(matrix: Matrix): string {
  if (!isEmbeddingOrHead(matrix)) return strings.role[matrix.role];
  return matrix.tiedTo === undefined ? strings.place[matrix.place] : strings.tied;
}

/** Names of lines from top to bottom. */
const lineOrder: readonly string[] = [
  strings.place.embedding,
  strings.tied,
  ...Object.values(strings.role),
  strings.place.head,
];

function lineRank(line: string): number {
  const [, name = line, number = '1'] = /^(.*?)(?: (\d+))?$/.exec(line) ?? [];
  return lineOrder.indexOf(name) * 1e4 + Number(number);
}

/** True if the matrix is an embedding or a head. */
export function isEmbeddingOrHead(matrix: Matrix): matrix is EmbeddingOrHead {
  return 'place' in matrix;
}

export function allMatrices({ layers, embeddingAndHead = [] }: ShownTable): readonly Matrix[] {
  return [...layers, ...embeddingAndHead];
}
