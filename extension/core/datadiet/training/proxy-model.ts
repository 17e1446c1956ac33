import { basename } from 'node:path';
import type { Dataset } from '../../data/datasets/dataset';
import { loadTokenizer } from '../../data/tokenizer';
import { derivedInput, idsPort } from '../../models/example';
import { isOnnx } from '../../checkpoints/model-folder';
import type { InputPort } from '../../models/layered-model';
import { port } from '../../models/onnx/onnx-model';
import { exampleTensor, floatTensor, int64Tensor } from '../../runtime/tensors';
import type { Tensors } from '../../runtime/tensors';
import { BuiltModel } from '../../training/built-model';
import { openTrainableOnnx } from '../../training/onnx-trainable';
import type { TrainableModel } from '../../training/trainable-model';
import { UserError } from '../../user-error';
import { say } from '../../message';
import { elementCount } from '../../checkpoints/lazy-tensor';
import type { Tokenizer } from '../../data/tokenizer';
import {
  activation,
  batchNorm,
  conv2d,
  dense,
  flatten,
  globalAveragePool,
  maxPool,
  meanEmbedding,
  residual,
  sequential,
} from '../../training/layers';
import type { Layer } from '../../training/layers';

/** Built-in models; any other name is the path of an ONNX file. */
export const proxyNames = ['mlp', 'cnn', 'resnet'] as const;
type ProxyName = (typeof proxyNames)[number];

/** Model to train, and its tokenizer for texts. */
export interface ProxyRequest {
  /** One of `proxyNames`, or the path of an ONNX file. */
  readonly model: string;
  /** Model whose tokenizer reads texts; an error for other data. */
  readonly tokenizer?: string;
  /** Tokenizer used if none is given. An ONNX file uses the one in its folder. */
  readonly defaultTokenizer?: string;
  /** Maximum tokens per text; 128 by default. */
  readonly maxTokens?: number;
}

type Indices = Int32Array | readonly number[];

/** Small model trained on a dataset to score its examples. */
export interface ProxyModel {
  readonly name: string;
  /** True if each seed initializes its own weights; an ONNX file always starts from its weights. */
  readonly drawsWeights: boolean;
  /** Returns the model before training. */
  untrained(seed: number): TrainableModel;
  /** Model inputs for examples of the dataset that it was opened for, or of one with the same features. */
  inputs(dataset: Dataset, indices: Indices): Tensors;
}

export const defaultMaxTokens = 128;

/**
 * Creates a model for a dataset: `mlp`, `cnn` and `resnet` for images, `mlp` for tables and texts, or an ONNX file that
 * takes the examples unchanged and returns logits [batch, classes].
 * @throws UserError if the model doesn't fit the dataset.
 */
export async function openProxy(request: ProxyRequest, dataset: Dataset): Promise<ProxyModel> {
  if (dataset.classNames.length < 2) {
    throw new UserError('classes-too-few', say`All examples of ${dataset.name} are of one class.`, {
      remedy: say`Choose a dataset with two classes or more.`,
    });
  }
  requireTexts(request, dataset);
  const name = proxyNames.find((known) => known === request.model);
  if (name !== undefined) {
    return dataset.text === undefined
      ? numericProxy(name, dataset)
      : textProxy(name, dataset, request);
  }
  if (!isOnnx(request.model)) {
    throw new UserError('proxy-unknown', say`There is no such model.`, {
      field: request.model,
      remedy: say`Use one of ${proxyNames.join(', ')}, or an ONNX file.`,
    });
  }
  return onnxProxy(dataset, request);
}

/** @throws UserError naming an option for texts if the dataset has none. */
function requireTexts({ tokenizer, maxTokens }: ProxyRequest, dataset: Dataset): void {
  const [field] = Object.entries({ tokenizer, maxTokens }).flatMap(([key, value]) =>
    value === undefined ? [] : [key],
  );
  if (dataset.text === undefined && field !== undefined) {
    throw new UserError(
      'flag-without-effect',
      say`It applies only to texts, and ${dataset.name} has none.`,
      { field, remedy: say`Leave it out.` },
    );
  }
}

