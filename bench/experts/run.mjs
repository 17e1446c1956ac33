/**
 * Scores the experts of a GGUF file of the shape of Qwen3-30B-A3B (or gpt-oss-20b in MXFP4) with random weights, profiles it,
 * measures an importance matrix, removes half of the experts, and compares the written file with the original byte for byte.
 * TOOLS is a folder whose node_modules has node-llama-cpp: llama.cpp then runs the written file. Needs about 0.55 GB of
 * space per block in the temporary folder. Run `npm run build` first.
 *
 *     node bench/experts/run.mjs [--blocks 4] [--type Q4_K|MXFP4] [--memory 4GiB] [--sequences 4] [--length 512] [--tools TOOLS]
 *       [--commands score-experts,profile,imatrix,apply]
 */
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { mkdtemp, readFile, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleCore } from '../../scripts/lib/bundle.mjs';
import { logitsAt, openLlamaCpp } from '../../test/fixtures/llama-cpp.mjs';
import { cli } from '../lib/espalier.mjs';
import { Machine } from '../lib/machine.mjs';
import { writeMoeGguf } from './model.mjs';

const { values } = parseArgs({
  options: {
    blocks: { type: 'string', default: '4' },
    type: { type: 'string', default: 'Q4_K' },
    memory: { type: 'string', default: '4GiB' },
    sequences: { type: 'string', default: '4' },
    length: { type: 'string', default: '512' },
    tools: { type: 'string' },
    commands: { type: 'string', default: 'score-experts,profile,imatrix,apply' },
  },
});
const commands = values.commands.split(',');
const { blocks = '', type, memory = '', sequences = '', length = '', tools } = values;
/** Milliseconds between two looks at the memory of a command. */
const interval = 200;
const ids = Array.from({ length: 16 }, (_, i) => 3 + i * 101);

const folder = await mkdtemp(join(tmpdir(), 'espalier-experts-'));
try {
  const machine = await Machine.watch();
  const program = join(folder, 'core.cjs');
  await bundleCore(fileURLToPath(new URL('core.ts', import.meta.url)), program);
  const core = createRequire(import.meta.url)(program);
  const [model, plan, out] = [
    join(folder, 'model.gguf'),
    join(folder, 'model.plan.json'),
    join(folder, 'small'),
  ];
  await writeMoeGguf(model, Number(blocks), type === 'MXFP4' ? 'MXFP4' : 'Q4_K');
  const text = [
    ...['--calibration', 'random', '--sequences', sequences, '--length', length],
    ...['--memory', memory, '--device', 'cpu'],
  ];
  const given = {
    'score-experts': [model, '--ratio', '0.5', '--out', plan, ...text],
    profile: [model, '--remove', '1', '--out', join(folder, 'model.layerprofile.json'), ...text],
    imatrix: [model, '--out', join(folder, 'imatrix.gguf'), ...text],
    apply: [plan, '--out', out, '--device', 'cpu', '--memory', memory, '--no-quality'],
  };
  const { size } = await stat(model);
  print([
    await machine.describe(),
    `${blocks} blocks in ${type}, ${size} bytes, ${sequences} × ${length} tokens, --memory ${memory}`,
  ]);
  for (const [command, args] of Object.entries(given)) {
    if (!commands.includes(command)) {
      continue;
    }
    const { wall, processor, anonymous, resident, read } = await measure([command, ...args]);
    const [most, whole] = [anonymous, resident].map((bytes) => (bytes / 2 ** 20).toFixed(0));
    print([
      `${command}: ${wall.toFixed(0)} s, ${processor.toFixed(0)} s of the processor, peak ${most} MiB (${whole} MiB with mapped files), ${read} bytes read`,
    ]);
  }
  if (commands.includes('apply')) {
    const [name = ''] = (await readdir(out)).filter((one) => one.endsWith('.gguf'));
    const written = join(out, name);
    const { remove } = JSON.parse(await readFile(plan, 'utf8'));
    const compared = await core.compareFiles(model, written, remove);
    print([
      `bytes: ${size} → ${(await stat(written)).size}`,
      `keys with other values: ${compared.otherKeys.join(', ')}`,
      `tensors: ${compared.tensors}, ${compared.stacks} with fewer experts, ${compared.bytes} bytes compared, other bytes: ${compared.otherTensors.join(', ') || 'none'}`,
      ...(tools === undefined ? [] : [await runWithLlamaCpp(tools, written)]),
    ]);
  }
  const share = await machine.othersShare();
  print([
    `Other processes took ${share === undefined ? 'an unknown share' : `${Math.round(100 * share)} %`} of the processors.`,
  ]);
} finally {
  await rm(folder, { recursive: true });
}

/** @param {readonly string[]} lines */
function print(lines) {
  process.stdout.write(`${lines.join('\n')}\n`);
}

/**
 * Runs a command, and returns its seconds, its largest memory, and the bytes that it read. Pages of mapped files are not
 * counted as read; quantized weights are read, not mapped.
 * @param {readonly string[]} args
 */
async function measure(args) {
  const start = performance.now();
  const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
  const found = { anonymous: 0, resident: 0, processor: 0, read: 0 };
  /** @type {(file: string) => Promise<string>} */
  const proc = async (file) => readFile(`/proc/${child.pid}/${file}`, 'utf8').catch(() => '');
  const timer = setInterval(async () => {
    // smaps_rollup would lock the memory of the command for as long as it is summed.
    const status = await proc('status');
    const kibibytes = (/** @type {string} */ name) =>
      Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
    found.anonymous = Math.max(found.anonymous, 1024 * kibibytes('RssAnon'));
    found.resident = Math.max(found.resident, 1024 * kibibytes('VmHWM'));
    const times = (await proc('stat')).split(') ')[1]?.split(' ');
    const processor = (Number(times?.[11] ?? 0) + Number(times?.[12] ?? 0)) / 100;
    found.processor = Math.max(found.processor, processor);
    found.read = Math.max(found.read, Number(/^rchar: (\d+)/m.exec(await proc('io'))?.[1] ?? 0));
  }, interval);
  const code = await new Promise((resolve) => child.once('exit', resolve));
  clearInterval(timer);
  if (code !== 0) throw new Error(`${args[0]} ended with ${String(code)}`);
  return { wall: (performance.now() - start) / 1000, ...found };
}

/**
 * @param {string} tools
 * @param {string} file
 */
async function runWithLlamaCpp(tools, file) {
  const { llama, version } = await openLlamaCpp(tools);
  const [logits = new Map()] = await logitsAt(llama, file, ids, [ids.length - 1]);
  await llama.dispose();
  const finite = [...logits.values()].filter(Number.isFinite).length;
  return `llama.cpp of node-llama-cpp ${version}: loaded, ${finite} finite logits of ${logits.size}`;
}
