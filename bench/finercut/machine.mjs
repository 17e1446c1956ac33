import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { capture } from '../../scripts/lib/processes.mjs';
import { root } from '../../scripts/lib/repository.mjs';

/** @typedef {{torch: string, transformers: string}} Versions */

/** Physical cores: as many threads as ONNX Runtime starts when it is told nothing. */
export async function physicalCores() {
  if (process.platform === 'linux') {
    const { output } = await capture('lscpu', ['--parse=CORE,SOCKET'], { quiet: true });
    return new Set(output.split('\n').filter((line) => /^\d/.test(line))).size;
  }
  if (process.platform === 'darwin') {
    const { output } = await capture('sysctl', ['-n', 'hw.physicalcpu'], { quiet: true });
    return Number(output);
  }
  return availableParallelism();
}

/**
 * The machine and the versions, in a sentence.
 * @param {number} cores
 * @param {Versions | undefined} python
 */
export async function describeMachine(cores, python) {
  const processor = cpus()[0]?.model.trim() ?? 'unknown processor';
  const memory = Math.round(totalmem() / 2 ** 30);
  const onnxruntime = await versionOf('node_modules/onnxruntime-node/package.json');
  const versions = [
    `Espalier ${await versionOf('package.json')}`,
    `Node ${process.versions.node}`,
    `ONNX Runtime ${onnxruntime}`,
    ...(python === undefined
      ? []
      : [`PyTorch ${python.torch}`, `transformers ${python.transformers}`]),
  ];
  return `${processor}, ${cores} cores, ${memory} GiB, ${process.platform}; ${versions.join(', ')}`;
}

/** Processes that ran or waited on average in the last minute, this bench not yet among them. */
export function load() {
  return (loadavg()[0] ?? 0).toFixed(1);
}

/** Processor time that this machine has spent so far, in seconds: all processes, all cores. */
export function busySeconds() {
  const milliseconds = cpus().map(({ times }) => times.user + times.nice + times.sys + times.irq);
  return milliseconds.reduce((sum, value) => sum + value, 0) / 1000;
}

/** @param {string} file */
async function versionOf(file) {
  return JSON.parse(await readFile(join(root, file), 'utf8')).version;
}
