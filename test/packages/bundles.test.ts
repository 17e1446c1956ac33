import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const bundle = (name: string): string =>
  readFileSync(join(import.meta.dirname, '../../dist', name), 'utf8');

it('the extension host never loads ONNX Runtime; the worker does', () => {
  const loads = /require\("onnxruntime-node"\)/;
  expect(bundle('worker.js')).toMatch(loads);
  expect(bundle('extension.js')).not.toMatch(loads);
});

it('what talks to a queue is loaded where one is named, and only then', () => {
  const speaks = /moveToActive/;
  expect(bundle('queue-library.js')).toMatch(speaks);
  for (const name of ['extension.js', 'worker.js', 'pieces.js', 'cli.js']) {
    expect(bundle(name)).not.toMatch(speaks);
  }
});
