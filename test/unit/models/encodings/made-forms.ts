import { halfToNumber, numberToHalf } from '../../../../extension/core/checkpoints/half';
import type { TensorData } from '../../../../extension/core/checkpoints/lazy-tensor';
import { seededRandom, standardNormal } from '../../../../extension/core/data/random';
import { encodingSizes } from '../../../../extension/core/models/encodings/encoding-facts';
import type {
  GroupQuantizedEncoding,
  Int8Encoding,
  LowRankEncoding,
  MatrixEncoding,
  MpoEncoding,
} from '../../../../extension/core/models/matrix-encoding';

type Made = MatrixEncoding<TensorData>;

/** Makes random forms of a matrix [out, in], from a seed. */
export class FormMaker {
  private readonly random: () => number;

  public constructor(
    seed: number,
    /** Spread of the numbers of the matrix. */
    private readonly spread = 0.25,
  ) {
    this.random = seededRandom(seed);
  }

  public floats(shape: readonly number[], spread = this.spread, mean = 0): TensorData {
    const length = shape.reduce((product, size) => product * size, 1);
    return floatData(
      Float32Array.from({ length }, () => mean + spread * standardNormal(this.random)),
      shape,
    );
  }

  public dense(out: number, input: number): Made {
    return { kind: 'dense', weight: this.floats([out, input]) };
  }

  public half(out: number, input: number): Made {
    const halves = Uint16Array.from(readNumbers(this.floats([out, input])), numberToHalf);
    return {
      kind: 'dense',
      weight: { dtype: 'F16', shape: [out, input], bytes: new Uint8Array(halves.buffer) },
    };
  }

  public lowRank(out: number, input: number, rank: number): LowRankEncoding<TensorData> {
    const right = this.floats([rank, input], rank ** -0.5);
    return {
      kind: 'low-rank',
      rank,
      left: this.dense(out, rank),
      right: { kind: 'dense', weight: right },
    };
  }

  public mpo(
    sites: MpoEncoding['sites'],
    bond: number,
    run: MpoEncoding['run'],
    scaled = false,
  ): MpoEncoding<TensorData> {
    const bonds = sites.out.slice(1).map((_, k) => bond + k);
    const cores = sites.out.map((out, k) => {
      const shape = [bonds[k - 1] ?? 1, out, sites.in[k] ?? 1, bonds[k] ?? 1];
      return this.floats(shape, k === 0 ? this.spread : (bonds[k - 1] ?? 1) ** -0.5);
    });
    const input = sites.in.reduce((product, size) => product * size, 1);
    return {
      kind: 'mpo',
      sites,
      bonds,
      cores,
      run,
      ...(scaled ? { inputScale: this.floats([input], 0.2, 1) } : {}),
    };
  }

  public blocks(
    out: number,
    input: number,
    more: Pick<GroupQuantizedEncoding, 'bits' | 'groupSize' | 'run'> & {
      readonly asymmetric?: boolean;
    },
  ): GroupQuantizedEncoding<TensorData> {
    const { asymmetric = false, ...settings } = more;
    const count = Math.ceil(input / settings.groupSize);
    const step = this.spread / 2 ** (settings.bits - 2);
    return {
      kind: 'group-quantized',
      ...settings,
      out,
      in: input,
      quants: this.bytes([out, count, (settings.groupSize * settings.bits) / 8]),
      scales: this.floats([out, count], step / 8, step),
      ...(asymmetric ? { zeros: this.bytes([out, Math.ceil((count * settings.bits) / 8)]) } : {}),
    };
  }

  /** Numbers from −63 to 63, whose sums of two products no processor cuts off. */
  public int8(out: number, input: number, isScaled = false): Int8Encoding<TensorData> {
    const numbers = Int8Array.from(
      { length: out * input },
      () => Math.floor(this.random() * 127) - 63,
    );
    return {
      kind: 'int8',
      quants: { dtype: 'I8', shape: [input, out], bytes: new Uint8Array(numbers.buffer) },
      scales: this.floats([out], this.spread / 500, this.spread / 63),
      ...(isScaled ? { inputScale: this.floats([input], 0.5, 2) } : {}),
    };
  }

  private bytes(shape: readonly number[]): TensorData {
    const length = shape.reduce((product, size) => product * size, 1);
    return { dtype: 'U8', shape, bytes: Uint8Array.from({ length }, () => this.random() * 256) };
  }
}