function numericProxy(name: ProxyName, dataset: Dataset): ProxyModel {
  const { featureShape, classNames } = dataset;
  const classes = classNames.length;
  if (name !== 'mlp' && featureShape.length !== 3) {
    throw new UserError(
      'proxy-for-images-only',
      say`The model ${name} is for images, but these are [${featureShape.join(', ')}].`,
      { remedy: say`Use mlp, or an ONNX file.` },
    );
  }
  const layers = name === 'mlp' ? vectorLayers(classes) : imageLayers(name, classes);
  const standardization = Standardization.of(dataset);
  const shape = ['batch', ...featureShape];
  return {
    name,
    drawsWeights: true,
    untrained: (seed) => new BuiltModel({ name: 'x', shape }, layers, seed),
    inputs: (from, indices) => {
      const features = from.features(indices);
      standardization.apply(features);
      return { x: floatTensor(features, [indices.length, ...featureShape]) };
    },
  };
}

/** Number of characters encoded per requested token, more than needed in practice. */
const charactersPerToken = 16;

/** Tokenized texts of datasets. Each dataset is tokenized once. */
class TokenRows {
  private readonly read = new WeakMap<Dataset, readonly Int32Array[]>();

  public constructor(
    private readonly tokenizer: Tokenizer,
    private readonly maxTokens: number,
  ) {}

  /** Token ids of every example, at most `maxTokens` each. */
  public of(dataset: Dataset): readonly Int32Array[] {
    const rows = this.read.get(dataset) ?? this.encode(dataset);
    this.read.set(dataset, rows);
    return rows;
  }

  /** Token ids of the given examples, and the maximum length (at least 1). */
  public padded(
    dataset: Dataset,
    indices: Int32Array | readonly number[],
  ): { readonly length: number; readonly chosen: readonly Int32Array[] } {
    const rows = this.of(dataset);
    const chosen = Array.from(indices, (index) => rows[index] ?? new Int32Array(0));
    return { length: chosen.reduce((most, row) => Math.max(most, row.length), 1), chosen };
  }

  private encode(dataset: Dataset): readonly Int32Array[] {
    return Array.from({ length: dataset.size }, (_, index) => {
      const text = dataset.text?.(index) ?? '';
      const ids = this.tokenizer.encode(text.slice(0, this.maxTokens * charactersPerToken));
      return ids.slice(0, this.maxTokens);
    });
  }
}

async function textProxy(
  name: ProxyName,
  dataset: Dataset,
  { defaultTokenizer, tokenizer = defaultTokenizer, maxTokens = defaultMaxTokens }: ProxyRequest,
): Promise<ProxyModel> {
  if (name !== 'mlp') {
    throw new UserError(
      'proxy-not-for-texts',
      say`The model ${name} is for images, but these are texts.`,
      { remedy: say`Use mlp, or an ONNX file.` },
    );
  }
  if (tokenizer === undefined) {
    throw new UserError('tokenizer-not-specified', say`There is no tokenizer for the texts.`, {
      field: 'tokenizer',
      remedy: say`Specify a model that has the tokenizer.`,
    });
  }
  const rows = new TokenRows(await loadTokenizer(tokenizer), maxTokens);
  // Renumbers the tokens that occur, from 1: most of a vocabulary is unused, and updating its embeddings would be
  // wasteful.
  const known = new Map<number, number>();
  for (const ids of rows.of(dataset)) {
    for (const id of ids) {
      known.set(id, known.get(id) ?? known.size + 1);
    }
  }
  const layers = textLayers(known.size + 1, dataset.classNames.length);
  const shape = ['batch', 'length'];
  return {
    name,
    drawsWeights: true,
    untrained: (seed) => new BuiltModel({ name: 'x', type: 'int64', shape }, layers, seed),
    inputs: (from, indices) => {
      const { length, chosen } = rows.padded(from, indices);
      const ids = chosen.flatMap((row) =>
        Array.from({ length }, (_, i) => known.get(row[i] ?? -1) ?? 0),
      );
      return { x: int64Tensor(ids, [indices.length, length]) };
    },
  };
}

