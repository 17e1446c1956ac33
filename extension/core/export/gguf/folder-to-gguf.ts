import { basename, join } from 'node:path';
import { nameWithType } from '../../checkpoints/gguf-parts';
import { elementCount } from '../../checkpoints/lazy-tensor';
import type { Checkpoint } from '../../checkpoints/lazy-tensor';
import type { WritableType } from '../../checkpoints/ggml-types';
import type { JobContext } from '../../jobs/job';
import type { Refusal } from '../../models/capability';
import type { ModelSummary } from '../../models/model-summary';
import { describeFamily } from '../../models/gguf/family-description';
import { towerBlocks } from '../../models/gguf/t5-gguf';
import { ggufTarget } from '../../models/gguf/gguf-target';
import { joinPacked } from '../../models/quantized/packed-checkpoint';
import { emptiedBlock } from '../changes';
import type { Changes } from '../changes';
import type { CheckpointSource } from '../hugging-face/checkpoint-source';
import type { OutputOption } from '../output-options';
import { describeGgufLoading } from '../preview-file';
import { writtenLogits } from '../verify';
import { parametersAfter } from '../weight-plan';
import type { WeightWriter, WriteOptions } from '../weight-writer';
import { explainNoTokenizer, otherTokenizers } from '../../models/tokenizer-place';
import type { GgufTraits } from '../../models/gguf/gguf-traits';
import type { GgufTensor } from './gguf-tensors';
import type { MixedModel } from './type-mixes';
import {
  multiplyFactors,
  withoutEmptied,
  areStoredBlocks,
  asStoredBlocks,
  storedBlocks,
} from './block-factors';
import { curveEntries } from './header-entries';
import {
  denseTensors,
  encoderEntries,
  encoderInFile,
  hasHead,
  modelOutput,
  readPooling,
  hasSumBias,
  withoutHead,
  missingSumBiasNote,
} from './encoders/encoder-in-file';
import { chosenTypes, fileType, isTable, plainType, roundingError } from './choose-types';
import { modelEntries } from './folder-header';
import { configSizes } from './folder-model';
import type { FolderModel } from './folder-model';
import { tensorImportance } from './importance';
import { deciFamilies, needsDeci } from './gguf-sizes';
import { asIntegers, converted, roundedTensor } from './gguf-tensors';
import { bytesByName, layOutGguf, writeGguf } from './gguf-writer';
import { headScale, placeTensors, tiedHeadWeight } from './place-tensors';
import type { PlacedTensor } from './place-tensors';
import { frequencyTensors } from './rotary-header';
import { tokenizerEntries } from './tokenizer-entries';
import { explainUnsupportedInLlamaCpp } from './llama-cpp/explain-unsupported';
import { hasLeastStep } from './llama-cpp/value-rules';
import { joined, counted, say } from '../../message';
import type { Message } from '../../message';
import { ggufBlocks } from '../../models/gguf/gguf-names';

const defaultAlignment = 32;
const version = 3;

const textAlone = say`It contains only the text model. For images, convert the other parts with llama.cpp (--mmproj).`;

/** Greatest relative error of logits where llama.cpp lets steps fall below the least that transformers does. */
const withoutLeastStep = 0.02;

/** Reasons why llama.cpp supports these architectures but computes different logits. */
const otherInLlamaCpp: Readonly<Record<string, Message>> = {
  phimoe: say`llama.cpp weights the experts of phimoe models differently than in training.`,
};

