import type { OperationId, OperationOf } from '../core/operations/operations';
import { applied } from './present/applied';
import { compare } from './present/compare';
import { convertScores } from './present/convert-scores';
import { dataDiet } from './present/data-diet';
import { demo } from './present/demo';
import { devices } from './present/devices';
import { drift } from './present/drift';
import { evaluate } from './present/evaluate';
import { exportData } from './present/export-data';
import { facts } from './present/facts';
import { fitted } from './present/fitted';
import { generate } from './present/generate';
import { inspect } from './present/inspect';
import { latency } from './present/latency';
import { pareto } from './present/pareto';
import { patch } from './present/patch';
import { plan } from './present/plan';
import { planCompression } from './present/plan-compression';
import { profile } from './present/profile';
import { queue } from './present/queue';
import { report } from './present/report';
import { selectData } from './present/select-data';
import { repair } from './present/repair';
import { scoreData } from './present/score-data';
import { studyGroups } from './present/study-groups';
import { symbolicEnumerate, symbolicEvaluate } from './present/symbolic';
import { synthesize } from './present/synthesize';
import { scoreExperts } from './present/score-experts';
import { scoreText } from './present/score-text';
import { sensitivity } from './present/sensitivity';
import { tensors } from './present/tensors';
import { train } from './present/train';
import type { Presenter } from './presenter';

type ResultOf<Id extends OperationId> = Awaited<ReturnType<OperationOf<Id>['run']>>;

const presenters: { readonly [Id in OperationId]?: Presenter<ResultOf<Id>> } = {
  fit: fitted,
  inspect,
  tensors,
  compare,
  profile,
  queue,
  pareto,
  'score-experts': scoreExperts,
  plan,
  apply: applied,
  convert: applied,
  prune: applied,
  compress: applied,
  sensitivity,
  'plan-compression': planCompression,
  patch,
  repair,
  evaluate,
  drift,
  latency,
  generate,
  'symbolic evaluate': symbolicEvaluate,
  'symbolic enumerate': symbolicEnumerate,
  synthesize,
  'score-text': scoreText,
  train,
  'score-data': scoreData,
  'select-data': selectData,
  'export-data': exportData,
  'convert-scores': convertScores,
  'data-diet': dataDiet,
  'study-groups': studyGroups,
  devices,
  demo,
  report,
};

/** Presenter of an operation. The default prints one fact per line. */
export const getPresenter = (id: OperationId): Presenter => presenters[id] ?? facts;
