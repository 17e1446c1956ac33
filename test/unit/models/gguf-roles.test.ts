import { expect, it } from 'vitest';
import { encoderArchitectures } from '../../../extension/core/models/encoders/encoder-architectures';
import { asArchitecture } from '../../../extension/core/models/gguf/encoders/encoder-names';
import { toGgufArchitecture } from '../../../extension/core/models/gguf/gguf-names';
import {
  blockRoles,
  embeddingAndHeadRoles,
  expertRoles,
  roleName,
} from '../../../extension/core/models/gguf/gguf-roles';
import { t5Towers } from '../../../extension/core/models/seq2seq/t5';
import { architectures } from '../../../extension/core/models/transformer/architectures';

const known = [
  ...architectures,
  ...encoderArchitectures.flatMap((one) => asArchitecture(one) ?? []),
];
const fileModels = known.map((one) => toGgufArchitecture(one, { modelType: one.modelType }));
const roles = { ...embeddingAndHeadRoles, ...blockRoles, ...expertRoles };

it.each(Object.keys(roles))('%s is the role of a tensor that some architecture has', (role) => {
  const all = [...fileModels, t5Towers({}, false).decoder];
  expect(all.some((one) => roleName(one, role) !== undefined)).toBe(true);
});

it('uses no folder name for a role that has a name in GGUF files', () => {
  for (const [i, inFile] of fileModels.entries()) {
    const before = known[i] ?? {};
    for (const [role, [, name]] of Object.entries(roles)) {
      const renamed = roleName(inFile, role);
      if (roleName(before, role) !== undefined && renamed !== undefined) {
        expect([name, 'attn_norm', 'attn_output_b', 'ffn_up', 'ffn_up_exps.weight']).toContain(
          renamed,
        );
      }
    }
  }
});