/** A GGUF file of a Hugging Face folder's model: without whole blocks any, without single sublayers as `deci`. */
export function folderGgufOptions(source: CheckpointSource, configFile: string): OutputOption[] {
  const { summary } = source.model;
  const model = folderModel(source, configFile);
  const settled = (changes: Changes): Changes => withoutEmptied(source.model, changes).changes;
  const hasTowers = model?.target.family.towers !== undefined;
  const takesDeci = (changes: Changes): boolean =>
    !hasTowers &&
    ((settled(changes).absent.length > 0 && emptiedBlock(settled(changes)) === undefined) ||
      (deciFamilies.includes(summary.architecture) && needsDeci(changes)));
  // Files of the folder that no change concerns, read once for all candidates of a search.
  let pooling: ReturnType<typeof readPooling> | undefined;
  const layouts = hasTowers ? (['blocks'] as const) : (['blocks', 'deci'] as const);
  return layouts.map((layout) => ({
    ...{ format: 'gguf', layout },
    isDefault: (changes) => (layout === 'deci') === takesDeci(changes),
    refuse: async (changes) =>
      model === undefined
        ? explainUnknown(source)
        : explainUnsupportedInLlamaCpp(
            { ...model, layout, pooling: await (pooling ??= readPooling(source.model)) },
            settled(changes),
          ),
    writer: async (changes, options, context) => {
      if (model === undefined) {
        throw new Error('a refusal comes before');
      }
      return folderWriter(source, { ...model, layout }, changes, options, context);
    },
  }));
}

/** Explains why a folder of a family without a GGUF architecture can't be written. */
function explainUnknown({ model: { summary } }: CheckpointSource): Refusal {
  const { architecture } = summary;
  return {
    code: 'not-in-gguf',
    reason:
      otherInLlamaCpp[architecture] ?? say`${architecture} models can't be written to GGUF files.`,
    remedy: say`Convert the folder with convert_hf_to_gguf.py of llama.cpp, then prune the file.`,
  };
}

function folderModel(
  { family, model }: CheckpointSource,
  configFile: string,
): Omit<FolderModel, 'layout'> | undefined {
  const description = describeFamily(family);
  const target = description && ggufTarget(description);
  if (description === undefined || target === undefined) {
    return undefined;
  }
  const { summary } = model;
  const config = {
    ...description.config,
    vocab_size: summary.vocabularySize ?? description.config.vocab_size,
  };
  return {
    ...{ source: 'config', name: summary.name, configFile, summary, output: modelOutput(model) },
    ...{ ...description, config, target },
  };
}

/**
 * Name of a result's tensor in a GGUF file of the original, for which importance is measured. Each tower counts its
 * blocks from 0.
 */
function sourceName(name: string, summary: ModelSummary, { blocks }: Changes): string {
  const { encoderBlocks = 0 } = summary;
  const { encoder } = towerBlocks(summary, blocks);
  return name.replace(/^(enc\.|dec\.)?blk\.(\d+)/, (_, tower = '', block: string) => {
    const [first, before] = tower === 'dec.' ? [encoder, encoderBlocks] : [0, 0];
    const source = blocks[first + Number(block)] ?? first + Number(block);
    return `${tower}blk.${source - before}`;
  });
}

const ownHead = say`Its head is a separate matrix, scaled in training: llama.cpp doesn't scale the input of a tied head.`;

