import type { Checkpoint } from '../../checkpoints/lazy-tensor';
import type { ModelFolder } from '../../checkpoints/model-folder';
import { withFields } from '../../checkpoints/model-folder';
import { UserError } from '../../user-error';
import { joined, say } from '../../message';
import type { Message } from '../../message';
import type { Architecture } from './architecture';
import { architectures, asOtherType } from './architectures';
import type { ConfigFields, ModelConfig } from './model-config';
import { parseModelConfig } from './model-config';
import { layOutTransformer } from './transformer-layout';
import type { TransformerLayout } from './transformer-layout';

/** A known family that names every tensor of a checkpoint and reads every field that could matter. */
export interface FamilyGuess {
  readonly family: string;
  /** config.json with sizes that it lacks, and the guess. */
  readonly configText: string;
  /** Fields added to it. */
  readonly fields: ConfigFields;
}

interface Attempt {
  readonly family: string;
  /** Fields that the family does not read, by which the closest of several is found. */
  readonly unread: number;
  readonly guess?: FamilyGuess;
  /** Key shared by families that compute the same. */
  readonly computes?: string;
  readonly reason?: Message;
}

/** Families whose config fields are read individually, so that unread ones can be listed. */
const triable = architectures.filter(({ rotary }) => rotary !== 'by-layer-type');

/**
 * Families that a model of an unknown type may match: `only`, or those that leave the fewest fields of config.json
 * unread. Tensors can't distinguish these.
 * @throws UserError listing the fields that no family reads
 */
export function guessFamilies(
  configText: string,
  folder: ModelFolder,
  checkpoint: Checkpoint,
  only?: string,
): FamilyGuess[] {
  const candidates = triable.filter(({ modelType }) => only === undefined || modelType === only);
  if (candidates.length === 0) {
    throw new UserError('family-unknown', say`No model can be tried as "${only ?? ''}".`, {
      field: 'family',
      remedy: say`Supported: ${triable.map(({ modelType }) => modelType).join(', ')}.`,
    });
  }
  const attempts = candidates.map((known) => attempt(known, configText, folder, checkpoint));
  const fitting = attempts.filter(({ guess }) => guess !== undefined);
  const fewest = Math.min(...fitting.map(({ unread }) => unread));
  const found = new Map<string, FamilyGuess>();
  for (const { unread, guess, computes = '' } of fitting) {
    if (guess !== undefined && unread === fewest && !found.has(computes)) {
      found.set(computes, guess);
    }
  }
  if (found.size > 0) {
    return [...found.values()];
  }
  const [closest] = attempts.sort((a, b) => a.unread - b.unread);
  throw new UserError(
    'family-not-known',
    say`The model matches no known family. Closest is ${closest?.family ?? ''}, but: ${closest?.reason ?? ''}`,
    { file: folder.path, remedy: say`Export the model to ONNX and open that.` },
  );
}

function attempt(
  known: Architecture,
  configText: string,
  folder: ModelFolder,
  checkpoint: Checkpoint,
): Attempt {
  const family = known.modelType;
  const config = JSON.parse(configText) as ConfigFields;
  const fields = {
    ...missingSizes(known, config, checkpoint),
    espalier_guess: { family },
  };
  const text = withFields(configText, fields);
  const read = new Set<string>();
  const other = asOtherType(known, String(config['model_type']));
  try {
    const parsed = watched(parseModelConfig(text, folder.config, known.config), read);
    const layout = layOutTransformer(
      { ...other, ...other.form?.(parsed) },
      parsed,
      folder,
      checkpoint,
    );
    const unread = unreadFields(known, config, read);
    const [tensor] = layout.unused;
    const field = unread.find((one) => !isNeutral(config[one])) ?? otherWindows(layout, parsed);
    const reason =
      tensor !== undefined
        ? say`it has no tensor ${tensor}.`
        : field === undefined
          ? undefined
          : say`it does not read ${field}, which is ${JSON.stringify(config[field])} in config.json.`;
    return {
      family,
      unread: unread.length + layout.unused.length,
      ...(reason === undefined
        ? { guess: { family, configText: text, fields }, computes: layoutText(layout) }
        : { reason }),
    };
  } catch (error) {
    if (!(error instanceof UserError)) {
      throw error;
    }
    const { problem, subject } = error;
    const { field } = subject;
    const reason = joined([field === undefined ? undefined : say`${field}:`, problem]);
    return { family, unread: Number.MAX_SAFE_INTEGER, reason };
  }
}

function layoutText(layout: TransformerLayout): string {
  return JSON.stringify(layout, (_, value: unknown) => (value instanceof Map ? [...value] : value));
}

/** The config, noting which fields are read. */
function watched(config: ModelConfig, read: Set<string>): ModelConfig {
  return new Proxy(config, {
    get(target, field, receiver): unknown {
      read.add(String(field));
      return Reflect.get(target, field, receiver);
    },
  });
}

