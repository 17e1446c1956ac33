import { dirname } from 'node:path';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { UserError } from '../../user-error';
import type { ConfigFields } from '../transformer/model-config';
import { siblingConfig } from './sibling-config';
import type { Example } from '../model-input';
import type {
  ExportedGraph,
  GraphPart,
  InputPort,
  LayeredModel,
  LayeredSublayer,
  ModelOutput,
  Prologue,
} from '../layered-model';
import { fingerprintEncodings, requireLayers } from '../transformer/linear-layers';
import type { MatrixEncoding } from '../matrix-encoding';
import type { ModelSummary } from '../model-summary';
import { requirePlaces } from '../patch/patched-layout';
import { describePatch, fingerprintPatches } from '../patch/symbolic-patch';
import type { PatchSpecs, SymbolicPatch } from '../patch/symbolic-patch';
import { findGraphLinears } from './matrices/graph-linears';
import type { GraphLinear, GraphLinears, UnusableMatrix } from './matrices/graph-linears';
import { findGraphEmbeddingAndHead, tableRows } from './matrices/graph-embedding-and-head';
import type { GraphEmbeddingOrHead } from './matrices/graph-embedding-and-head';
import { cutGraph } from './graph-stages';
import { GraphSublayer } from './graph-sublayer';
import type { SublayerContext } from './graph-sublayer';
import type { CutGraph } from './graph-stages';
import { GraphWidths } from './heads/graph-widths';
import { mainOutput, rotatedPositions } from './stream/graph-stream';
import type { MainOutput, OnnxModel } from './stream/graph-stream';
import { restoreNestedTensors } from './edits/node-edits';
import { editMatrices } from './matrices/matrix-edits';
import { findLayers, openOnnxModel } from './onnx-model';
import { OnnxParts, portName } from './onnx-parts';
import { patchBranches } from './edits/patch-branches';
import { ValueShapes } from './values/value-shapes';
import type { Shape } from './values/shape-query';
import { say } from '../../message';
import type { OnnxFile } from '../../checkpoints/onnx-file';
import { eightBitError } from '../encodings/encoding-facts';
import { DataType } from '../../onnx/graph-builder';
import { operatorName } from './graph-index';
import { elementCount } from '../../checkpoints/lazy-tensor';
import { fillArray, isArrayDType } from '../../checkpoints/numeric-array';
import { fixedSize, idsPort } from '../example';
import { isPast } from './stream/cache-ports';

/** [batch, sequence, features] */
const rowsRank = 3;

/** Operators that ONNX Runtime 1.30 runs on some GPUs alone; results are checked on the CPU. */
const onOtherDevices = ['com.microsoft:GatedDeltaNet', 'com.microsoft:PagedAttention'];

/** Returns the model summary, including language model facts from the config files of the folder. */
function describe(model: OnnxModel, output: string, config: ConfigFields): ModelSummary {
  const { summary } = model;
  const ids = idsPort(summary.inputs);
  if (ids === undefined) {
    return summary;
  }
  const number = (...fields: readonly string[]): number | undefined =>
    fields.map((field) => config[field]).find((value) => typeof value === 'number');
  const port = summary.outputs.find(({ name }) => name === output);
  const last = fixedSize(port, (port?.shape?.length ?? 0) - 1);
  const vocabularySize = number('vocab_size') ?? (output === 'logits' ? last : undefined);
  const maxPositions =
    fixedSize(ids, 1) ??
    rotatedPositions(model) ??
    number('max_position_embeddings', 'n_positions', 'n_ctx');
  const hiddenSize = number('hidden_size', 'n_embd', 'd_model');
  return {
    ...summary,
    ...(hiddenSize === undefined ? {} : { hiddenSize }),
    ...(vocabularySize === undefined ? {} : { vocabularySize }),
    ...(maxPositions === undefined ? {} : { maxPositions }),
  };
}

