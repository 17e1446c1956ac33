import { readFloatRows } from '../checkpoints/float-rows';
import { hasFloatRows } from '../checkpoints/lazy-tensor';
import type { LazyTensor } from '../checkpoints/lazy-tensor';
import { mostRounded, roundRows } from '../checkpoints/quantize/dequantize';
import type { LayeredModel } from './layered-model';
import type { Int8Encoding, LinearLayer, MatrixEncoding } from './matrix-encoding';

/** Smaller matrices are not faster in int8: quantizing their inputs takes as long as multiplying them. */
const leastParameters = 1 << 14;

/**
 * Copy of the model with int8 linear layers: one scale per output, and inputs quantized row by row. The integers are
 * computed from the stored weights when a session is created; nothing is written. Norms, attention scores, embedding
 * and head are unchanged.
 * @returns undefined if most of the parameters can't be quantized this way
 */
export function int8Copy(model: LayeredModel): LayeredModel | undefined {
  const layers = model.summary.sublayers.flatMap((_, index) => [
    ...model.sublayer(index).linearLayers,
  ]);
  const forms = new Map<string, MatrixEncoding>();
  let rounded = 0;
  let all = 0;
  for (const layer of layers) {
    all += layer.out * layer.in;
    if (canRound(layer)) {
      forms.set(layer.id, int8Encoding(layer));
      rounded += layer.out * layer.in;
    }
  }
  return rounded > all / 2 ? model.withMatrices(forms) : undefined;
}

function canRound({
  encoding,
  transposed,
  overPositions,
  weight,
  out,
  in: columns,
}: LinearLayer): boolean {
  const parameters = out * columns;
  return (
    encoding === undefined &&
    !transposed &&
    overPositions !== true &&
    hasFloatRows(weight) &&
    weight.shape.join() === `${out},${columns}` &&
    parameters >= leastParameters &&
    parameters <= mostRounded
  );
}

function int8Encoding({ id, weight, out, in: columns }: LinearLayer): Int8Encoding {
  let scales: Float32Array | undefined;
  const round = async (integers: Uint8Array): Promise<Float32Array> =>
    roundRows({ out, in: columns }, async (take) => readFloatRows(weight, take), integers);
  const computed = (
    part: string,
    tensor: Pick<LazyTensor, 'dtype' | 'shape' | 'length' | 'computed'>,
  ): LazyTensor => ({ ...tensor, name: `${id}.int8.${part}`, file: weight.file, offset: 0 });
  return {
    kind: 'int8',
    run: 'symmetric',
    quants: computed('quants', {
      ...{ dtype: 'I8', shape: [columns, out], length: out * columns },
      computed: async (target) => {
        scales = await round(target);
      },
    }),
    scales: computed('scales', {
      ...{ dtype: 'F32', shape: [out], length: out * Float32Array.BYTES_PER_ELEMENT },
      computed: async (target) => {
        // A session that has the integers has computed the scales with them.
        scales ??= await round(new Uint8Array(out * columns));
        target.set(new Uint8Array(scales.buffer));
      },
    }),
  };
}
