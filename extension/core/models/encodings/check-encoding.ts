import { isDequantized } from '../../checkpoints/ggml-types';
import { elementCount, floatDTypes } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { UserError } from '../../user-error';
import type { ErrorPlace } from '../../user-error';
import type {
  GroupQuantizedEncoding,
  LinearLayer,
  MatrixEncoding,
  MpoEncoding,
} from '../matrix-encoding';
import { encodingSizes } from './encoding-facts';
import { say } from '../../message';

const smallestBlock = 16;

/**
 * Checks that an encoding fits a matrix.
 * @param file file that contains the encoding, for errors
 * @throws UserError naming the layer or the tensor that doesn't fit
 */
export function checkEncoding(
  form: MatrixEncoding,
  layer: Pick<LinearLayer, 'id' | 'out' | 'in'>,
  file?: string,
): void {
  const { out, in: input } = layer;
  const id = { field: layer.id, ...(file === undefined ? {} : { file }) };
  checkTensors(form, id);
  const sizes = encodingSizes(form);
  if (sizes.out !== out || sizes.in !== input) {
    throw new UserError(
      'matrix-size-mismatch',
      say`A matrix of ${sizes.out} × ${sizes.in} cannot replace one of ${out} × ${input}.`,
      { ...id, remedy: say`Compress the layer again.` },
    );
  }
}

function checkTensors(form: MatrixEncoding, id: ErrorPlace): void {
  switch (form.kind) {
    case 'dense': {
      const { shape, dtype } = form.weight;
      const dtypes = isDequantized(dtype) ? [dtype] : floatDTypes;
      expect(form.weight, dtypes, shape.length <= 2 ? shape : [0, 0]);
      break;
    }
    case 'low-rank':
      checkTensors(form.left, id);
      checkTensors(form.right, id);
      if (
        encodingSizes(form.left).in !== form.rank ||
        encodingSizes(form.right).out !== form.rank
      ) {
        throw new UserError(
          'factors-rank-mismatch',
          say`The factors of the matrix don't share the rank ${form.rank}.`,
          {
            ...id,
            remedy: say`Compress the layer again.`,
          },
        );
      }
      break;
    case 'mpo':
      checkCores(form, id);
      break;
    case 'group-quantized':
      checkBlocks(form, id);
      break;
    case 'int8':
      expect(form.quants, ['I8'], form.quants.shape.length === 2 ? form.quants.shape : [0, 0]);
      expect(form.scales, floatDTypes, [encodingSizes(form).out]);
      if (form.inputScale !== undefined) {
        expect(form.inputScale, floatDTypes, [encodingSizes(form).in]);
      }
      break;
  }
}

function checkCores({ sites, bonds, cores, inputScale }: MpoEncoding, id: ErrorPlace): void {
  const count = cores.length;
  if (sites.out.length !== count || sites.in.length !== count || bonds.length !== count - 1) {
    throw new UserError(
      'cores-mismatch',
      say`${count} cores do not match ${sites.out.length} × ${sites.in.length} sites and ${bonds.length} bonds.`,
      { ...id, remedy: say`Compress the layer again.` },
    );
  }
  cores.forEach((core, k) => {
    const shape = [bonds[k - 1] ?? 1, sites.out[k] ?? 0, sites.in[k] ?? 0, bonds[k] ?? 1];
    expect(core, floatDTypes, shape);
  });
  if (inputScale !== undefined) {
    expect(inputScale, floatDTypes, [elementCount(sites.in)]);
  }
}

function checkBlocks(form: GroupQuantizedEncoding, id: ErrorPlace): void {
  const { bits, groupSize, out, quants, scales, zeros } = form;
  if (groupSize < smallestBlock || !Number.isInteger(Math.log2(groupSize))) {
    throw new UserError(
      'block-size-invalid',
      say`The group size ${groupSize} is not a power of two that is at least ${smallestBlock}.`,
      { ...id, remedy: say`Compress the layer again.` },
    );
  }
  const blocks = Math.ceil(form.in / groupSize);
  expect(quants, ['U8'], [out, blocks, (groupSize * bits) / 8]);
  expect(scales, floatDTypes, [out, blocks]);
  if (zeros !== undefined) {
    expect(zeros, ['U8'], [out, Math.ceil((blocks * bits) / 8)]);
  }
}

function expect(tensor: LazyTensor, dtypes: readonly string[], shape: readonly number[]): void {
  if (!dtypes.includes(tensor.dtype) || tensor.shape.join() !== shape.join()) {
    throw new UserError(
      'tensor-mismatch',
      say`It is ${tensor.dtype} [${tensor.shape.join(', ')}], expected ${dtypes.join(' or ')} [${shape.join(', ')}].`,
      { file: tensor.file, field: tensor.name, remedy: say`Compress the layer again.` },
    );
  }
}
