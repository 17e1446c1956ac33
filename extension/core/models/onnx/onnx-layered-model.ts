import { dirname } from 'node:path';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { UserError } from '../../user-error';
import type { ConfigFields } from '../transformer/config-layout';
import { configBeside } from './config-beside';
import { describe, readsCaches, settingsOf } from './describe-graph';
import type { Example } from '../model-input';
import type {
  GraphPart,
  InputPort,
  LayeredModel,
  ModelOutput,
  PatchInput,
  Step,
  TappedStep,
} from '../layered-model';
import { fingerprintForms, requireLayers } from '../transformer/linear-layers';
import type { MatrixEncoding } from '../matrix-encoding';
import type { ModelSummary } from '../model-summary';
import type { Width } from '../narrow/width';
import { requirePlaces } from '../patch/patched-layout';
import { describePatch, fingerprintPatches } from '../patch/symbolic-patch';
import type { PatchSpecs, SymbolicPatch } from '../patch/symbolic-patch';
import { findGraphLinears, lazyTensor } from './matrices/graph-linears';
import type { GraphLinear, GraphLinears, UnusableMatrix } from './matrices/graph-linears';
import { findGraphOuter } from './matrices/graph-outer';
import type { GraphOuter } from './matrices/graph-outer';
import { cutGraph } from './graph-stages';
import type { CutGraph } from './graph-stages';
import { GraphWidths } from './heads/graph-widths';
import { tableRows } from './matrices/lookups';
import { mainOutput } from './stream/main-output';
import type { MainOutput } from './stream/main-output';
import type { MaskedMixture } from './mixtures/mask-scores';
import { restoreNestedTensors } from './edits/node-edits';
import { editMatrices } from './matrices/matrix-edits';
import { findLayers, openOnnxModel } from './onnx-model';
import type { OnnxModel } from './stream/stream-of-graph';
import { OnnxParts, portName } from './onnx-parts';
import type { Tap } from './onnx-parts';
import { patchBranches } from './edits/patch-branches';
import { roundingError } from './values/rounding';
import { ValueShapes } from './values/value-shapes';
import type { Shape } from './values/shape-query';
import { say } from '../../message';
import type { Message } from '../../message';

/** [batch, sequence, features] */
const rowsRank = 3;

/** Operators that ONNX Runtime 1.30 runs on some GPUs alone; results are checked on the CPU. */
const onOtherDevices = ['com.microsoft:GatedDeltaNet', 'com.microsoft:PagedAttention'];