/** True if the graph has KV cache inputs. */
function readsCaches({ index }: OnnxModel): boolean {
  return index.inputs.some(({ name }) => isPast(name) && index.consumers.has(name));
}

/** Input that selects the If branch of this model. */
function graphSettings({ place, summary }: OnnxModel): Example {
  const condition = place?.wrapping.condition;
  const port = summary.inputs.find(({ name }) => name === condition?.input);
  if (condition === undefined || port === undefined || !isArrayDType(port.dtype)) {
    return {};
  }
  const dims = (port.shape ?? []).map((size) => (typeof size === 'number' ? size : 1));
  const data = fillArray(port.dtype, elementCount(dims), () => Number(condition.value));
  return { [port.name]: { dtype: port.dtype, dims, data } };
}

/** An ONNX model cut at its residual stream. */
export class OnnxLayeredModel implements LayeredModel, ExportedGraph {
  public readonly kind = 'graph';
  public readonly emitter = undefined;
  public readonly blockNames = undefined;
  public readonly inputs: readonly InputPort[];
  public readonly output: ModelOutput;
  public readonly roundingError: number | undefined;
  public readonly prologue: Prologue;
  public readonly epilogue: GraphPart;
  public readonly settings: Example;
  public readonly isCached: boolean;
  private readonly sublayers: readonly GraphSublayer[];
  private linears: GraphLinears | undefined;
  private matricesOutsideBlocks: readonly GraphEmbeddingOrHead[] | undefined;
  private shapes: ValueShapes | undefined;
  private readonly widths: GraphWidths;

  private constructor(
    public readonly source: OnnxModel,
    public readonly summary: ModelSummary,
    logits: MainOutput,
    private readonly cut: CutGraph,
    private readonly config: ConfigFields,
    public readonly otherModes: readonly OnnxLayeredModel[],
  ) {
    const parts = new OnnxParts(source);
    this.widths = new GraphWidths(
      source,
      (index) => this.linearLayers(index),
      () => this.valueShapes,
    );
    const sides = [...cut.side];
    const given = new Set(source.summary.inputs.map(({ name }) => name));
    const computed = sides.filter((name) => !given.has(name));
    this.prologue = {
      part: parts.part('prologue', cut.prologue, computed),
      next: {},
      sideNames: sides.map(portName),
      joinsExamples: false,
    };
    this.epilogue = parts.part('epilogue', cut.epilogue, [logits.value]);
    const context: SublayerContext = {
      ...{ source, cut, parts, widths: this.widths },
      linearLayers: (index) => this.linearLayers(index),
      streamShape: (index) => this.streamShape(index),
    };
    this.sublayers = source.branches.map((branch, i) => new GraphSublayer(context, branch, i));
    this.settings = graphSettings(source);
    const rows = tableRows(source);
    this.inputs = source.summary.inputs
      .filter(({ name }) => this.settings[name] === undefined)
      .map((port) => {
        const { [port.name]: count } = rows;
        return count === undefined ? port : { ...port, tableRows: count };
      });
    this.isCached = source.place !== undefined && readsCaches(source);
    this.output = logits;
    this.roundingError = roundingError(source.file);
  }

  /** @throws UserError if the file is damaged, or contains nothing to run */
  public static async open(path: string): Promise<OnnxLayeredModel> {
    const source = await openOnnxModel(path);
    const modes = [source, ...(source.other === undefined ? [] : [source.other])];
    for (const { file } of modes) {
      await restoreNestedTensors(
        file.graph.node.filter(({ attribute }) => attribute.length > 0),
        file,
      );
    }
    const { fields } = await siblingConfig(dirname(source.summary.path));
    return OnnxLayeredModel.cutAll(source, fields);
  }

  /** Includes the other modes of the graph. */
  private static cutAll(source: OnnxModel, config: ConfigFields): OnnxLayeredModel {
    const { other, ...first } = source;
    const others =
      other === undefined || other.branches.length === 0
        ? []
        : [OnnxLayeredModel.cut({ ...first, ...other }, config)];
    return OnnxLayeredModel.cut(source, config, others);
  }

