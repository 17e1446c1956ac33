import type { Evolution, Iteration, Model, Place } from './types';

export const orders = ['validation', 'test', 'train', 'mass', 'found'] as const;
export type Order = (typeof orders)[number];

/** A model of the population that is shown. */
export interface Member {
  readonly place: Place;
  readonly model: Model;
  readonly isBest: boolean;
}

/** The models of an iteration, the best of them first by the order; `found` is as the search has it. */
export function listMembers(evolution: Evolution, iteration: number, order: Order): Member[] {
  const models = evolution.iterations[iteration]?.models ?? [];
  const { best } = evolution;
  const members = models.map((model, i) => ({
    place: { iteration, model: i },
    model,
    isBest: best?.iteration === iteration + 1 && best.model === i + 1,
  }));
  return order === 'found'
    ? members
    : members.sort((a, b) =>
        order === 'mass'
          ? a.model.mass - b.model.mass
          : b.model.metrics[order] - a.model.metrics[order] || a.model.mass - b.model.mass,
      );
}

export function modelAt({ iterations }: Evolution, { iteration, model }: Place): Model | undefined {
  return iterations[iteration]?.models[model];
}

/** The selected model, if it still exists, else the best, else the first of the latest population. */
export function selectedPlace(evolution: Evolution, wanted: Place | undefined): Place | undefined {
  if (wanted !== undefined && modelAt(evolution, wanted) !== undefined) return wanted;
  const { best, iterations } = evolution;
  if (best !== undefined) return { iteration: best.iteration - 1, model: best.model - 1 };
  return iterations.length === 0 ? undefined : { iteration: iterations.length - 1, model: 0 };
}

/** Every training of a graph, in the order of the iterations. */
export function findRuns({ iterations }: Evolution, graphClass: number): readonly Place[] {
  return iterations.flatMap(({ models }, iteration) =>
    models.flatMap((model, i) =>
      model.graphClass === graphClass ? [{ iteration, model: i }] : [],
    ),
  );
}

/** A point of the chart of accuracies. */
export interface SpreadPoint {
  readonly x: number;
  readonly y: number;
  /** Index among all models, in the order of the iterations. */
  readonly index: number;
  readonly place: Place;
}

/** Accuracies nearer than this cover each other. */
const near = 0.004;
/** Distance between adjacent points. */
const step = 0.05;

/** The test accuracies of every iteration; those that would cover each other lie side by side. */
export function spreadPoints({ iterations }: Evolution): SpreadPoint[] {
  let index = 0;
  return iterations.flatMap(({ models }, iteration) => {
    const values = models.map(({ metrics }) => metrics.test);
    return values.map((y, model) => {
      const covering = values.flatMap((value, i) => (Math.abs(value - y) < near ? [i] : []));
      const shift = (covering.indexOf(model) - (covering.length - 1) / 2) * step;
      return { x: iteration + 1 + shift, y, index: index++, place: { iteration, model } };
    });
  });
}

/** The part of the vertical axis that holds all values, on twentieths, with some room. */
export function accuracyRange(values: readonly number[]): { min: number; max: number } {
  if (values.length === 0) return { min: 0, max: 1 };
  const down = Math.floor((Math.min(...values) - 0.01) * 20) / 20;
  const up = Math.ceil((Math.max(...values) + 0.01) * 20) / 20;
  return { min: Math.max(0, down), max: Math.min(1, up) };
}

/** True if all graphs of an iteration are trained. */
export const isDone = ({ spread }: Iteration): boolean => spread !== undefined;

export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