async function folderWriter(
  source: CheckpointSource,
  model: FolderModel,
  asked: Changes,
  options: WriteOptions,
  context: JobContext,
): Promise<WeightWriter> {
  const { changes, factors } = withoutEmptied(source.model, asked);
  const products = await multiplyFactors(factors, context.cancellation);
  const { tensors: inPlace, leftOut } = await placeTensors(
    model,
    source,
    await joinedCheckpoint(source),
    changes,
    context.cancellation,
  );
  warnLeftOut(leftOut, context);
  const behind = source.model.kind === 'encoder' ? denseTensors(source.model) : [];
  const placed = [...inPlace, ...behind].map((tensor) => {
    const product = products.get(tensor.stored.name);
    return product === undefined
      ? tensor
      : { ...tensor, changed: (value: number) => value * product };
  });
  const { config, architecture, layout, summary } = model;
  const { xielu: curve } = architecture.feedforward.parts ?? {};
  const untied = tiedHeadWeight(source.model);
  const { encoder, decoder } = towerBlocks(summary, changes.blocks);
  return folderFileWriter(
    source,
    {
      ...{ changes, layout, placed },
      parameters:
        parametersAfter(source.model, changes) -
        [...factors.values()].flat().length +
        [...behind.map(({ stored }) => stored), ...(untied === undefined ? [] : [untied])].reduce(
          (sum, { shape }) => sum + elementCount(shape),
          0,
        ),
      further: [
        ...frequencyTensors(model),
        ...missingKeys(model, new Set(placed.map(({ name }) => name))),
      ],
      facts: {
        blocks: encoder,
        heads: config.num_attention_heads,
        keyValueHeads: config.num_key_value_heads ?? config.num_attention_heads,
        experts: changes.expertCounts.values().next().value ?? 0,
        architecture: model.target.architecture,
      },
      sourceName: (name) => sourceName(name, summary, changes),
      entries: async (fileType) => [
        ...modelEntries(
          { ...model, config: { ...config, decoder_layers: decoder } },
          { ...changes, blocks: changes.blocks.slice(0, encoder) },
          layout === 'deci',
          fileType,
        ),
        ...(source.model.kind === 'encoder'
          ? await encoderEntries(model.target.architecture, source.model)
          : []),
        ...(curve === undefined
          ? []
          : (
              await curveEntries(
                source.checkpoint,
                changes.blocks,
                (block) => `${source.model.blockNames?.prefix ?? ''}${block}.${curve}`,
                context.cancellation,
              )
            ).values()),
      ],
      tokenizer: model.target.family.tokenizer,
      notes: [
        model.architecture.textType === undefined ? undefined : textAlone,
        hasHead(source.model) ? withoutHead : undefined,
        hasSumBias(source.model) ? missingSumBiasNote : undefined,
        untied === undefined || headScale(source.model) === 1 ? undefined : ownHead,
      ],
      roundingError: hasLeastStep(model) ? withoutLeastStep : 0,
    },
    options,
    context,
  );
}

/** Warns if the file lacks tensors of its folder. */
function warnLeftOut(names: readonly string[], context: JobContext): void {
  const [first] = names;
  if (first !== undefined) {
    context.warn(
      say`Left out ${counted(names.length, 'tensor')} that the model doesn't use, such as ${first}.`,
    );
  }
}

function warnNoTokenizer(folder: string, context: JobContext): void {
  const others = otherTokenizers(folder);
  if (others.length > 0 && explainNoTokenizer(folder) !== undefined) {
    context.warn(
      say`The file will have no tokenizer: its folder has ${others.join(', ')}, but no tokenizer.json. First write one with save_pretrained of transformers' AutoTokenizer.`,
    );
  }
}

/** A GGUF file of a folder's model. */
interface FolderFile {
  readonly changes: Changes;
  readonly layout: 'blocks' | 'deci';
  readonly placed: readonly PlacedTensor[];
  /** Tensors that the folder doesn't have; written first. */
  readonly further: readonly GgufTensor[];
  /** Number of weights. */
  readonly parameters: number;
  /** Facts on which a mix of types depends. */
  readonly facts: Omit<MixedModel, 'hasImportance'>;
  /** Returns the name of a tensor in a GGUF file of the original. */
  readonly sourceName: (name: string) => string;
  /** Entries of the header about the model. */
  readonly entries: (fileType: number) => Promise<readonly Buffer[]>;
  readonly tokenizer: GgufTraits['tokenizer'];
  /** Further notes about loading the file. */
  readonly notes: readonly (Message | undefined)[];
  /** Maximum relative error of the logits, not counting rounding. */
  readonly roundingError: number;
}

