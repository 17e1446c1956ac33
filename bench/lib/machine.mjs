import { readdir, readFile, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { capture } from '../../scripts/lib/processes.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { red, say } from '../../scripts/lib/terminal.mjs';

/** @typedef {{torch?: string | undefined, transformers?: string | undefined}} Versions */
/** @typedef {{at: number, all: number, own: number}} Usage seconds */

/** Share of the processors that other processes may take; above it, times mean nothing. */
const busyShare = 0.03;
/** Unit of the times in /proc: the kernel's ABI fixes it for user space. */
const ticksPerSecond = 100;

/** The machine a bench runs on, watched from the bench's start for what other processes take. */
export class Machine {
  /** @type {Usage | undefined} */
  #start;

  /**
   * @param {number} cores physical cores: as many threads as ONNX Runtime starts by default
   * @param {string} load processes that ran or waited on average in the minute before
   * @param {Usage | undefined} start
   */
  constructor(cores, load, start) {
    this.cores = cores;
    this.load = load;
    this.#start = start;
  }

  static async watch() {
    const cores = await physicalCores();
    return new Machine(cores, (loadavg()[0] ?? 0).toFixed(1), await usage());
  }

  /**
   * The machine, the versions and the load before, in two sentences.
   * @param {Versions} [python]
   */
  async describe({ torch, transformers } = {}) {
    const processor = cpus()[0]?.model.trim() ?? 'unknown processor';
    const memory = Math.round(totalmem() / 2 ** 30);
    const versions = [
      `Espalier ${await packageVersion('package.json')}`,
      `Node ${process.versions.node}`,
      `ONNX Runtime ${await packageVersion('node_modules/onnxruntime-node/package.json')}`,
      ...(torch === undefined ? [] : [`PyTorch ${torch}`]),
      ...(transformers === undefined ? [] : [`transformers ${transformers}`]),
    ];
    return (
      `${processor}, ${this.cores} cores, ${memory} GiB, ${process.platform}; ` +
      `${versions.join(', ')}. Load before: ${this.load}.`
    );
  }

  /**
   * Share of the processors that other processes took since the start, 0 to 1; undefined where the
   * system does not tell it. This process and all that it has started are not others.
   */
  async othersShare() {
    const now = await usage();
    if (this.#start === undefined || now === undefined) return undefined;
    const others = now.all - this.#start.all - (now.own - this.#start.own);
    return Math.max(0, others / ((now.at - this.#start.at) * cpus().length));
  }

  /**
   * Prints results with what others took; writes them only if the machine was quiet.
   * @param {string} file
   * @param {string} text
   * @param {boolean} write false: only prints
   */
  async publish(file, text, write = true) {
    const { sentence, isQuiet } = await this.verdict();
    const whole = `${text.trimEnd()}\n\n${sentence}\n`;
    say(`\n${whole}`);
    if (!isQuiet) say(red('The machine was busy. Results are not written; run again.'));
    else if (write) await writeFile(file, whole);
  }

  /** True if the times so far are meaningful, with a message. */
  async verdict() {
    const share = await this.othersShare();
    return share === undefined
      ? { isQuiet: false, sentence: 'What other processes took is not known on this system.' }
      : {
          isQuiet: share <= busyShare,
          sentence: `Other processes took ${(100 * share).toFixed(1)} % of the processors.`,
        };
  }
}

async function physicalCores() {
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
 * Processor time of all processes (and of other virtual machines), and of this one with all that it has
 * started, each with its ended children: proc(5), /proc/stat and /proc/PID/stat.
 * @returns {Promise<Usage | undefined>}
 */
async function usage() {
  if (process.platform !== 'linux') return undefined;
  const stat = await readFile('/proc/stat', 'utf8');
  const [user, nice, system, , , irq, softirq, steal] = numbers(stat.split('\n')[0]);
  const running = await processes();
  const own = new Set([process.pid]);
  for (let before = 0; before < own.size;) {
    before = own.size;
    for (const { pid, parent } of running) if (own.has(parent)) own.add(pid);
  }
  return {
    at: performance.now() / 1000,
    all: sum([user, nice, system, irq, softirq, steal]) / ticksPerSecond,
    own: sum(running.map(({ pid, ticks }) => (own.has(pid) ? ticks : 0))) / ticksPerSecond,
  };
}

/** All processes, with the processor time of each and of its ended children. */
async function processes() {
  const names = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const stats = await Promise.all(
    names.map(async (name) => ({
      pid: Number(name),
      // It may have ended by now.
      stat: await readFile(`/proc/${name}/stat`, 'utf8').catch(() => undefined),
    })),
  );
  return stats.flatMap(({ pid, stat }) => {
    if (stat === undefined) return [];
    // The fields after the command's name, which may hold spaces, begin with the third.
    const fields = numbers(stat.slice(stat.lastIndexOf(')') + 2));
    return [{ pid, parent: fields[0] ?? 0, ticks: sum(fields.slice(10, 14)) }];
  });
}

/** @param {string} [line] */
function numbers(line = '') {
  return line
    .split(/\s+/)
    .slice(1)
    .map((field) => Number(field));
}

/** @param {readonly (number | undefined)[]} values */
function sum(values) {
  let total = 0;
  for (const value of values) total += value ?? 0;
  return total;
}

/** @param {string} file */
async function packageVersion(file) {
  return JSON.parse(await readFile(join(root, file), 'utf8')).version;
}
