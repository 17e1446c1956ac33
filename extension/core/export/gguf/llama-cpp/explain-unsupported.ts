import { blockRules, sizeRules } from './block-rules';
import { layoutRules } from './layout-rules';
import { findViolation, isArchitecture } from './rule';
import type { LlamaCppFacts, LlamaCppRule } from './rule';
import { valueRules } from './value-rules';
import type { Refusal } from '../../../models/capability';
import type { Changes } from '../../changes';
import { say } from '../../../message';
import { join } from 'node:path';
import { floatDTypes } from '../../../checkpoints/lazy-tensor';
import { takesEncodings, takesPatches } from '../../../models/capabilities';
import { toRefusal } from '../../../models/capability';
import { denseWeight } from '../../../models/folder-pooling';
import { denseModules } from '../../../models/gguf/encoders/encoder-names';
import { deciArchitecture } from '../gguf-sizes';
import type { MatrixEncoding } from '../../../models/matrix-encoding';

const gguf = { format: 'gguf' } as const;

/** True if an encoding is float, so that only values change, as for a router. */
const isFloatMatrix = (form: MatrixEncoding): boolean =>
  form.kind === 'dense' && floatDTypes.includes(form.weight.dtype);

/** Rules on patches and encodings, the `deci` layout, and LM heads. */
const modelRules: readonly LlamaCppRule[] = [
  {
    check: (_, { patches }) => (patches.size > 0 ? toRefusal(takesPatches(gguf)) : undefined),
  },
  {
    check: (_, { matrices }) =>
      [...matrices.values()].every(isFloatMatrix) ? undefined : toRefusal(takesEncodings(gguf)),
  },
  {
    applies: isArchitecture(deciArchitecture),
    check: ({ layout }) =>
      layout === 'deci'
        ? undefined
        : {
            code: 'stays-deci',
            reason: say`A deci model can only be written as deci.`,
            remedy: say`Choose deci.`,
          },
  },
  {
    check: ({ output }) =>
      output === 'classes'
        ? {
            reason: say`GGUF files store encoders for embeddings, not classifiers.`,
            remedy: say`Choose another format, or name the model without its head in architectures of config.json.`,
          }
        : undefined,
  },
  {
    field: 'architectures',
    applies: ({ decoder }) => decoder !== undefined,
    check: ({ output }) =>
      output === 'states' ? { reason: say`llama.cpp needs the head of a t5 model.` } : undefined,
  },
];

/** Pooling of encoders, and the linear layers after it. */
const poolingRules: readonly LlamaCppRule[] = [
  {
    check: ({ pooling: { fault } = {} }) =>
      fault && {
        reason: fault.problem,
        ...fault.subject,
        remedy: fault.subject.remedy ?? say`Choose another format.`,
      },
  },
  {
    applies: ({ pooling: { dense = [] } = {} }) => dense.length > 0,
    check: ({ config, pooling: { dense = [] } = {}, summary, target }) => {
      const { hasDense = false } = target.family;
      const isPlain = dense.every(
        ({ step, tensors }) => step.activation === undefined && tensors.size === 1,
      );
      const outputs = dense.map(({ tensors }) => denseWeight(tensors)?.shape[0]);
      return hasDense &&
        isPlain &&
        dense.length === denseModules.length &&
        outputs[1] === config.hidden_size
        ? undefined
        : {
            reason: hasDense
              ? say`llama.cpp runs two linear layers after the pooling, without biases and activations, with ${config.hidden_size} output channels.`
              : say`GGUF files of ${summary.architecture} models can't store linear layers after the pooling.`,
            ...{ file: join(summary.path, 'modules.json'), field: dense[0]?.path ?? '' },
            remedy: say`Choose another format, or remove the module from modules.json.`,
          };
    },
  },
];

/** Returns the first constraint of llama.cpp that a changed model violates. */
export function explainUnsupportedInLlamaCpp(
  facts: LlamaCppFacts,
  changes: Changes,
): Refusal | undefined {
  const isConfig = facts.source === 'config';
  const rules: readonly LlamaCppRule[] = [
    ...modelRules,
    ...(isConfig ? valueRules : []),
    ...blockRules,
    ...layoutRules,
    ...sizeRules,
    ...poolingRules,
  ];
  const found = findViolation(rules, facts, changes);
  if (found === undefined) {
    return undefined;
  }
  const { field, key = field } = found.rule;
  return {
    code: 'not-in-gguf',
    ...(field === undefined
      ? {}
      : {
          file: facts.configFile,
          field: isConfig ? field : `${facts.target.architecture}.${key}`,
        }),
    remedy: isConfig
      ? say`Choose another format.`
      : say`Prune the Hugging Face folder of the model.`,
    ...found.violation,
  };
}
