import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readSafetensorsHeader } from '../../../../extension/core/checkpoints/safetensors';

interface Stored {
  readonly shape: readonly number[];
  readonly bytes: Buffer;
}

/** A folder in float16 with twice as many experts; the new ones have the numbers of the others, reversed. */
export async function withMoreExperts(source: string, folder: string): Promise<string> {
  cpSync(source, folder, { recursive: true });
  const [weights, config] = [join(folder, 'model.safetensors'), join(folder, 'config.json')];
  const fields = JSON.parse(readFileSync(config, 'utf8')) as { n_routed_experts: number };
  const { n_routed_experts: count } = fields;
  writeFileSync(config, JSON.stringify({ ...fields, n_routed_experts: 2 * count }));
  const file = readFileSync(weights);
  const tensors = (await readSafetensorsHeader(weights)).tensors.flatMap(
    ({ name: own, shape, offset, length }): [string, Stored][] => {
      const bytes = file.subarray(offset, offset + length);
      const more = Buffer.from(new Uint16Array(new Uint8Array(bytes).buffer).reverse().buffer);
      const [, before = '', expert, after = ''] = /^(.*\.experts\.)(\d+)(\..*)$/.exec(own) ?? [];
      return expert !== undefined
        ? [
            [own, { shape, bytes }],
            [`${before}${Number(expert) + count}${after}`, { shape, bytes: more }],
          ]
        : own.includes('.mlp.gate.')
          ? [[own, { shape: shape.with(0, 2 * count), bytes: Buffer.concat([bytes, more]) }]]
          : [[own, { shape, bytes }]];
    },
  );
  let end = 0;
  const header = Object.fromEntries(
    tensors.map(([own, { shape, bytes }]) => {
      const start = end;
      end += bytes.length;
      return [own, { dtype: 'F16', shape, data_offsets: [start, end] }];
    }),
  );
  const json = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(json.length));
  writeFileSync(weights, Buffer.concat([size, json, ...tensors.map(([, { bytes }]) => bytes)]));
  return folder;
}