/** An ONNX model cut at its residual stream. */
export class OnnxLayeredModel implements LayeredModel {
  public readonly kind = 'graph';
  public readonly joinsExamples = false;
  public readonly inputs: readonly InputPort[];
  public readonly output: ModelOutput;
  public readonly roundingError: number | undefined;
  public readonly sideNames: readonly string[];
  public readonly prologue: Step & { readonly part: GraphPart };
  public readonly epilogue: GraphPart;
  public readonly settings: Example;
  public readonly tableRows: Readonly<Record<string, number>>;
  public readonly isCached: boolean;
  private readonly parts: OnnxParts;
  private readonly over: readonly (Step & { readonly part: GraphPart })[];
  private readonly around: readonly Step[];
  private linears: GraphLinears | undefined;
  private outer: readonly GraphOuter[] | undefined;
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
    this.parts = parts;
    this.widths = new GraphWidths(
      source,
      (index) => this.linearLayers(index),
      () => this.valueShapes,
    );
    const { branches } = source;
    const sides = [...cut.side];
    const given = new Set(source.summary.inputs.map(({ name }) => name));
    const computed = sides.filter((name) => !given.has(name));
    this.prologue = { part: parts.part('prologue', cut.prologue, computed), next: {} };
    this.epilogue = parts.part('epilogue', cut.epilogue, [logits.value]);
    this.over = branches.map((_, i) => {
      const masked = this.maskOf(i);
      const made = this.madeBy(i);
      const part = parts.part(this.idOf(i), cut.over[i] ?? lost(), made, { masked });
      const next = this.nextOf(i);
      return masked === undefined ? { part, next } : { part, next, mask: masked.mask };
    });
    this.around = branches.map(({ start, sum, end, rest }, i) => {
      const others = this.madeBy(i).filter((name) => name !== sum);
      const left = rest === undefined ? others : [...others, rest];
      const key = `${this.idOf(i)}.skipped`;
      const aliases = new Map([[sum, rest ?? start]]);
      const passed = sum === end ? { [portName(end)]: portName(rest ?? start) } : {};
      const next = { ...this.nextOf(i), ...passed };
      return left.length === 0
        ? { next }
        : { part: parts.part(key, cut.around[i] ?? lost(), left, { aliases }), next };
    });
    this.sideNames = sides.map(portName);
    this.settings = settingsOf(source);
    this.inputs = source.summary.inputs.filter(({ name }) => this.settings[name] === undefined);
    this.tableRows = tableRows(source);
    this.isCached = source.place !== undefined && readsCaches(source);
    this.output = logits;
    this.roundingError = roundingError(source.file);
  }

  /** @throws UserError when the file is damaged, or holds nothing that could be run. */
  public static async open(path: string): Promise<OnnxLayeredModel> {
    const source = await openOnnxModel(path);
    const modes = [source, ...(source.other === undefined ? [] : [source.other])];
    for (const { file } of modes) {
      await restoreNestedTensors(
        file.graph.node.filter(({ attribute }) => attribute.length > 0),
        file,
      );
    }
    const { fields } = await configBeside(dirname(source.summary.path));
    return OnnxLayeredModel.cutAll(source, fields);
  }

  /** With the other ways that the graph runs. */
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

  public sublayer(index: number): Step & { readonly part: GraphPart } {
    return this.over[index] ?? lost();
  }

  public summed(index: number): Step & { readonly part: GraphPart } {
    const { sum, end } = this.source.branches[index] ?? lost();
    const step = this.sublayer(index);
    if (sum === end) {
      return step;
    }
    const key = `${this.idOf(index)}.summed`;
    const made = [...new Set([...this.madeBy(index), sum])];
    const part = this.parts.part(key, this.cut.over[index] ?? lost(), made);
    return { part, next: { ...step.next, [portName(end)]: portName(sum) } };
  }

  public skipped(index: number): Step {
    return this.around[index] ?? lost();
  }

  public streamNames(index: number): { before: string; after: string } {
    const { start, end } = this.source.branches[index] ?? lost();
    return { before: portName(start), after: portName(end) };
  }

  public sublayerTensors(index: number): readonly LazyTensor[] {
    const { initializers } = this.source.file;
    return [...(this.cut.over[index]?.weights ?? [])]
      .flatMap((name) => initializers.get(name) ?? [])
      .flatMap((data) => lazyTensor(data));
  }

  public linearLayers(index: number): readonly GraphLinear[] {
    return this.findLinears().layers.filter(({ sublayer }) => sublayer === index);
  }

  public get outerMatrices(): readonly GraphOuter[] {
    this.outer ??= findGraphOuter(this.source, this.cut);
    return this.outer;
  }

  /** Matrices of sublayers that cannot take another form. */
  public get unusableMatrices(): readonly UnusableMatrix[] {
    return this.findLinears().unusable;
  }

  public width(index: number): Width | undefined {
    return this.widths.of(index);
  }

  public whyNoWidth(index: number): Message | undefined {
    return this.widths.problemOf(index);
  }

  /**
   * This model with tensors of other sizes in the places of some.
   * @param narrowing what stays of each sublayer that is narrowed, by id
   */
  public resized(
    tensors: ReadonlyMap<string, LazyTensor>,
    narrowing: ReadonlyMap<string, readonly number[]>,
    fingerprint: string,
  ): OnnxLayeredModel {
    const file = this.widths.resized(tensors, narrowing);
    return OnnxLayeredModel.cutAll(findLayers(file, fingerprint), this.config);
  }

  public tapped(index: number): TappedStep {
    const outputs = new Map<string, Tap>();
    const taps = new Map<string, string>();
    for (const { id, products, in: width } of this.linearLayers(index)) {
      const values = products.map(({ input, map }) => ({ name: input, map }));
      const key = JSON.stringify(values);
      const tap = outputs.get(key) ?? { output: `tap.${outputs.size}`, values, width };
      outputs.set(key, tap);
      taps.set(id, tap.output);
    }
    const key = `${this.idOf(index)}.tapped`;
    const cut = this.cut.over[index] ?? lost();
    const options = { masked: this.maskOf(index), taps: [...outputs.values()] };
    const part = this.parts.part(key, cut, this.madeBy(index), options);
    return { ...this.sublayer(index), part, taps };
  }

  public withMatrices(forms: ReadonlyMap<string, MatrixEncoding>): OnnxLayeredModel {
    const { file, place } = this.source;
    const layers = [...this.findLinears().layers, ...this.outerMatrices];
    requireLayers(layers, forms, file.path);
    const { file: edited, memory } = editMatrices(
      file,
      place?.wrapping.outer ?? file.graph,
      layers,
      forms,
      this.valueShapes,
    );
    const found = findLayers(edited, fingerprintForms(this.summary.fingerprint, forms));
    const { patches } = this.summary;
    const source = patches === undefined ? found : this.keepNames(found, patches);
    const all = new Map([...(this.source.memory ?? []), ...memory]);
    const model = OnnxLayeredModel.cutAll({ ...source, memory: all }, this.config);
    const mode = [model, ...model.otherModes].find(({ isCached }) => isCached === this.isCached);
    const streams = (of: OnnxLayeredModel): string =>
      JSON.stringify(of.summary.sublayers.map(({ id }, index) => [id, of.streamNames(index)]));
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
    const odd = numbers.find(([i]) => (this.shapeInFront(i)?.length ?? 0) > rowsRank);
    if (odd !== undefined) {
      throw new UserError(
        say`The stream holds maps of images, but a patch reads rows of features.`,
        {
          file: this.summary.path,
          field: this.idOf(odd[0]),
          remedy: say`Patch a model whose stream is [batch, sequence, features].`,
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

  public patchInput(index: number): PatchInput {
    const { start } = this.source.branches[index] ?? lost();
    const width = this.shapeInFront(index)?.at(-1);
    return { value: portName(start), width: typeof width === 'number' ? width : undefined };
  }

  public requireRunnable(): void {
    if (this.source.branches.length === 0) {
      throw new UserError(this.summary.warnings[0] ?? say`The graph has no sublayer.`, {
        file: this.summary.path,
        remedy: say`Choose a model with a residual stream.`,
      });
    }
    const operator = onOtherDevices.find((name) => name in this.source.summary.ops);
    if (operator !== undefined) {
      throw new UserError(
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
      throw new Error(`other sublayers are found in ${found.file.path} beside patches`);
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

  /** Of the stream in front of a branch; undefined where not even its rank is known. */
  private shapeInFront(index: number): Shape | undefined {
    return this.valueShapes.of(this.source.branches[index]?.start ?? '');
  }

  private findLinears(): GraphLinears {
    this.linears ??= findGraphLinears(this.source, this.cut);
    return this.linears;
  }

  private idOf(index: number): string {
    return this.summary.sublayers[index]?.id ?? String(index);
  }

  private maskOf(index: number): MaskedMixture | undefined {
    const mixture = this.source.mixtures.get(index);
    const input = `${this.idOf(index)}/mask`;
    return mixture && { mixture, mask: { input, count: mixture.router.count } };
  }

  /** What the part over branch `index` makes for those behind it. */
  private madeBy(index: number): string[] {
    const before = this.cut.states[index] ?? new Set();
    return [...(this.cut.states[index + 1] ?? [])].filter((name) => !before.has(name));
  }

  private nextOf(index: number): Record<string, string> {
    return Object.fromEntries(
      [...(this.cut.states[index + 1] ?? [])].map(portName).map((name) => [name, name]),
    );
  }
}

function lost(): never {
  throw new RangeError('there is no such sublayer');
}
