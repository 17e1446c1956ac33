import { closestNames } from '../../closest-names';
import type { LayeredModel } from '../../models/layered-model';
import { embeddingAndHeadNames } from '../../models/matrix-encoding';
import type {
  LinearLayer,
  LinearRole,
  EmbeddingOrHead,
  EmbeddingOrHeadPlace,
} from '../../models/matrix-encoding';
import type {
  Compression,
  CompressionChoice,
  CompressionRequest,
} from '../../tensornet/compression-choice';
import { compressionMethods, requireFit } from '../../tensornet/compression-methods';
import type { MatrixSizes } from '../../tensornet/compression-methods';
import { countParameters } from '../../tensornet/mpo';
import { chooseSites } from '../../tensornet/mpo-form';
import { denseEmbeddingOrHead, embeddingRequest } from '../../tensornet/embedding-and-head-choice';
import type { ErrorCode } from '../../error-codes';
import { UserError } from '../../user-error';
import { counted, say } from '../../message';
import type { Message } from '../../message';

/** Selection of linear layers of a model; all if absent. */
export interface LayerSelection {
  /** Roles of the layers. */
  readonly roles?: readonly LinearRole[];
  /** Roles that remain unchanged. */
  readonly skip?: readonly LinearRole[];
  /** Block numbers, counted from 0. */
  readonly blocks?: readonly number[];
  /** Matrices outside the sublayers that are compressed as well; none when absent. */
  readonly embeddingAndHead?: readonly EmbeddingOrHeadPlace[];
}

/** Matrix with its choice. */
export interface ChosenMatrix {
  readonly layer: LinearLayer | EmbeddingOrHead;
  readonly choice: CompressionChoice;
}

/** Linear layer and the compression chosen for it. */
export interface ChosenLayer extends ChosenMatrix {
  readonly layer: LinearLayer;
}

/** Embedding or head and the compression chosen for it. */
export interface ChosenEmbeddingOrHead extends ChosenMatrix {
  readonly layer: EmbeddingOrHead;
}

export function isInSublayer(chosen: ChosenMatrix): chosen is ChosenLayer {
  return 'sublayer' in chosen.layer;
}

export function isOutside(chosen: ChosenMatrix): chosen is ChosenEmbeddingOrHead {
  return !isInSublayer(chosen);
}

/** The linear layers of the sublayers that stay, in model order. */
export function listLayers(model: LayeredModel, removed: readonly string[] = []): LinearLayer[] {
  return model.summary.sublayers.flatMap(({ id }, index) =>
    removed.includes(id) ? [] : [...model.sublayer(index).linearLayers],
  );
}

/**
 * One choice for each selected layer that gets smaller, and the method `then` for all other layers.
 * @throws UserError if no layer can be compressed
 */
export function chooseForAll(
  model: LayeredModel,
  request: CompressionRequest,
  selection: LayerSelection,
): { readonly choices: CompressionChoice[]; readonly unfit: readonly LinearLayer[] } {
  const choices: CompressionChoice[] = [];
  const unfit: LinearLayer[] = [];
  const { then } = request;
  for (const layer of listLayers(model).filter(({ encoding }) => encoding === undefined)) {
    const compression = isSelected(model, layer, selection)
      ? compressionFor(layer, request)
      : undefined;
    if (compression !== undefined && pays(layer, compression)) {
      choices.push({ tensor: layer.id, ...compression });
      continue;
    }
    if (compression !== undefined) {
      unfit.push(layer);
    }
    if (then !== undefined) {
      const { defaultSetting } = compressionMethods[then];
      choices.push({ tensor: layer.id, method: then, setting: defaultSetting(layer) });
    }
  }
  choices.push(...chooseEmbeddingAndHead(model, request, selection.embeddingAndHead ?? []));
  if (choices.length === 0) {
    throw new UserError(
      unfit.length === 0 ? 'layers-not-chosen' : 'layers-not-smaller',
      unfit.length === 0
        ? say`The model has no linear layer of these roles in these blocks that is stored dense.`
        : say`At this setting, none of ${counted(unfit.length, 'layer')} would be smaller than the dense matrix.`,
      {
        file: model.summary.path,
        remedy:
          unfit.length === 0
            ? say`Choose other tensors: \`espalier tensors\` lists them.`
            : say`Choose a smaller setting.`,
      },
    );
  }
  return { choices, unfit };
}

/**
 * Choices for embedding and head, which need an integer method: the request's method, or its `then`.
 * @throws UserError if neither is one, or the model has no such matrix
 */
function chooseEmbeddingAndHead(
  model: LayeredModel,
  request: CompressionRequest,
  places: readonly EmbeddingOrHeadPlace[],
): CompressionChoice[] {
  return places.flatMap((place) => {
    const dense = denseEmbeddingOrHead(model, place);
    const own = embeddingRequest(request);
    if (own === undefined) {
      throw new UserError(
        'embedding-not-compressible',
        say`The ${embeddingAndHeadNames[place]} cannot be compressed by ${request.method}.`,
        {
          file: model.summary.path,
          field: place,
          remedy: say`Also quantize the result of the method (--then int4, --then int8).`,
        },
      );
    }
    return dense.map((matrix) => ({ tensor: matrix.id, ...compressionFor(matrix, own) }));
  });
}

