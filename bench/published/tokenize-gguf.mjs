// Ids that llama.cpp gives texts: standard input is the texts as JSON.
//     node tokenize-gguf.mjs TOOLS FILE
import { join } from 'node:path';
import process from 'node:process';
import { json } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';

const [, , tools = '', modelPath = ''] = process.argv;
const entry = join(tools, 'node_modules', 'node-llama-cpp', 'dist', 'index.js');
const { getLlama } = await import(pathToFileURL(entry).href);
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error' });
const model = await llama.loadModel({ modelPath, vocabOnly: true });
const texts = /** @type {string[]} */ (await json(process.stdin));
process.stdout.write(JSON.stringify(texts.map((text) => model.tokenize(text, true))));
await llama.dispose();
