import { once } from 'node:events';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MemoryGroup } from '../../reliability/memory-group';
import type { GroupResult } from '../../reliability/memory-group';
import { runsAllCases } from '../sample';
import { makeStoredModel } from '../stored-model';
import { temporaryFolder } from '../temporary-folder';

const root = join(import.meta.dirname, '../../..');
const mebibyte = 1 << 20;
const made = MemoryGroup.make();
const title =
  typeof made === 'string' ? `a memory cgroup (none can be made: ${made})` : 'a memory cgroup';

describe.skipIf(typeof made === 'string')(title, () => {
  const folder = temporaryFolder();
  const group = made as MemoryGroup;
  const inner = MemoryGroup.make(group) as MemoryGroup;
  afterAll(() => {
    inner.remove();
    group.remove();
  });

  describe('above the own one', () => {
    const script = join(folder, 'room.cjs');
    const roomInside = async (): Promise<number> => {
      const { stdout, stderr } = await inner.run([script]);
      return Number(stdout === '' ? stderr : stdout) / mebibyte;
    };
    beforeAll(async () => {
      await build({
        stdin: {
          contents: `
            import { availableProcessMemory } from './extension/core/runtime/limits/process-memory';
            console.log(availableProcessMemory());`,
          resolveDir: root,
        },
        ...{ outfile: script, bundle: true, platform: 'node', format: 'cjs' },
      });
    });

    it('limits the memory of jobs, minus the use of its other processes', async () => {
      group.limit(600 * mebibyte);
      const alone = await roomInside();
      expect(alone).toBeGreaterThan(300);
      expect(alone).toBeLessThan(500);
      const hold =
        "const used = Buffer.alloc(150 << 20, 1); process.stdin.on('end', () => used); process.stdin.resume(); console.log(1)";
      const other = group.start(['-e', hold]);
      await once(other.stdout, 'data');
      expect(await roomInside()).toBeLessThan(alone - 150);
      const ended = once(other, 'exit');
      other.stdin.end();
      await ended;
    });
  });

  /** 84 M parameters: 335 MB as float32. The head and two sublayers, 92 MB, and hidden states must fit. */
  const shape = { blocks: 12, hidden: 512, inner: 2048, vocabulary: 32_768 };

  describe.each(runsAllCases ? (['float16', 'gptq'] as const) : (['gptq'] as const))(
    'with less memory than %s weights take as float32',
    (encoding) => {
      const model = join(folder, encoding);
      const out = join(folder, `${encoding}-out`);
      const runWithin = async (limit: number, args: readonly string[]): Promise<GroupResult> => {
        group.limit(limit);
        return group.run([join(root, 'dist/cli.js'), ...args], {
          XDG_CACHE_HOME: join(folder, 'cache'),
        });
      };
      const profile = [
        ...['profile', model, '--out', join(out, 'm.layerprofile.json')],
        ...['--calibration', 'random', '--sequences', '2', '--length', '32'],
        ...['--search', 'one-shot', '--granularity', 'block', '--remove', '1'],
        // Two candidates: every run of the model still reads all of its blocks.
        ...['--protect', Array.from({ length: shape.blocks - 2 }, (__, i) => `block.${i}`).join()],
        ...['--no-baselines', '--no-perplexity'],
      ];
      const convert = ['convert', model, '--format', 'onnx', '--out', join(out, 'onnx')];
      beforeAll(() => {
        makeStoredModel(model, { encoding, ...shape });
        mkdirSync(out);
      });

      it.each([
        ['a profile', profile, 'm.layerprofile.json'],
        ['writing and checking an ONNX file', convert, 'onnx'],
      ])('%s runs to its end', async (_, args, result) => {
        const { code, signal, stderr } = await runWithin(360 * mebibyte, args);
        expect({ code, signal, stderr }).toMatchObject({ code: 0, signal: null });
        expect(readdirSync(out)).toContain(result);
      });

      it.each([
        ['a profile', profile],
        ['writing and checking an ONNX file', convert],
      ])('%s that does not fit is refused before, with a sentence', async (_, args) => {
        rmSync(out, { recursive: true });
        mkdirSync(out);
        const { code, signal, stderr } = await runWithin(230 * mebibyte, args);
        expect({ code, signal }).toEqual({ code: 1, signal: null });
        expect(stderr).toMatch(/needs \d+MiB of memory.*The system limits this process's memory/s);
        expect(readdirSync(out)).toEqual([]);
      });
    },
  );
});
