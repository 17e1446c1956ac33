import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const dist = join(import.meta.dirname, '../../dist');
const bundle = (name: string): string => readFileSync(join(dist, name), 'utf8');

it('the extension host never loads ONNX Runtime; the worker does', () => {
  const loads = /require\("onnxruntime-node"\)/;
  expect(bundle('worker.js')).toMatch(loads);
  expect(bundle('extension.js')).not.toMatch(loads);
});

it('loads the queue client only if a queue is named', () => {
  const speaks = /moveToActive/;
  expect(bundle('queue-library.js')).toMatch(speaks);
  for (const name of ['extension.js', 'worker.js', 'pieces.js', 'cli.js']) {
    expect(bundle(name)).not.toMatch(speaks);
  }
});

it('removes chunks of earlier builds, which packages would contain', () => {
  const scripts = readdirSync(dist).filter((name) => name.endsWith('.js'));
  const texts = scripts.map(bundle).join('\n');
  const chunks = scripts.filter((name) => /-[A-Z\d]{8}\.js$/.test(name));
  expect(chunks).not.toEqual([]);
  expect(chunks.filter((name) => !texts.includes(name))).toEqual([]);
});
