// Writes our float32 logits [tokens, vocabulary] of a model for the token ids of a JSON list:
//     node logits.cjs MODEL IDS.json OUT
import { readFile, writeFile } from 'node:fs/promises';
import process from 'node:process';
import { openModel } from '../../extension/core/models/open-model';
import { LayeredExecutor } from '../../extension/core/runtime/layered-executor';

async function main([model = '', ids = '', out = '']: readonly string[]): Promise<void> {
  const executor = new LayeredExecutor(await openModel(model), 'cpu', 2 ** 32);
  let state = await executor.embed(
    Int32Array.from(JSON.parse(await readFile(ids, 'utf8')) as number[]),
  );
  for (const index of executor.model.summary.sublayers.keys()) {
    [state = state] = await executor.run(index, [state]);
  }
  await writeFile(out, await executor.logits(state));
  await executor.dispose();
}

void main(process.argv.slice(2));
