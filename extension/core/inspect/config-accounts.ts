import { fieldFact } from './config-facts';
import type { ModelDescription, ModelFacts, StoredTensor } from './model-description';
import { allTensors } from './tensor-table';
import { sum } from './costs';

/** Topics that a field of config.json can describe. */
export const configTopics = [
  'hiddenSize',
  'intermediateSize',
  'layers',
  'heads',
  'keyValueHeads',
  'headSize',
  'vocabularySize',
  'contextLength',
  'slidingWindow',
  'experts',
  'expertsPerToken',
  'ropeTheta',
  'activation',
  'tiedHead',
  'normEpsilon',
  'storedType',
  'family',
] as const;
export type ConfigTopic = (typeof configTopics)[number];

const otherFields: Readonly<Record<string, ConfigTopic>> = {
  num_hidden_layers: 'layers',
  n_layer: 'layers',
  n_layers: 'layers',
  num_layers: 'layers',
  tie_word_embeddings: 'tiedHead',
  rms_norm_eps: 'normEpsilon',
  layer_norm_eps: 'normEpsilon',
  layer_norm_epsilon: 'normEpsilon',
  norm_epsilon: 'normEpsilon',
  torch_dtype: 'storedType',
  dtype: 'storedType',
  model_type: 'family',
};

const factTopics: Partial<Record<keyof ModelFacts, ConfigTopic>> = Object.fromEntries(
  configTopics.map((topic) => [topic, topic]),
);

/** The topic of a field, by any name that a family has for it; undefined for all others. */
export function configTopic(field: string): ConfigTopic | undefined {
  if (Object.hasOwn(otherFields, field)) {
    return otherFields[field];
  }
  const fact = fieldFact(field);
  return fact === undefined ? undefined : factTopics[fact];
}

type Chooses = (tensor: StoredTensor, kind: string) => boolean;

const isQueryOrOutput = /(^|[._])(q_proj|o_proj|out_proj|attn_q|attn_output)\.(weight|bias)$/;
const isKeyOrValue = /(^|[._])(k_proj|v_proj|attn_k|attn_v)\.(weight|bias)$/;
const isNorm = /norm|(^|\.)ln_/i;

/** Tensors whose sizes a field determines, for topics that cover only some tensors. */
const chosen: Partial<Record<ConfigTopic, Chooses>> = {
  hiddenSize: () => true,
  layers: (_, kind) => !['embedding', 'final-norm', 'head'].includes(kind),
  intermediateSize: (tensor, kind) => kind === 'feedforward' && tensor.shape.length > 1,
  heads: ({ name }) => isQueryOrOutput.test(name),
  keyValueHeads: ({ name }) => isKeyOrValue.test(name),
  headSize: (tensor, kind) => kind === 'attention' && tensor.shape.length > 1,
  vocabularySize: ({ shape }, kind) => ['embedding', 'head'].includes(kind) && shape.length > 1,
  experts: (_, kind) => kind === 'expert',
  normEpsilon: ({ name }) => isNorm.test(name),
};

/** Parameters that a field accounts for; undefined where it determines no tensor, or names do not tell. */
export function topicParameters(topic: ConfigTopic, model: ModelDescription): number | undefined {
  const chooses = chosen[topic];
  if (chooses === undefined) {
    return undefined;
  }
  const tensors = allTensors(model).filter(({ tensor, kind }) => chooses(tensor, kind));
  return tensors.length === 0 ? undefined : sum(tensors, ({ tensor }) => tensor.parameters);
}
