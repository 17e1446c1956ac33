import type { Diagram } from '../../inspect/flow/diagram';
import type { Diagrams } from '../../inspect/flow/diagrams';
import type { UnknownFlow } from '../../inspect/flow/flow-document';
import type { CompareRequest, ModelComparison } from '../../inspect/model-comparison';
import type { ModelDescription, StoredTensor } from '../../inspect/model-description';
import type { TensorStatistics } from '../../inspect/tensor-statistics';
import { verbatim, fill } from '../../message';
import type { Capabilities } from '../../models/capabilities';
import type { ModelSummary } from '../../models/model-summary';
import type { WidthPrunedModel } from '../../models/width-pruning/describe-width-pruned';
import type { PlannedChanges } from '../../models/width-pruning/prune-width';
import type { CheckedOutput } from '../../export/output-options';
import type { AskedChanges } from '../../export/writable';
import type { Runtime } from '../../pipelines/runtimes';
import type { OfferedSizes } from '../size-choices';
import type { ChooseLayersRequest, ChosenLayers } from './choose-layers';
import type { ExportStructureRequest } from '../../inspect/describe-model';
import { defineQuestion } from './question';
import type { Translate } from '../../message';
import { readSmallText } from '../../regular-file';

interface ModelRequest {
  /** A model folder, its config.json, a .safetensors file or its index; a .gguf or .onnx file. */
  readonly model: string;
}

/** Summary and capabilities of a model. */
export interface InspectedModel {
  readonly summary: ModelSummary;
  readonly capabilities: Capabilities;
}

/** Diagram of a model's data flow. */
interface DiagramRequest extends ModelRequest {
  /** Ids of groups that are opened, and of runs that are unfolded. */
  readonly open: readonly string[];
  /** Path of another model to include in the diagram. */
  readonly against?: string;
  /** Path of a JSON file with values to show on the diagram. */
  readonly values?: string;
  /** A JSON file of texts in the language that is shown, by their English; none for English. */
  readonly catalogue?: string;
}

/** Progress that is reported more often than this is not seen. */
const progressMilliseconds = 100;

/** Loaded when the first flow is drawn. */
let diagrams: Promise<Diagrams> | undefined;

export const openQuestion = defineQuestion({
  id: 'open',
  trust: 'inspect',
  run: async ({ model }: ModelRequest, { open }): Promise<InspectedModel> => {
    const { summary, capabilities } = await open(model);
    return { summary, capabilities };
  },
});

export const describe = defineQuestion({
  id: 'describe',
  trust: 'inspect',
  run: async ({ model }: ModelRequest, { open }): Promise<ModelDescription> =>
    (await import('../../inspect/describe-model')).describeModel(model, open),
});

export const statistics = defineQuestion({
  id: 'statistics',
  trust: 'inspect',
  run: async (
    { tensor }: { readonly tensor: StoredTensor },
    { cancellation, progress },
  ): Promise<TensorStatistics> => {
    const { tensorStatistics } = await import('../../inspect/tensor-statistics');
    let last = 0;
    return tensorStatistics(tensor, cancellation, (done, total) => {
      const now = performance.now();
      if (now - last >= progressMilliseconds) {
        last = now;
        progress({ stage: verbatim(tensor.name), done, total, unit: 'bytes' });
      }
    });
  },
});

export const diagram = defineQuestion({
  id: 'diagram',
  trust: 'inspect',
  run: async (
    { model, open: unfolded, catalogue, ...options }: DiagramRequest,
    { open },
  ): Promise<Diagram | UnknownFlow> => {
    const { against } = options;
    const translate = await translateBy(catalogue);
    const numbers =
      against === undefined
        ? {}
        : await (await import('../../pipelines/source-blocks')).commonBlocks(model, against, open);
    diagrams ??= import('../../inspect/flow/diagrams').then((flow) => new flow.Diagrams(open));
    return (await diagrams).draw(model, new Set(unfolded), { ...options, numbers, translate });
  },
});

export const compareQuestion = defineQuestion({
  id: 'compare',
  trust: 'inspect',
  run: async (request: CompareRequest, context): Promise<ModelComparison> => {
    const { compareRelated } = await import('../compare-related');
    return compareRelated(request, { ...context, emit: () => undefined }, context.open);
  },
});

/** Writes to a path that the user selects. */
export const exportStructure = defineQuestion({
  id: 'exportStructure',
  trust: 'inspect',
  run: async (request: ExportStructureRequest, { open }): Promise<null> =>
    (await import('../../inspect/describe-model')).writeStructure(request, open),
});

/** Sublayers with pruned width in a plan, as they are afterwards. */
export const widthPruned = defineQuestion({
  id: 'widthPruned',
  trust: 'inspect',
  run: async (
    { model, ...changes }: ModelRequest & PlannedChanges,
    { open },
  ): Promise<WidthPrunedModel> =>
    (await import('../../models/width-pruning/describe-width-pruned')).describeWidthPruned(
      await open(model),
      changes,
    ),
});

/** Formats that a model can be written in after some changes. */
export const outputs = defineQuestion({
  id: 'outputs',
  trust: 'inspect',
  run: async (
    { model, ...changes }: ModelRequest & AskedChanges,
    { open },
  ): Promise<readonly CheckedOutput[]> =>
    (await import('../../export/writable')).listOutputs(await open(model), changes),
});

/** Checks that each linear layer can have its own type in a GGUF file. */
export const canTypeLayers = defineQuestion({
  id: 'canTypeLayers',
  trust: 'inspect',
  run: async ({ model }: ModelRequest, { open }): Promise<boolean> =>
    (await import('../../pipelines/gguf-facts')).canTypeLayers(await open(model)),
});

/** True if a model has a chat template. */
export const chatTemplate = defineQuestion({
  id: 'hasChatTemplate',
  trust: 'inspect',
  run: async ({ model }: ModelRequest, { open }): Promise<boolean> =>
    (await import('../../data/chat-template')).hasChatTemplate(await open(model)),
});

/** Sizes that a model can be written in, with their times and losses. */
export const sizeChoices = defineQuestion({
  id: 'sizeChoices',
  trust: 'inspect',
  run: async (
    { model, runtime }: ModelRequest & { readonly runtime?: Runtime },
    { open, environment, ...context },
  ): Promise<OfferedSizes> =>
    (await import('../size-choices')).offerSizes(
      await open(model),
      { for: runtime },
      await environment(),
      { ...context, emit: () => undefined },
    ),
});

/** Linear layers that a compression is for. */
export const chooseLayersQuestion = defineQuestion({
  id: 'chooseLayers',
  trust: 'inspect',
  run: async ({ model, ...request }: ChooseLayersRequest, { open }): Promise<ChosenLayers> =>
    (await import('./choose-layers')).chooseLayers(await open(model), request),
});

/** Read once each; they are part of the extension. */
const catalogues = new Map<string, Promise<Readonly<Record<string, string>>>>();

/** Says messages in the language of a catalogue; in English without one. */
async function translateBy(file: string | undefined): Promise<Translate> {
  if (file === undefined) {
    return fill;
  }
  const reading = catalogues.get(file) ?? read(file);
  catalogues.set(file, reading);
  const texts = await reading;
  return (pattern, ...values) => fill(texts[pattern] ?? pattern, ...values);
}

async function read(file: string): Promise<Readonly<Record<string, string>>> {
  return JSON.parse(await readSmallText(file)) as Record<string, string>;
}
