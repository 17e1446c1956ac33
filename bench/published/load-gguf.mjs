// Loads a GGUF file with llama.cpp and says what it would go on with.
//     node load-gguf.mjs TOOLS FILE
import { join } from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';

const [, , tools = '', modelPath = ''] = process.argv;
const entry = join(tools, 'node_modules', 'node-llama-cpp', 'dist', 'index.js');
const { getLlama } = await import(pathToFileURL(entry).href);
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error' });
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({ contextSize: 64 });
const ids = model.tokenize('An espalier is a tree trained');
const asked = ids.map((/** @type {number} */ id, /** @type {number} */ i) =>
  i === ids.length - 1 ? [id, { generateNext: { token: true } }] : id,
);
const results = await context.getSequence().controlledEvaluate(asked);
const { token } = results.at(-1).next;
process.stdout.write(`"An espalier is a tree trained" → "${model.detokenize([token])}"\n`);
await llama.dispose();
