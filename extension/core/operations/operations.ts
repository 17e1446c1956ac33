// Written by scripts/generate.mjs.
import { apply } from './apply';
import { compare } from './compare';
import { compress } from './compress';
import { convert } from './convert';
import { convertScores } from './convert-scores';
import { dataDiet } from './data-diet';
import { demo } from './demo';
import { devices } from './devices';
import { drift } from './drift';
import { evaluate } from './evaluate';
import { exportData } from './export-data';
import { fitModel } from './fit-model';
import { generate } from './generate';
import { imatrix } from './imatrix';
import { inspect } from './inspect';
import { installCuda } from './install-cuda';
import { installLlama } from './install-llama';
import { latency } from './latency';
import { pareto } from './pareto';
import { patch } from './patch';
import { plan } from './plan';
import { planCompression } from './plan-compression';
import { profile } from './profile';
import { prune } from './prune';
import { repair } from './repair';
import { report } from './report';
import { scoreData } from './score-data';
import { scoreExperts } from './score-experts';
import { scoreText } from './score-text';
import { selectData } from './select-data';
import { sensitivity } from './sensitivity';
import { workForQueue } from './serve-queue';
import { showQueue } from './show-queue';
import { studyGroups } from './study-groups';
import { symbolicEnumerate } from './symbolic-enumerate';
import { symbolicEvaluate } from './symbolic-evaluate';
import { synthesize } from './synthesize';
import { tensors } from './tensors';
import { train } from './train';
import { tryFamily } from './try-family';

/** Everything a user can ask for, in the order of help and docs. */
export const operations = [
  fitModel,
  inspect,
  tensors,
  compare,
  profile,
  plan,
  apply,
  prune,
  compress,
  sensitivity,
  planCompression,
  patch,
  repair,
  evaluate,
  latency,
  generate,
  symbolicEvaluate,
  symbolicEnumerate,
  synthesize,
  scoreText,
  train,
  scoreData,
  selectData,
  exportData,
  convertScores,
  dataDiet,
  studyGroups,
  devices,
  demo,
  convert,
  imatrix,
  drift,
  tryFamily,
  pareto,
  scoreExperts,
  showQueue,
  workForQueue,
  report,
  installCuda,
  installLlama,
] as const;

type Known = (typeof operations)[number];
export type OperationId = Known['id'];

/** The operation of an id. */
export type OperationOf<Id extends OperationId> = Extract<Known, { readonly id: Id }>;