function floatData(numbers: Float32Array, shape: readonly number[]): TensorData {
  return { dtype: 'F32', shape, bytes: new Uint8Array(numbers.buffer) };
}

/** The numbers of a float tensor. */
export function readNumbers({ dtype, bytes }: TensorData): Float32Array {
  const { buffer, byteOffset, length } = bytes;
  return dtype === 'F16'
    ? Float32Array.from(new Uint16Array(buffer, byteOffset, length / 2), halfToNumber)
    : new Float32Array(buffer, byteOffset, length / 4);
}

/** Dense matrix [out, in] of an encoding, computed in the simplest way. */
export function contracted(form: Made): Float32Array {
  const { out, in: input } = encodingSizes(form);
  switch (form.kind) {
    case 'dense':
      return readNumbers(form.weight);
    case 'low-rank': {
      const [left, right] = [contracted(form.left), contracted(form.right)];
      return matrix(out, input, (o, i) =>
        sum(form.rank, (r) => (left[o * form.rank + r] ?? 0) * (right[r * input + i] ?? 0)),
      );
    }
    case 'mpo':
      return contractCores(form, out, input);
    case 'group-quantized':
      return matrix(out, input, (o, i) => blockNumber(form, o, i));
    case 'int8': {
      const scales = readNumbers(form.scales);
      const quants = new Int8Array(form.quants.bytes.buffer, form.quants.bytes.byteOffset);
      const inputScale = form.inputScale && readNumbers(form.inputScale);
      return matrix(
        out,
        input,
        (o, i) => (quants[i * out + o] ?? 0) * (scales[o] ?? 0) * (inputScale?.[i] ?? 1),
      );
    }
  }
}

function blockNumber(
  { bits, groupSize, in: input, quants, scales, zeros }: GroupQuantizedEncoding<TensorData>,
  o: number,
  i: number,
): number {
  const count = Math.ceil(input / groupSize);
  const block = Math.floor(i / groupSize);
  const field = ({ bytes }: TensorData, rowBytes: number, place: number): number => {
    const byte = bytes[o * rowBytes + Math.floor((place * bits) / 8)] ?? 0;
    return bits === 8 ? byte : (byte >> (4 * (place % 2))) & 15;
  };
  const zero =
    zeros === undefined ? 2 ** (bits - 1) : field(zeros, Math.ceil((count * bits) / 8), block);
  const number = field(quants, (count * groupSize * bits) / 8, i);
  return (number - zero) * (readNumbers(scales)[o * count + block] ?? 0);
}

/** W[o, i] = Σ over the bonds of the products of core_k[·, o_k, i_k, ·], core after core. */
function contractCores(
  { sites, bonds, cores, inputScale }: MpoEncoding<TensorData>,
  out: number,
  input: number,
): Float32Array {
  // [rows, columns, bond] of the cores so far.
  let [carried, rows, columns, bond] = [new Float64Array([1]), 1, 1, 1];
  for (const [k, core] of cores.map(readNumbers).entries()) {
    const [o, i, next] = [sites.out[k] ?? 1, sites.in[k] ?? 1, bonds[k] ?? 1];
    const joined = new Float64Array(rows * o * columns * i * next);
    for (let place = 0; place < joined.length; place++) {
      const b = place % next;
      const column = Math.floor(place / next) % (columns * i);
      const row = Math.floor(place / next / (columns * i));
      const left = (Math.floor(row / o) * columns + Math.floor(column / i)) * bond;
      let total = 0;
      for (let a = 0; a < bond; a++) {
        const right = ((a * o + (row % o)) * i + (column % i)) * next + b;
        total += (carried[left + a] ?? 0) * (core[right] ?? 0);
      }
      joined[place] = total;
    }
    [carried, rows, columns, bond] = [joined, rows * o, columns * i, next];
  }
  const scales = inputScale && readNumbers(inputScale);
  return matrix(out, input, (o, i) => (carried[o * input + i] ?? 0) * (scales?.[i] ?? 1));
}

function matrix(out: number, input: number, at: (o: number, i: number) => number): Float32Array {
  return Float32Array.from({ length: out * input }, (_, place) =>
    at(Math.floor(place / input), place % input),
  );
}

function sum(count: number, at: (index: number) => number): number {
  let total = 0;
  for (let index = 0; index < count; index++) {
    total += at(index);
  }
  return total;
}