async function onnxProxy(dataset: Dataset, request: ProxyRequest): Promise<ProxyModel> {
  const { model: path, tokenizer = path, maxTokens = defaultMaxTokens } = request;
  const model = await openTrainableOnnx(path);
  const { graph, output } = model.forward('evaluate');
  const ports = graph.graph.input.map(port).filter(({ name }) => model.inputs.includes(name));
  checkOutput(output.shape, dataset, path);
  const common = { name: basename(path), drawsWeights: false, untrained: () => model };
  if (dataset.text === undefined) {
    const input = onlyInput(ports, dataset, path);
    return {
      ...common,
      inputs: (from, indices) => ({
        [input]: floatTensor(from.features(indices), [indices.length, ...from.featureShape]),
      }),
    };
  }
  const rows = new TokenRows(await loadTokenizer(tokenizer), maxTokens);
  const others = ports.filter(({ name }) => name !== idsPort(ports)?.name);
  const unknown = others.find((other) => derivedInput(other, 1, 1) === undefined);
  const taker = idsPort(ports);
  if (taker === undefined || unknown !== undefined) {
    throw new UserError('inputs-not-from-text', say`Its inputs cannot be made from text.`, {
      file: path,
      field: unknown?.name ?? 'input_ids',
      remedy: say`Export the model with only input_ids and attention_mask as inputs.`,
    });
  }
  return {
    ...common,
    inputs: (from, indices) => {
      const { length, chosen } = rows.padded(from, indices);
      const dims = [indices.length, length];
      const each = (value: (row: Int32Array, i: number) => number): number[] =>
        chosen.flatMap((row) => Array.from({ length }, (_, i) => value(row, i)));
      const follow = others.map(({ name, ...rest }) => {
        const standard = derivedInput({ name, ...rest }, indices.length, length);
        const tensor = name.endsWith('attention_mask')
          ? int64Tensor(
              each((row, i) => (i < row.length ? 1 : 0)),
              dims,
            )
          : standard === undefined
            ? undefined
            : exampleTensor(standard);
        return [name, tensor] as const;
      });
      const ids = int64Tensor(
        each((row, i) => row[i] ?? 0),
        dims,
      );
      return { [taker.name]: ids, ...Object.fromEntries(follow) } as Tensors;
    },
  };
}

function checkOutput(shape: readonly (number | string)[], dataset: Dataset, path: string): void {
  const { length } = dataset.classNames;
  const classes = shape[1];
  if (shape.length !== 2 || (typeof classes === 'number' && classes !== length)) {
    throw new UserError(
      'classifier-shape-mismatch',
      say`Its output is [${shape.join(', ')}], but the ${length} classes of ${dataset.name} need [batch, ${length}].`,
      { file: path, remedy: say`Export a classifier of these classes that gives logits.` },
    );
  }
}

function onlyInput(ports: readonly InputPort[], dataset: Dataset, path: string): string {
  const [only, ...more] = ports;
  if (only === undefined || more.length > 0 || only.dtype !== 'F32') {
    throw new UserError(
      'proxy-inputs-unsupported',
      say`It expects ${ports.map(({ name, dtype }) => `${name} (${dtype})`).join(', ')}; examples are one float32 array.`,
      { file: path, remedy: say`Export the model with one input of float32.` },
    );
  }
  const [batch, ...sizes] = only.shape ?? [];
  const { featureShape } = dataset;
  const fits =
    sizes.length === featureShape.length &&
    sizes.every((size, axis) => typeof size === 'string' || size === featureShape[axis]);
  if (typeof batch === 'number' || !fits) {
    throw new UserError(
      'proxy-input-shape-mismatch',
      say`It expects [${(only.shape ?? []).join(', ')}], but examples are [batch, ${featureShape.join(', ')}].`,
      {
        file: path,
        field: only.name,
        remedy: say`Export the model with a dynamic batch size for images of this size.`,
      },
    );
  }
  return only.name;
}

/** Number of examples used to estimate mean and deviation. */
const maxExamples = 10_000;
/** Maximum number of examples in memory. */
const examplesAtOnce = 500;
/** Deviation below which values count as constant. */
const smallestDeviation = 1e-6;

