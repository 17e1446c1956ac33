import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { setField } from '../../../../extension/core/parse-json';
import { openModel } from '../../../../extension/core/models/open-model';
import { prune } from '../../export/pruning';
import { fixture } from '../../fixtures';
import { temporaryFolder } from '../../temporary-folder';

const folder = temporaryFolder();

/** As sentence-transformers saves an encoder that was trained from a class with a head. */
function saved(name: string, of: string): string {
  const path = join(folder, name);
  cpSync(fixture(`../encoders/${of}`), path, { recursive: true });
  const config = join(path, 'config.json');
  writeFileSync(
    config,
    setField(readFileSync(config, 'utf8'), ['architectures'], ['BertForMaskedLM']),
  );
  return path;
}

describe('an encoder whose files lack the head of its class', () => {
  it('returns the embedding of its modules', async () => {
    const model = await openModel(saved('named', 'bert-dense'));
    const plain = await openModel(fixture('../encoders/bert-dense'));
    expect(model.output).toEqual(plain.output);
    expect(model.summary.parameters).toBe(plain.summary.parameters);
  });

  it('is written for the class without one, which sentence-transformers loads', async () => {
    const out = join(folder, 'pruned');
    await prune(saved('source', 'bert-dense'), ['block.1.attention'], out);
    const { architectures, auto_map } = JSON.parse(
      readFileSync(join(out, 'config.json'), 'utf8'),
    ) as Record<string, unknown>;
    expect(architectures).toEqual(['EspalierBertModel']);
    expect(auto_map).toHaveProperty('AutoModel');
  });

  it('keeps the head if it exists', async () => {
    const path = saved('masked', 'bert-masked');
    cpSync(fixture('../encoders/bert-dense/modules.json'), join(path, 'modules.json'));
    for (const module of ['1_Pooling', '2_Dense']) {
      cpSync(fixture(`../encoders/bert-dense/${module}`), join(path, module), { recursive: true });
    }
    const [model, masked] = [
      await openModel(path),
      await openModel(fixture('../encoders/bert-masked')),
    ];
    expect(model.output).toEqual(masked.output);
  });
});
