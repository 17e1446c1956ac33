import type { ModelSummary, SublayerSummary } from './model-summary';
import { say } from '../message';
import type { Message } from '../message';

interface Unit {
  readonly id: string;
  /** Index of the sublayer that it is, or belongs to. */
  readonly sublayer: number;
  /** Counted from 0 among the sublayer's; undefined for a whole sublayer. */
  readonly expert: number | undefined;
  readonly parameters: number;
}

/**
 * Removable units of a model, by number: its sublayers in order, then the experts of its MoE
 * layers. A set of these numbers describes what is removed.
 */
export class RemovableUnits {
  private readonly units: readonly Unit[];
  private readonly numbers: ReadonlyMap<string, number>;
  private readonly experts = new Map<number, number[]>();

  public constructor(private readonly model: Pick<ModelSummary, 'sublayers'>) {
    const { sublayers } = model;
    this.units = [
      ...sublayers.map(({ id, parameters }, sublayer) => ({
        id,
        sublayer,
        expert: undefined,
        parameters,
      })),
      ...sublayers.flatMap((summary, sublayer) =>
        expertIds(summary).map((id, expert) => ({
          id,
          sublayer,
          expert,
          parameters: summary.experts?.parameters ?? 0,
        })),
      ),
    ];
    this.numbers = new Map(this.units.map(({ id }, number) => [id, number]));
    for (const [number, { sublayer, expert }] of this.units.entries()) {
      if (expert !== undefined) {
        this.experts.set(sublayer, [...this.expertsOf(sublayer), number]);
      }
    }
  }

  public idOf(unit: number): string {
    return this.at(unit).id;
  }

  public numberOf(id: string): number | undefined {
    return this.numbers.get(id);
  }

  /** Index of the sublayer that a unit is, or belongs to. */
  public sublayerOf(unit: number): number {
    return this.at(unit).sublayer;
  }

  public parametersOf(unit: number): number {
    return this.at(unit).parameters;
  }

  public isExpert(unit: number): boolean {
    return unit >= this.model.sublayers.length;
  }

  /** The experts of sublayer `index`, as units. */
  public expertsOf(index: number): readonly number[] {
    return this.experts.get(index) ?? [];
  }

  /** Removed experts of sublayer `index`, numbered from 0 within the layer. */
  public expertsGone(index: number, removed: ReadonlySet<number>): readonly number[] {
    return this.expertsOf(index).flatMap((unit, expert) => (removed.has(unit) ? [expert] : []));
  }

  /** First MoE layer that would have fewer experts than its minimum. */
  public emptied(removed: ReadonlySet<number>): SublayerSummary | undefined {
    return this.model.sublayers.find(({ experts }, index) => {
      const staying = this.expertsOf(index).filter((unit) => !removed.has(unit)).length;
      return !removed.has(index) && experts !== undefined && staying < (experts.least ?? 1);
    });
  }

  /** First MoE layer whose expert groups would keep different numbers of experts. */
  public unevenGroups(removed: ReadonlySet<number>): SublayerSummary | undefined {
    return this.model.sublayers.find(({ experts }, index) => {
      const groups = experts?.groups ?? 1;
      const units = removed.has(index) ? [] : this.expertsOf(index);
      const size = units.length / groups;
      const left = Array.from(
        { length: groups },
        (_, group) =>
          units.slice(group * size, (group + 1) * size).filter((unit) => !removed.has(unit)).length,
      );
      return new Set(left).size > 1;
    });
  }

  private at(unit: number): Unit {
    const found = this.units[unit];
    if (found === undefined) {
      throw new RangeError(`unit ${unit} of ${this.units.length}`);
    }
    return found;
  }
}

/**
 * Ids of sublayers and experts that an id refers to: `block.3.attention` and `block.3.expert.5`
 * refer to themselves, `block.3` to the sublayers of the block. Empty for an unknown id.
 */
export function unitsMeant(id: string, { sublayers }: Pick<ModelSummary, 'sublayers'>): string[] {
  const found = sublayers.filter((one) => one.id === id || `block.${one.block}` === id);
  if (found.length > 0) {
    return found.map((one) => one.id);
  }
  const [, mixture, expert] = /^(.+)\.(0|[1-9]\d*)$/.exec(id) ?? [];
  const { experts } = sublayers.find((one) => one.id === mixture) ?? {};
  return experts !== undefined && Number(expert) < experts.count ? [id] : [];
}

/** Original number of each block. */
export type BlockNumbers = readonly number[];

/** Id in the numbering of the source model: `block.3.attention` may be `block.5.attention` there. */
export function toSourceId(id: string, blocks: BlockNumbers): string {
  return id.replace(
    /^block\.(\d+)(?=$|[./])/,
    (_, block: string) => `block.${blocks[Number(block)] ?? block}`,
  );
}

/** Reason that groups of experts can't keep different numbers. */
export const explainUnevenGroups = ({ id, experts }: SublayerSummary): Message =>
  say`The router of ${id} chooses from ${experts?.groups ?? 1} equal groups of ${(experts?.count ?? 0) / (experts?.groups ?? 1)} experts, but they would keep different numbers.`;

/** True if two ids refer to the same unit, or to an MoE layer and one of its experts. */
export function overlap(a: string, b: string): boolean {
  return a === b || a.startsWith(`${b}.`) || b.startsWith(`${a}.`);
}

/** Ids of the experts of an MoE layer, `block.N.expert.J`. Empty for other sublayers. */
export function expertIds({ id, experts }: Pick<SublayerSummary, 'id' | 'experts'>): string[] {
  return Array.from({ length: experts?.count ?? 0 }, (_, expert) => `${id}.${expert}`);
}
