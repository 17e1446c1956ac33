import {
  checkModelsQuestion,
  checkPlanQuestion,
  document,
  estimateQuestion,
  front,
  keepEvaluations,
  predictPlanQuestion,
  reportQuestion,
  viewEvolution,
} from './document-questions';
import {
  canTypeLayers,
  chatTemplate,
  chooseLayersQuestion,
  compareQuestion,
  describe,
  diagram,
  exportStructure,
  widthPruned,
  openQuestion,
  outputs,
  sizeChoices,
  statistics,
} from './model-questions';

/** Declarations of all questions that panels and editors send to the inspector process. */
export const questions = [
  openQuestion,
  describe,
  statistics,
  diagram,
  compareQuestion,
  exportStructure,
  widthPruned,
  outputs,
  canTypeLayers,
  chatTemplate,
  sizeChoices,
  chooseLayersQuestion,
  document,
  reportQuestion,
  keepEvaluations,
  viewEvolution,
  checkPlanQuestion,
  front,
  predictPlanQuestion,
  estimateQuestion,
  checkModelsQuestion,
] as const;

type Known = (typeof questions)[number];

/** Requests of the inspector, as [request, answer]. */
export type QuestionRequests = {
  readonly [Q in Known as Q['id']]: [Parameters<Q['run']>[0], Awaited<ReturnType<Q['run']>>];
};
