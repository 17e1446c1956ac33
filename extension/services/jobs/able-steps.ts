import type { NextStep } from '../../core/operations/presentation';
import type { MenuWord } from '../documents/model-context';

/** Ability that a step requires of the model. */
const needs: Readonly<Partial<Record<NextStep, MenuWord>>> = {
  playground: 'generate',
  evaluate: 'evaluate',
  evaluateBoth: 'evaluate',
  openHeatmap: 'profile',
  repair: 'repair',
};

/** Steps that work for a model. */
export const ableSteps = (
  steps: readonly NextStep[],
  words: readonly MenuWord[],
): readonly NextStep[] =>
  steps.filter((step) => {
    const need = needs[step];
    return need === undefined || words.includes(need);
  });
