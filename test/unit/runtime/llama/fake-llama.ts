import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { unattended } from '../../../../extension/core/jobs/job';
import { installLlama } from '../../../../extension/core/runtime/llama/install-llama';
import type { LlamaPackage } from '../../../../extension/core/runtime/llama/package';

/** Words in a model's file or path that the fake addon acts on. */
export const fakeRefusal = 'refuse me';
export const fakeCrash = 'crash me';

/**
 * An addon with the interface of node-llama-cpp's. The most likely token after `n` is `n`, the only one with a logit above
 * 0; every text is the token 7.
 */
const addon = `
const { readFileSync } = require('node:fs');
let log = () => undefined;
exports.setLogger = (given) => { log = given; };
exports.setLoggerLogLevel = () => undefined;
exports.loadBackends = () => undefined;
exports.init = async () => undefined;
exports.systemInfo = () => 'fake processor';
exports.getMathCores = () => 3;
exports.AddonModel = class {
  constructor(path) { this.content = path + readFileSync(path, 'latin1'); }
  async init() {
    if (this.content.includes('${fakeCrash}')) process.abort();
    if (!this.content.includes('${fakeRefusal}')) return true;
    log(2, 'unknown model architecture: \\'fake\\'\\n');
    log(2, 'failed to load model\\n');
    return false;
  }
  tokenize(text) {
    if (text === '') process.abort();
    return Uint32Array.of(7);
  }
};
exports.AddonSampler = class { applyConfig() {} };
exports.AddonContext = class {
  async init() { return true; }
  constructor() { this.length = 0; }
  initBatch() { this.tokens = []; }
  addToBatch(sequence, first, tokens, positions) {
    if (first !== this.length) throw new Error('position ' + first + ', expected ' + this.length);
    this.tokens = [...tokens];
    this.length += tokens.length;
    return positions;
  }
  async decodeBatch() {}
  disposeSequence() { this.length = 0; }
  async sampleToken(row, sampler, ...options) {
    const token = this.tokens[row];
    const pairs = Array.from({ length: Math.max(2, token + 1) }, (_, id) => [id, id === token ? 1 : 0]);
    return options.length === 0 ? token : [token, undefined, undefined, pairs.reverse().flat()];
  }
};
`;

/** Files of a package by their paths in the archive. */
export type Files = Readonly<Record<string, string>>;

export const fakeFiles = (code = addon): Files => ({
  'package/package.json': '{}',
  'package/bins/fake/_nlcBuildMetadata.json': JSON.stringify({
    buildOptions: { llamaCpp: { repo: 'ggml-org/llama.cpp', release: 'v9.9.9' } },
  }),
  'package/bins/fake/llama-addon.cjs': code,
});

/** An archive in the format of npm packages. */
export function packFiles(files: Files, type = '0'): Buffer {
  const parts = Object.entries(files).flatMap(([path, content]) => {
    const bytes = Buffer.from(content);
    const header = Buffer.alloc(512);
    header.write(path, 0);
    header.write('000644 \0', 100);
    header.write(`${bytes.length.toString(8).padStart(11, '0')} `, 124);
    header.write(type, 156);
    header.write('ustar\u000000', 257);
    return [header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)];
  });
  return gzipSync(Buffer.concat([...parts, Buffer.alloc(1024)]));
}

export const fakePackage = (archive: Buffer): LlamaPackage => ({
  ...{ name: '@fake/linux', version: '1.2.3', bytes: archive.length, binaries: 'bins/fake' },
  sha512: createHash('sha512').update(archive).digest('base64'),
});

/** Uses a registry on loopback. */
export async function withRegistry<T>(
  answer: RequestListener,
  use: (url: string) => Promise<T>,
): Promise<T> {
  const server: Server = createServer(answer);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  try {
    return await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** Installs the fake in the user's cache folder, from a registry on loopback. */
export async function installFake(): ReturnType<typeof installLlama> {
  const archive = packFiles(fakeFiles());
  return withRegistry(
    (_, response) => {
      response.end(archive);
    },
    async (registry) => installLlama({ source: fakePackage(archive), registry }, unattended),
  );
}
