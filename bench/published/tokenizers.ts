// Ids that our tokenizers give texts: standard input is {"model": PATH, "texts": [...], "isPlain": whether without those around a text}.
import process from 'node:process';
import { text } from 'node:stream/consumers';
import { loadTokenizer } from '../../extension/core/data/tokenizer';

async function main(): Promise<void> {
  const { model, texts, isPlain } = JSON.parse(await text(process.stdin)) as {
    readonly model: string;
    readonly texts: readonly string[];
    readonly isPlain: boolean;
  };
  const tokenizer = await loadTokenizer(model);
  process.stdout.write(
    JSON.stringify(
      texts.map((one) => [...(isPlain ? tokenizer.encodePlain(one) : tokenizer.encode(one))]),
    ),
  );
}

void main();
