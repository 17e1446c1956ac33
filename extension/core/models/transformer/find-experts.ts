import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { ModelFolder } from '../../checkpoints/model-folder';
import { UserError } from '../../user-error';
import type { Expert, ExpertShape, ExpertWeights, SharedExpert } from '../modules/moe';
import { Moe } from '../modules/moe';
import type { FeedforwardShape } from '../modules/mlp';
import { findMlpParts } from '../parts/mlp-part';
import { findMoeParts } from '../parts/moe-part';
import type { Linear } from '../parts/linear';
import type { Architecture, ExpertNames, SharedExpertNames } from './architecture';
import { findWiring } from '../modules/wiring';
import type { ModelConfig } from './model-config';
import type { TensorFinder } from './tensor-finder';
import { say } from '../../message';

/**
 * Sizes and routing that all MoE layers of a model share; undefined for dense models.
 * @throws UserError if more experts per token are requested than exist.
 */
export function expertShape(
  { experts }: Pick<Architecture, 'experts'>,
  config: ModelConfig,
  folder: ModelFolder,
  feedforward: FeedforwardShape,
): ExpertShape | undefined {
  if (experts === undefined) {
    return undefined;
  }
  const { num_experts: count, num_experts_per_tok: perToken } = config;
  if (perToken > count) {
    throw new UserError(
      'experts-per-token-invalid',
      say`${perToken} experts per token, but there are only ${count}.`,
      {
        file: folder.config,
        field: 'num_experts_per_tok',
        remedy: say`Correct config.json.`,
      },
    );
  }
  return {
    ...feedforward,
    count,
    perToken,
    inner: experts.inner(config),
    gateUpOrder: experts.joined?.order,
    staysWhole: experts.joined?.flat === true,
    score: 'softmax',
    normalized: true,
    shareScale: 1,
    groups: undefined,
    choosesByScores: false,
    ...experts.routing?.(config),
  };
}

/** The same MoE layer with another number of experts. */
export function withCount(shape: ExpertShape, count = shape.count): ExpertShape {
  return { ...shape, count, perToken: Math.min(shape.perToken, count) };
}

/** MoE layer of the block whose tensor names start with `prefix`. */
export function findExperts(
  { experts: names, feedforward }: Pick<Architecture, 'experts' | 'feedforward'>,
  shape: ExpertShape,
  tensors: TensorFinder,
  { block, prefix }: { readonly block: number; readonly prefix: string },
  config: ModelConfig,
): Moe {
  if (names === undefined) {
    throw new Error('a family without experts has none to be found');
  }
  const { hiddenSize: hidden, count, perToken, inner, norm } = shape;
  const { modules, router, routerBias = false } = names;
  const [usual = ''] = modules;
  const inside = (module: string): string => (module === '' ? prefix : `${prefix}${module}.`);
  const module = modules.find((one) => tensors.has(`${inside(one)}${router}.weight`)) ?? usual;
  const own = inside(module);
  const shared = names.shared?.(config);
  const source = { config, tensors, block, prefix, norm };
  const parts = findMoeParts(names.parts, {
    ...source,
    ...{ module: own, count, perToken, hiddenSize: hidden },
  });
  const expertParts = { parts: findMlpParts(names.expertParts, { ...source, inner }) };
  const isByScores = parts.every(({ table }) => table === undefined);
  const choiceBias = isByScores ? names.choiceBias : undefined;
  const weights: ExpertWeights = {
    ...findWiring(names.wiring ?? feedforward.wiring, tensors, prefix, hidden),
    router: [tensors.take(`${own}${router}.weight`, [count, hidden])],
    routerBias: routerBias ? [tensors.take(`${own}${router}.bias`, [count])] : [],
    choiceBias: choiceBias === undefined ? [] : [tensors.reshaped(`${own}${choiceBias}`, [count])],
    experts: findEach(names, shape, tensors, own).map((expert) => ({ ...expert, ...expertParts })),
    ...(shared === undefined
      ? {}
      : { shared: { ...findShared(shared, tensors, prefix, hidden), ...expertParts } }),
    parts,
  };
  return new Moe(block, shape, weights);
}

function findEach(
  { gateUp, down, joined = defaultJoined }: ExpertNames,
  { hiddenSize: hidden, inner, count, gated }: ExpertShape,
  tensors: TensorFinder,
  module: string,
): Expert[] {
  const numbers = Array.from({ length: count }, (_, j) => j);
  const spelled = [asList(joined.gateUp), joined.apart ?? []];
  const gateUpNames = spelled.find(([first]) => tensors.has(`${module}${first}`));
  if (gateUpNames === undefined) {
    const all = `${module}experts.`;
    return numbers.map((j) => ({
      gateUp: gateUp.map((name) => tensors.linear(`${all}${j}.${name}`, inner, hidden, false)),
      down: tensors.linear(`${all}${j}.${down}`, hidden, inner, false),
    }));
  }
  const { transposed: turned = false, biases = false, flat = false } = joined;
  const linears = (
    name: string,
    out: number,
    input: number,
    transposed = turned === true,
  ): Linear[] => {
    const [rows, columns] = transposed ? [input, out] : [out, input];
    const weights = tensors.slices(`${module}${name}`, [count, rows, columns], flat);
    const added = biases ? tensors.slices(`${module}${biasName(name)}`, [count, out]) : [];
    return weights.map((weight, j) => sliceLinear(weight, added[j], transposed));
  };
  const width = gateUpNames.length === 1 && gated ? 2 * inner : inner;
  const first = gateUpNames.map((name) => linears(name, width, hidden));
  return linears(joined.down, hidden, inner, turned !== false).map((last, j) => ({
    gateUp: first.flatMap((all) => all[j] ?? []),
    down: last,
  }));
}

const biasName = (name: string): string =>
  name.endsWith('.weight') ? name.replace(/weight$/, 'bias') : `${name}_bias`;

const asList = (names: string | readonly string[]): readonly string[] =>
  typeof names === 'string' ? [names] : names;

const defaultJoined: NonNullable<ExpertNames['joined']> = {
  gateUp: 'experts.gate_up_proj',
  down: 'experts.down_proj',
};

function sliceLinear(
  weight: LazyTensor,
  bias: LazyTensor | undefined,
  transposed: boolean,
): Linear {
  return {
    weight,
    ...(bias === undefined ? {} : { bias }),
    ...(transposed ? { transposed } : {}),
  };
}

function findShared(
  { gateUp, down, inner, gate }: SharedExpertNames,
  tensors: TensorFinder,
  prefix: string,
  hidden: number,
): SharedExpert {
  return {
    gateUp: tensors.projections(prefix, gateUp, [inner, inner], hidden, []),
    down: tensors.linear(`${prefix}${down}`, hidden, inner, false),
    ...(gate === undefined ? {} : { gate: tensors.linear(`${prefix}${gate}`, 1, hidden, false) }),
  };
}
