import { join } from 'node:path';
import { MatrixProducts } from '../../linear-algebra/matrix-products';
import { storeEncodings } from '../../models/encodings/store-encodings';
import type { TensorData } from '../../checkpoints/lazy-tensor';
import type { LayeredModel } from '../../models/layered-model';
import type { LinearLayer, MatrixEncoding } from '../../models/matrix-encoding';
import { pruneWidth } from '../../models/width-pruning/prune-width';
import type { OpenedModel } from '../../models/opened-model';
import type { DeviceName } from '../../runtime/device';
import { compressMatrix } from '../compress-matrix';
import type { Compression } from '../compression-choice';
import { unlikeCopy } from '../costs/measure-costs';
import { storageDtype } from '../compression-context';
import { chosenLayers } from './chosen-matrices';
import { expandCompressions } from './expand-compressions';
import { timingKey, timingRepresentative } from './run-change';
import type { RunChange, TimedVariant } from './run-change';
import type { SensitivitySettings } from './sensitivity-profile';
import { chosenWidths } from './width-sensitivity';

type RunVariant = TimedVariant<RunChange>;

export interface VariantSetup {
  readonly opened: OpenedModel;
  readonly settings: SensitivitySettings;
  readonly device: DeviceName;
  readonly memoryBytes: number;
  /** Folder that exists while variants are open. */
  readonly folder: string;
}

/**
 * Variants of the model: without all sublayers of each kind, with narrow ones, and with all layers compressed in each
 * way.
 */
export function runVariants(setup: VariantSetup): RunVariant[] {
  const { opened, settings, folder } = setup;
  const { model } = opened;
  const { sublayers } = model.summary;
  const widths = chosenWidths(model, settings).filter(({ width }) => width !== undefined);
  const layers = chosenLayers(model, settings)
    .flatMap((stack) => stack.layers)
    .map((layer) => ({
      layer,
      compressions: expandCompressions(layer, settings.compressions),
    }));
  const timingKeys = new Set(layers.flatMap(({ compressions }) => compressions.map(timingKey)));
  return [
    ...[...new Set(sublayers.map(({ kind }) => kind))].map((kind): RunVariant => ({
      change: { change: 'without', kind },
      removed: sublayers.flatMap((one) => (one.kind === kind ? one.id : [])),
      open: async () => Promise.resolve(model),
    })),
    ...[...new Set(widths.map(({ of }) => of))].map((of): RunVariant => ({
      change: { change: 'width-pruned', of },
      open: async () => {
        const widthPruning = widths
          .filter((one) => one.of === of)
          .map(
            ({ sublayer, count, kept }) =>
              [sublayer, lastIndices(count, Math.min(...kept))] as const,
          );
        const file = join(folder, `timed-${of}.safetensors`);
        return (await pruneWidth(opened, new Map(widthPruning), file)).model;
      },
    })),
    ...[...timingKeys].map((as): RunVariant => ({
      change: { change: 'compressed', as },
      open: async () => compressed(setup, layers, as),
    })),
  ];
}

/** Indices of the last `size` of `count` elements: whole steps are removed from the start. */
const lastIndices = (count: number, size: number): number[] =>
  Array.from({ length: size }, (_, i) => count - size + i);

/** Model with all layers in encodings of the right sizes; layers of equal size share the values of the first one. */
async function compressed(
  { opened: { model }, settings: { seed }, device, memoryBytes, folder }: VariantSetup,
  layers: readonly { readonly layer: LinearLayer; readonly compressions: readonly Compression[] }[],
  as: string,
): Promise<LayeredModel> {
  const products = new MatrixProducts(device, memoryBytes);
  const context = { products, seed, dtype: storageDtype(model.summary) };
  const made = new Map<string, MatrixEncoding<TensorData>>();
  const forms = new Map<string, MatrixEncoding<TensorData>>();
  try {
    for (const { layer, compressions } of layers) {
      const compression = timingRepresentative(compressions, as);
      if (compression === undefined) {
        continue;
      }
      // Fits nothing: only sizes determine the time of an encoding.
      const { variant: _variant, ...plain } = compression;
      const key = JSON.stringify([layer.out, layer.in, plain]);
      let encoding = made.get(key);
      if (encoding === undefined) {
        ({ encoding } = await compressMatrix(context, layer, plain));
        made.set(key, encoding);
      }
      forms.set(layer.id, unlikeCopy(encoding, forms.size));
    }
  } finally {
    await products.dispose();
  }
  const stored = await storeEncodings(
    join(folder, `timed-${as.replaceAll(':', '-')}.safetensors`),
    forms,
  );
  return model.withMatrices(stored);
}