function isSelected(
  { summary }: LayeredModel,
  { role, sublayer }: LinearLayer,
  { roles, skip = [], blocks }: LayerSelection,
): boolean {
  const block = summary.sublayers[sublayer]?.block ?? 0;
  return (
    (roles === undefined || roles.includes(role)) &&
    !skip.includes(role) &&
    (blocks === undefined || blocks.includes(block))
  );
}

/** Request with its own setting for the layer. The `then` of mpo only concerns other layers. */
function compressionFor(layer: MatrixSizes, request: CompressionRequest): Compression {
  const { method, variant, then, sites } = request;
  const { settingForRatio, defaultSetting } = compressionMethods[method];
  const setting =
    'setting' in request && request.setting !== undefined
      ? request.setting
      : 'ratio' in request && request.ratio !== undefined
        ? settingForRatio?.(layer, request.ratio, request)
        : undefined;
  return {
    method,
    setting: setting ?? defaultSetting(layer),
    ...(variant === undefined ? {} : { variant }),
    ...(then === undefined || method !== 'lowrank' ? {} : { then }),
    ...(sites === undefined ? {} : { sites }),
  };
}

/** True if the encoding has fewer weights than the matrix; quantization always saves bytes. */
function pays({ out, in: input }: LinearLayer, { method, setting, sites }: Compression): boolean {
  const counts: Readonly<Record<Compression['method'], () => number>> = {
    lowrank: () => setting * (out + input),
    mpo: () => countParameters(chooseSites(out, input, sites), setting),
    int8: () => 0,
    int4: () => 0,
    gguf: () => 0,
  };
  return counts[method]() < out * input;
}

/**
 * Finds the layer of each choice.
 * @throws UserError for layers that don't exist, are removed, are already compressed, or occur twice
 */
export function chosenLayers(
  model: LayeredModel,
  choices: readonly CompressionChoice[],
  removed: readonly string[],
): Map<string, ChosenMatrix> {
  const find = finder(model, removed);
  const found = new Map<string, ChosenMatrix>();
  for (const [index, choice] of choices.entries()) {
    const { tensor } = choice;
    const layer = find(tensor, index);
    if (found.has(tensor)) {
      throw new UserError('layer-compressed-twice', say`${tensor} is compressed twice.`, {
        file: model.summary.path,
        field: choiceField(index),
        remedy: say`Keep one of the two entries.`,
      });
    }
    found.set(tensor, { layer, choice });
  }
  return found;
}

/** Why a choice of a plan cannot be carried out. */
export interface ChoiceProblem {
  /** Index of the choice in the plan. */
  readonly index: number;
  readonly problem: Message;
  readonly remedy: Message | undefined;
}

/** Problems of each choice on its own, if the model is calibrated. */
export function choiceProblems(
  model: LayeredModel,
  choices: readonly CompressionChoice[],
  removed: readonly string[],
): ChoiceProblem[] {
  const find = finder(model, removed);
  return choices.flatMap((choice, index) => {
    try {
      requireFit(find(choice.tensor, index), choice, true);
      return [];
    } catch (error) {
      if (!(error instanceof UserError)) {
        throw error;
      }
      return [{ index, problem: error.problem, remedy: error.subject.remedy }];
    }
  });
}

/** Finds compressible matrices by id; for others, explains why they can't be compressed. */
function finder(
  model: LayeredModel,
  removed: readonly string[],
): (tensor: string, index: number) => LinearLayer | EmbeddingOrHead {
  const embeddingAndHead = model.embeddingAndHeadMatrices;
  const all = new Map<string, LinearLayer | EmbeddingOrHead>(
    [...listLayers(model), ...embeddingAndHead].map((layer) => [layer.id, layer]),
  );
  const staying = new Set([...listLayers(model, removed), ...embeddingAndHead].map(({ id }) => id));
  return (tensor, index) => {
    const refuse = (code: ErrorCode, problem: Message, remedy: Message): never => {
      throw new UserError(code, problem, {
        file: model.summary.path,
        field: choiceField(index),
        remedy,
      });
    };
    const layer =
      all.get(tensor) ??
      refuse(
        'linear-layer-unknown',
        say`${model.summary.name} has no linear layer "${tensor}".`,
        all.size === 0
          ? say`None of its layers can be compressed.`
          : say`Similar ids: ${closestNames(tensor, [...all.keys()]).join(', ')}.`,
      );
    if (!staying.has(tensor)) {
      refuse(
        'layer-of-removed-sublayer',
        say`${tensor} belongs to a sublayer that is removed.`,
        say`Remove one of the two.`,
      );
    }
    if (layer.encoding !== undefined) {
      refuse(
        'layer-compressed-already',
        say`${tensor} is already ${layer.encoding.kind}.`,
        say`Compress the model that it was made from.`,
      );
    }
    return layer;
  };
}

function choiceField(index: number): string {
  return `compress[${index}].tensor`;
}