  private static cut(
    source: OnnxModel,
    config: ConfigFields,
    others: readonly OnnxLayeredModel[] = [],
  ): OnnxLayeredModel {
    const output = mainOutput(source);
    const cut = cutGraph(source.index, source.branches, output.value);
    const summary = describe(source, output.name, config);
    return new OnnxLayeredModel(source, summary, output, cut, config, others);
  }

  public get files(): readonly string[] {
    return this.source.file.files;
  }

  public get graph(): ExportedGraph {
    return this;
  }

  public sublayer(index: number): LayeredSublayer {
    const sublayer = this.sublayers[index];
    if (sublayer === undefined) {
      throw new RangeError(`sublayer ${index} of ${this.sublayers.length}`);
    }
    return sublayer;
  }

  private linearLayers(index: number): readonly GraphLinear[] {
    return this.findLinears().layers.filter(({ sublayer }) => sublayer === index);
  }

  public get embeddingAndHeadMatrices(): readonly GraphEmbeddingOrHead[] {
    this.matricesOutsideBlocks ??= findGraphEmbeddingAndHead(this.source, this.cut);
    return this.matricesOutsideBlocks;
  }

  /** Matrices of sublayers that can't be compressed. */
  public get unusableMatrices(): readonly UnusableMatrix[] {
    return this.findLinears().unusable;
  }

  /**
   * Returns this model with resized tensors.
   * @param widths indices that each pruned sublayer keeps, by id
   */
  public resized(
    tensors: ReadonlyMap<string, LazyTensor>,
    widthPruning: ReadonlyMap<string, readonly number[]>,
    fingerprint: string,
  ): OnnxLayeredModel {
    const file = this.widths.resized(tensors, widthPruning);
    return OnnxLayeredModel.cutAll(findLayers(file, fingerprint), this.config);
  }

  public withMatrices(forms: ReadonlyMap<string, MatrixEncoding>): OnnxLayeredModel {
    const { file, place } = this.source;
    const layers = [...this.findLinears().layers, ...this.embeddingAndHeadMatrices];
    requireLayers(layers, forms, file.path);
    const { file: edited, memory } = editMatrices(
      file,
      place?.wrapping.parentGraph ?? file.graph,
      layers,
      forms,
      this.valueShapes,
    );
    const found = findLayers(edited, fingerprintEncodings(this.summary.fingerprint, forms));
    const { patches } = this.summary;
    const source = patches === undefined ? found : this.keepNames(found, patches);
    const all = new Map([...(this.source.memory ?? []), ...memory]);
    const model = OnnxLayeredModel.cutAll({ ...source, memory: all }, this.config);
    const mode = [model, ...model.otherModes].find(({ isCached }) => isCached === this.isCached);
    const streams = (of: OnnxLayeredModel): string =>
      JSON.stringify(
        of.summary.sublayers.map(({ id }, index) => [id, of.sublayer(index).streamNames]),
      );
    if (mode === undefined || streams(mode) !== streams(this)) {
      throw new Error(`other sublayers are found in ${file.path} with these forms`);
    }
    return mode;
  }

  public withPatches(patches: ReadonlyMap<string, SymbolicPatch>): OnnxLayeredModel {
    const { sublayers, fingerprint } = this.summary;
    requirePlaces(this.summary, patches);
    const numbers = sublayers.flatMap(({ id }, i): [number, SymbolicPatch][] => {
      const patch = patches.get(id);
      return patch === undefined ? [] : [[i, patch]];
    });
    const odd = numbers.find(([i]) => (this.streamShape(i)?.length ?? 0) > rowsRank);
    if (odd !== undefined) {
      throw new UserError(
        'stream-of-images',
        say`The stream contains feature maps of images, but a patch reads rows of features.`,
        {
          file: this.summary.path,
          field: this.idOf(odd[0]),
          remedy: say`Patch a model with hidden states of shape [batch, sequence, features].`,
        },
      );
    }
    const file = patchBranches(this.source, new Map(numbers));
    const found = findLayers(file, fingerprintPatches(fingerprint, patches));
    const described = [...patches].map(([id, patch]) => [id, describePatch(patch)] as const);
    const standing = { ...this.summary.patches, ...Object.fromEntries(described) };
    const source = this.keepNames(found, standing);
    const { memory } = this.source;
    return OnnxLayeredModel.cutAll(
      { ...source, ...(memory === undefined ? {} : { memory }) },
      this.config,
    );
  }