/** Fields that don't affect the computation. */
const harmless =
  /dropout|_pdrop$|_token_ids?$|^(?:model_type|architectures|auto_map|torch_dtype|dtype|transformers_version|_.*|use_cache|initializer_range|.*_init(?:ializer)?_(?:range|std)|pretraining_tp|tokenizer_class|output_.*|return_dict|id2label|label2id|task_specific_params|max_position_embeddings|max_length|.*_loss_coef|espalier_guess|rope_theta|original_max_position_embeddings|cache_implementation)$/;

/** Fields that might affect the computation and that weren't read. */
function unreadFields(
  known: Architecture,
  config: ConfigFields,
  read: ReadonlySet<string>,
): string[] {
  const names = Object.entries(known.config?.names ?? {});
  const understood = new Set([
    ...read,
    ...names.flatMap(([usual, own]) => (read.has(usual) ? [own] : [])),
    ...Object.keys(known.config?.only?.(config) ?? {}),
    ...(config['use_sliding_window'] === false ? ['sliding_window', 'max_window_layers'] : []),
  ]);
  return Object.entries(config).flatMap(([field, value]) =>
    understood.has(field) || harmless.test(field) || value === null ? [] : [field],
  );
}

/** The field where config.json has windows in other blocks than the family does. */
function otherWindows(
  { sublayers }: TransformerLayout,
  { layer_types: types }: ModelConfig,
): string | undefined {
  const isOther = sublayers.some(
    ({ block, reach }) =>
      reach !== undefined &&
      types?.[block] !== undefined &&
      /sliding|chunked|local/.test(types[block] ?? '') !== (reach.slidingWindow !== undefined),
  );
  return isOther ? 'layer_types' : undefined;
}

/** True if a value disables its option. */
function isNeutral(value: unknown): boolean {
  return (
    [null, false, 0, 1, ''].some((one) => one === value) ||
    (Array.isArray(value) && value.every((one) => one === 'full_attention'))
  );
}

/** Sizes that config.json lacks, from the shapes of tensors. */
function missingSizes(
  known: Architecture,
  config: ConfigFields,
  checkpoint: Checkpoint,
): ConfigFields {
  const { embeddingAndHead, attention, feedforward } = known;
  const { tensors } = checkpoint;
  const prefix =
    embeddingAndHead.prefixes.find((one) =>
      tensors.has(`${one}${embeddingAndHead.embedding}.weight`),
    ) ?? '';
  const block = `${prefix}${embeddingAndHead.blocks}.`;
  const rowsAndColumns = (name: string | undefined): readonly number[] => {
    const { shape = [] } = tensors.get(`${name ?? ''}.weight`) ?? {};
    return known.transposed === true ? shape.toReversed() : shape;
  };
  const numbers = [...tensors.keys()].flatMap((name) =>
    name.startsWith(block) ? [Number.parseInt(name.slice(block.length), 10)] : [],
  );
  const [vocabulary, hidden] =
    tensors.get(`${prefix}${embeddingAndHead.embedding}.weight`)?.shape ?? [];
  const [, inner] = rowsAndColumns(`${block}0.${feedforward.down}`);
  const queryKeyValue = attention.queryKeyValue;
  const names = 'fused' in queryKeyValue ? [] : queryKeyValue;
  const [queries, keys] = names.map((name) => rowsAndColumns(`${block}0.${name}`)[0]);
  const { head_dim: width, num_attention_heads: heads } = config;
  const headWidth =
    typeof width === 'number'
      ? width
      : typeof heads === 'number' && queries !== undefined
        ? queries / heads
        : undefined;
  const over = (rows: number | undefined): number | undefined =>
    rows === undefined || headWidth === undefined ? undefined : rows / headWidth;
  const hasBias = (name: string | undefined): boolean | undefined =>
    tensors.has(`${block}0.${name ?? ''}.bias`) || undefined;
  const hasHead = (embeddingAndHead.heads ?? ['lm_head']).some((name) =>
    tensors.has(`${name}.weight`),
  );
  const found: ConfigFields = {
    vocab_size: vocabulary,
    hidden_size: hidden,
    num_hidden_layers: numbers.length === 0 ? undefined : Math.max(...numbers) + 1,
    intermediate_size: inner,
    head_dim: headWidth,
    num_attention_heads: over(queries),
    num_key_value_heads: over(keys),
    attention_bias: hasBias(names[0]),
    mlp_bias: hasBias(feedforward.down),
    tie_word_embeddings: hasHead ? undefined : true,
  };
  const own = known.config?.names ?? {};
  return Object.fromEntries(
    Object.entries(found).filter(
      ([field, value]) =>
        value !== undefined && !(field in config) && !((own[field] ?? field) in config),
    ),
  );
}