async function folderFileWriter(
  { model }: CheckpointSource,
  { changes, layout, placed, further, ...file }: FolderFile,
  options: WriteOptions,
  context: JobContext,
): Promise<WeightWriter> {
  const { summary } = model;
  warnNoTokenizer(summary.path, context);
  const wanted = options.types ?? {};
  const numbered = placed.map((tensor) => ({
    ...tensor,
    sourceName: file.sourceName(tensor.name),
  }));
  const types = chosenTypes(numbered, file.facts, wanted);
  const chooseType = (tensor: PlacedTensor): WritableType =>
    types.get(tensor.name) ?? plainType(tensor);
  const tensors = [
    ...further,
    ...numbered.map((tensor) => {
      if (isTable(tensor)) {
        return asIntegers(tensor.name, tensor.stored);
      }
      const rounded = wanted.rounded?.get(tensor.name);
      if (rounded !== undefined) {
        return roundedTensor(
          tensor.name,
          { shape: tensor.shape, type: chooseType(tensor) },
          rounded,
        );
      }
      const asInSource = { name: tensor.sourceName, shape: tensor.shape };
      const importance = tensorImportance(wanted.importance, asInSource, changes);
      return areStoredBlocks(tensor) && !Object.hasOwn(wanted.tensors ?? {}, tensor.sourceName)
        ? asStoredBlocks(tensor.name, tensor)
        : converted(tensor.name, {
            ...tensor,
            type: chooseType(tensor),
            ...(importance === undefined ? {} : { importance }),
          });
    }),
  ];
  const [rows = summary.vocabularySize ?? 0] =
    tensors.find(({ name }) => name === 'token_embd.weight')?.shape ?? [];
  const entries = [
    ...(await file.entries(fileType(wanted, placed))),
    ...(await tokenizerEntries(summary.path, rows, {
      kind: file.tokenizer,
      isEncoder: model.kind === 'encoder',
    })),
  ];
  const plan = layOutGguf(entries, tensors, { version, alignment: defaultAlignment });
  const name = nameWithType(`${basename(summary.path)}.gguf`, wanted.mix);
  const written = new Map(tensors.map(({ name: one, type }) => [one, type]));
  return {
    bytes: plan.bytes,
    tensorBytes: bytesByName(plan),
    tensorTypes: types,
    parameters: file.parameters,
    layout,
    loadsWith: joined([describeGgufLoading(name, changes, layout === 'deci'), ...file.notes]),
    texts: {},
    standsAlone: true,
    roundingError: Math.max(
      file.roundingError,
      ...placed.map((tensor) =>
        written.get(tensor.name) === storedBlocks
          ? 0
          : roundingError(tensor.stored, chooseType(tensor), tensor.changed !== undefined),
      ),
    ),
    write: async (folder, copier) => {
      await writeGguf(join(folder, name), plan, copier);
      return [name];
    },
    part: encoderInFile,
    output: async (folder, input) => writtenLogits(join(folder, name), input, options, context),
  };
}

/** The checkpoint, with one tensor for each matrix that is stored as several tensors. */
async function joinedCheckpoint({ model, checkpoint }: CheckpointSource): Promise<Checkpoint> {
  const { quantization } = model.summary;
  return quantization === undefined ? checkpoint : joinPacked(checkpoint, quantization);
}

/** Bytes of a number. */
const [half, whole] = [2, 4] as const;

/** Zeros for keys and values that llama.cpp wants of blocks which read others', and that the folder does not have. */
export function missingKeys(
  { config, architecture, target }: Pick<FolderModel, 'config' | 'architecture' | 'target'>,
  there: ReadonlySet<string>,
): GgufTensor[] {
  if (target.family.wantsAllKeys !== true) {
    return [];
  }
  const { keyValueHeads, headDim } = configSizes(config);
  const matrix = [keyValueHeads * headDim, config.hidden_size];
  const bytes = new Uint8Array(keyValueHeads * headDim * config.hidden_size * half);
  const zeros = (name: string, shape: readonly number[], type: 'F16' | 'F32'): GgufTensor => {
    const length = shape.reduce((all, size) => all * size, type === 'F16' ? half : whole);
    return {
      name,
      shape,
      type,
      length,
      source: { kind: 'given', bytes: bytes.subarray(0, length) },
    };
  };
  return Array.from({ length: config.num_hidden_layers }, (_, block) => block)
    .filter((block) => architecture.sharedKeysBlock?.(config, block) !== undefined)
    .flatMap((block) => [
      zeros(`${ggufBlocks}.${block}.attn_k.weight`, matrix, 'F16'),
      zeros(`${ggufBlocks}.${block}.attn_v.weight`, matrix, 'F16'),
      zeros(`${ggufBlocks}.${block}.attn_k_norm.weight`, [headDim], 'F32'),
    ])
    .filter(({ name }) => !there.has(name));
}