  public requireRunnable(): void {
    if (this.source.branches.length === 0) {
      throw new UserError(
        'sublayers-missing',
        this.summary.warnings[0] ?? say`The graph has no sublayer.`,
        { file: this.summary.path, remedy: say`Choose a model with a residual stream.` },
      );
    }
    const operator = onOtherDevices.find((name) => name in this.source.summary.ops);
    if (operator !== undefined) {
      throw new UserError(
        'kernel-missing',
        say`ONNX Runtime has no CPU kernel for ${operator}, so the graph can be inspected but not run.`,
        {
          file: this.summary.path,
          remedy: say`Export the model with standard operators, or for the CPU.`,
        },
      );
    }
  }

  /**
   * The sublayers of an edited graph under the ids that they have in the file: what a patch is by its structure
   * plays no role.
   */
  private keepNames(found: OnnxModel, patches: PatchSpecs): OnnxModel {
    const { sublayers } = this.summary;
    if (found.branches.length !== sublayers.length) {
      throw new Error(`patching changed the sublayers of ${found.file.path}`);
    }
    const named = found.summary.sublayers.map((one, i) => {
      const { id, block, kind } = sublayers[i] ?? one;
      return { ...one, id, block, kind: patches[id] === undefined ? kind : ('patch' as const) };
    });
    return { ...found, summary: { ...found.summary, sublayers: named, patches } };
  }

  private get valueShapes(): ValueShapes {
    this.shapes ??= new ValueShapes(this.source.file.graph, this.source.index);
    return this.shapes;
  }

  /** Shape of the stream before a branch; undefined if even the rank is unknown. */
  private streamShape(index: number): Shape | undefined {
    return this.valueShapes.of(this.source.branches[index]?.start ?? '');
  }

  private findLinears(): GraphLinears {
    this.linears ??= findGraphLinears(this.source, this.cut);
    return this.linears;
  }

  private idOf(index: number): string {
    return this.summary.sublayers[index]?.id ?? String(index);
  }
}

/** Operators that round what they read to few bits, so that a last bit may decide over a step. */
const quantizing =
  /(?:^|:)(?:QuantizeLinear|DynamicQuantizeLinear|DynamicQuantizeMatMul|DynamicQuantizeLSTM|MatMulInteger|MatMulIntegerToFloat|ConvInteger|QAttention|QGemm|QLinear[A-Za-z]+)$/;
/** MatMulNBits rounds what it reads to 8 bits at this accuracy level. */
const eightBits = 4n;
const halfTypes = new Set<number>([DataType.FLOAT16, DataType.BFLOAT16]);

/**
 * Maximum max |a − b| / max |a| between two ways to run the same graph, such as whole and in parts: 6e-4 in half
 * precision, measured on the fixtures. Undefined in float32.
 */
function roundingError({ graph, initializers }: OnnxFile): number | undefined {
  const rounds = graph.node.some(
    (node) =>
      quantizing.test(operatorName(node)) ||
      node.attribute.some(({ name, i }) => name === 'accuracy_level' && i === eightBits),
  );
  if (rounds) {
    return eightBitError;
  }
  const isHalf = [...initializers.values()].some(({ dataType }) => halfTypes.has(dataType));
  return isHalf ? 5e-3 : undefined;
}
