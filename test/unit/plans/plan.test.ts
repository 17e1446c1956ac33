import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { kindsInIds, parsePlan } from '../../../extension/core/plans/plan-schema';

const schema = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../../media/plan.schema.json'), 'utf8'),
) as { definitions: { id: { pattern: string } } };
const pattern = new RegExp(schema.definitions.id.pattern);

const planWith = (id: string): string =>
  JSON.stringify({
    format: 'espalier.plan',
    version: 1,
    model: { path: 'model' },
    remove: [id],
  });

describe('ids of a prune plan', () => {
  it.each(['block.12', 'block.3.expert.15', ...kindsInIds.map((kind) => `block.0.${kind}`)])(
    '%s is one, for the editor as well',
    (id) => {
      expect(parsePlan(planWith(id), 'plan').remove).toEqual([id]);
      expect(pattern.test(id)).toBe(true);
    },
  );

  it.each([
    'block',
    'block.1.',
    'block.1.attention.2',
    'block.1.expert.',
    'block.x.attention',
    'block.1.mlp',
  ])('rejects %s', (id) => {
    expect(() => parsePlan(planWith(id), 'plan')).toFailWith({
      code: 'field-invalid',
      file: 'plan',
      field: 'remove.0',
    });
    expect(pattern.test(id)).toBe(false);
  });
});