/** Standardizes features, (x − mean) / deviation, per channel of images and per column of tables. */
class Standardization {
  private constructor(
    private readonly mean: Float64Array,
    private readonly deviation: Float64Array,
    /** Number of consecutive values per channel. */
    private readonly run: number,
  ) {}

  /** Estimates mean and deviation on up to 10,000 examples, evenly spaced in the dataset. */
  public static of(dataset: Dataset): Standardization {
    const { featureShape, size } = dataset;
    const isImage = featureShape.length === 3;
    const channels = isImage ? (featureShape[0] ?? 1) : elementCount(featureShape);
    const run = isImage ? elementCount(featureShape.slice(1)) : 1;
    const count = Math.min(size, maxExamples);
    const chosen = Array.from({ length: count }, (_, i) => Math.floor((i * size) / count));
    const [sums, squares] = [new Float64Array(channels), new Float64Array(channels)];
    for (let start = 0; start < count; start += examplesAtOnce) {
      const features = dataset.features(chosen.slice(start, start + examplesAtOnce));
      for (let i = 0; i < features.length; i++) {
        const channel = Math.floor(i / run) % channels;
        const x = features[i] ?? 0;
        sums[channel] = (sums[channel] ?? 0) + x;
        squares[channel] = (squares[channel] ?? 0) + x * x;
      }
    }
    const mean = sums.map((sum) => sum / (count * run));
    const deviation = squares.map((square, i) => {
      const found = Math.sqrt(Math.max(0, square / (count * run) - (mean[i] ?? 0) ** 2));
      return found > smallestDeviation ? found : 1;
    });
    return new Standardization(mean, deviation, run);
  }

  /** Standardizes features in place. */
  public apply(features: Float32Array): void {
    const { mean, deviation, run } = this;
    for (let start = 0, channel = 0; start < features.length; start += run) {
      const [shift = 0, scale = 1] = [mean[channel], deviation[channel]];
      for (let i = start; i < start + run; i++) {
        features[i] = ((features[i] ?? 0) - shift) / scale;
      }
      channel = channel + 1 === mean.length ? 0 : channel + 1;
    }
  }
}

type ImageProxy = 'cnn' | 'resnet';

const relu = activation('relu');
const hidden = 256;

/** MLP with one hidden layer of width 256. */
function vectorLayers(classes: number): Layer {
  return sequential([flatten, dense(hidden), relu, dense(classes)]);
}

/** Mean of token embeddings of width 64 (Joulin et al. 2016, arXiv 1607.01759), followed by one hidden layer. */
function textLayers(tokens: number, classes: number): Layer {
  return sequential([meanEmbedding(tokens, 64), dense(hidden), relu, dense(classes)]);
}

function imageLayers(name: ImageProxy, classes: number): Layer {
  return name === 'cnn' ? convolutional(classes) : residualNetwork(classes);
}

/** CNN: 3 × 3 × 32, pooling, 3 × 3 × 64, pooling, dense. */
function convolutional(classes: number): Layer {
  return sequential([
    ...[conv2d(32, 3, { padding: 1 }), relu, maxPool(2)],
    ...[conv2d(64, 3, { padding: 1 }), relu, maxPool(2)],
    ...[flatten, dense(classes)],
  ]);
}

/** ResNet-8: the CIFAR-10 architecture of He et al. 2016 (arXiv 1512.03385, § 4.2) with n = 1. */
function residualNetwork(classes: number): Layer {
  const norm = batchNorm();
  const conv = (filters: number, stride: number): Layer =>
    conv2d(filters, 3, { padding: 1, stride, bias: false });
  const block = (filters: number, stride: number): Layer[] => [
    residual(
      sequential([conv(filters, stride), norm, relu, conv(filters, 1), norm]),
      stride === 1 ? undefined : sequential([conv2d(filters, 1, { stride, bias: false }), norm]),
    ),
    relu,
  ];
  return sequential([
    ...[conv(16, 1), norm, relu],
    ...[...block(16, 1), ...block(32, 2), ...block(64, 2)],
    ...[globalAveragePool, dense(classes)],
  ]);
}
