import { cpSync, existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { checkChanges } from '../../../../extension/core/export/changes';
import { checkOutputs } from '../../../../extension/core/export/output-options';
import { writeSource } from '../../../../extension/core/export/write-source';
import { inEnglish } from '../../../../extension/core/message';
import { openModelFiles } from '../../../../extension/core/models/open-model';
import { familyFixture, fixture } from '../../fixtures';
import { seq2seqFixture } from '../../encoder-fixtures';
import { temporaryFolder } from '../../temporary-folder';
import { prune, rejection } from '../pruning';

const root = temporaryFolder();
let count = 0;
const fresh = (): string => join(root, `${count++}`);

const fileIn = (folder: string): string =>
  join(folder, readdirSync(folder).find((name) => name.endsWith('.gguf')) ?? '');

const anyFixture = (name: string): string =>
  existsSync(fixture(name)) ? fixture(name) : familyFixture(name);

/** A copy of T5 whose distances are those of llama.cpp. */
function t5Folder(): string {
  const folder = fresh();
  cpSync(seq2seqFixture('t5'), folder, { recursive: true });
  const file = join(folder, 'config.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as object;
  writeFileSync(file, JSON.stringify({ ...config, relative_attention_max_distance: 128 }));
  return folder;
}

/** Code and reason of each refused removal, by the removed ids. */
async function violations(path: string): Promise<Record<string, unknown>> {
  const source = writeSource(await openModelFiles(path));
  const { blocks, sublayers } = source.model.summary;
  const idsIn = (block: number): string[] =>
    sublayers.filter((one) => one.block === block).map(({ id }) => id);
  const removals = [
    ...Array.from({ length: blocks }, (_, block) => idsIn(block)),
    ...Array.from({ length: blocks }, (_, block) => idsIn(block).slice(-1)),
    ...Array.from({ length: blocks - 1 }, (_, block) => [...idsIn(block), ...idsIn(block + 1)]),
  ].filter(({ length }) => length < sublayers.length);
  const found: Record<string, unknown> = {};
  for (const removed of removals) {
    const answers = await checkOutputs(source, checkChanges(source.model.summary, removed));
    const answer = answers.find(({ format, layout }) => format === 'gguf' && layout === 'blocks');
    if (answer?.able === false) {
      found[removed.join(' ')] = [answer.code, inEnglish(answer.reason)];
    }
  }
  return found;
}

it.each(['t5', 'qwen2', 'smollm3', 'gpt_oss', 'jamba-small', 'glm_moe_dsa'])(
  '%s violates the same constraints as a folder and as a file',
  async (name) => {
    const folder = name === 't5' ? t5Folder() : anyFixture(name);
    const out = fresh();
    await prune(folder, [], out, { format: 'gguf' });
    const inFolder = await violations(folder);
    expect(Object.keys(inFolder).length).toBeGreaterThan(1);
    expect(await violations(fileIn(out))).toEqual(inFolder);
  },
);

it('a folder that lacks single sublayers cannot become a file of whole blocks', async () => {
  const folder = fresh();
  await prune(anyFixture('qwen2'), ['block.1.feedforward'], folder);
  const asBlocks = prune(folder, [], fresh(), { format: 'gguf', layout: 'blocks' });
  expect((await rejection(asBlocks)).message).toMatch(
    /every sublayer in every block of a \S*qwen2 model, but block\.1\.feedforward is absent/,
  );
});
