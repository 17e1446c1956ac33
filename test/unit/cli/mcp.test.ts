import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { PassThrough } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { say } from '../../../extension/core/message';
import { shortenResult } from '../../../extension/core/operations/shorten-result';
import { serve } from '../../../extension/cli/mcp/mcp-server';
import { callInChild, callTool, createTools } from '../../../extension/cli/mcp/tools';
import { unattended } from '../../../extension/core/jobs/job';
import { ModelCache } from '../../../extension/core/models/model-cache';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';
import { spawnCli } from './run-cli';

/** Time limit of requests of the official client, whose default of a minute is too short on a busy machine. */
const timeout = 300_000;
const bundle = join(import.meta.dirname, '../../../dist/cli.js');
const model = fixture('llama-gqa-untied');
const folder = temporaryFolder();
const profile = join(folder, 'some.layerprofile.json');

describe('the server for agents', () => {
  const client = new Client({ name: 'test', version: '0' });

  /** Answer of a tool to the official client. */
  const call = async (
    name: string,
    given: Record<string, unknown>,
    options: Parameters<Client['callTool']>[2] = {},
  ): Promise<{ readonly isError: boolean; readonly text: string }> => {
    const answer = (await client.callTool({ name, arguments: given }, undefined, {
      timeout,
      ...options,
    })) as CallToolResult;
    const [content] = answer.content;
    return {
      isError: answer.isError === true,
      text: content?.type === 'text' ? content.text : '',
    };
  };

  beforeAll(async () => {
    await client.connect(
      new StdioClientTransport({
        ...{ command: process.execPath, args: [bundle, 'mcp'] },
        env: process.env as Record<string, string>,
      }),
      { timeout },
    );
  });
  afterAll(async () => {
    await client.close();
  });

  it('lists operations with schemas of their arguments', async () => {
    const { tools } = await client.listTools(undefined, { timeout });
    const names = tools.map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining([
        'inspect_model',
        'profile_layers',
        'apply_plan',
        'evaluate_model',
        'write_report',
      ]),
    );
    expect(new Set(names).size).toBe(names.length);
    const profiling = tools.find(({ name }) => name === 'profile_layers');
    expect(profiling?.inputSchema).toMatchObject({
      type: 'object',
      required: ['model'],
      properties: { model: { type: 'string' }, sequences: { type: 'integer', minimum: 1 } },
    });
    expect(profiling?.annotations).toMatchObject({ readOnlyHint: false });
    expect(tools.find(({ name }) => name === 'inspect_model')?.annotations?.readOnlyHint).toBe(
      true,
    );
  });

  it('inspects a model', async () => {
    const { text, isError } = await call('inspect_model', { model });
    expect(isError).toBe(false);
    expect(JSON.parse(text)).toMatchObject({
      result: { architecture: 'llama', blocks: 4 },
    });
  });

  it('profiles, reports progress, and writes the file that the next tool reads', async () => {
    const seen: number[] = [];
    const { text, isError } = await call(
      'profile_layers',
      { model, calibration: 'random', sequences: 2, length: 16, remove: 2, out: profile },
      { onprogress: ({ progress }) => seen.push(progress) },
    );
    expect(isError, text).toBe(false);
    expect(seen.length).toBeGreaterThan(0);
    const { rounds } = JSON.parse(await readFile(profile, 'utf8')) as {
      readonly rounds: readonly { readonly removed: string }[];
    };
    const out = join(folder, 'some.md');
    const report = await call('write_report', { about: profile, out });
    expect(report.isError, report.text).toBe(false);
    expect(await readFile(out, 'utf8')).toContain(rounds[0]?.removed);
  });

  it('answers errors with the reason and the fix', async () => {
    const missing = await call('inspect_model', { model: join(folder, 'nothing') });
    expect(missing.isError).toBe(true);
    expect(JSON.parse(missing.text)).toMatchObject({
      error: { code: 'path-missing', file: join(folder, 'nothing') },
    });
    const wrong = await call('profile_layers', { model, out: profile, sequences: 0 });
    expect(wrong.isError).toBe(true);
    expect(JSON.parse(wrong.text)).toMatchObject({
      error: { code: 'value-invalid', field: 'sequences' },
    });
    await expect(call('no_such_tool', {})).rejects.toThrow('no_such_tool');
  });

  it('keeps answering after an agent stops waiting', async () => {
    const abort = new AbortController();
    const waiting = call(
      'profile_layers',
      {
        model,
        calibration: 'random',
        sequences: 60,
        length: 64,
        out: join(folder, 'slow.layerprofile.json'),
      },
      { signal: abort.signal, onprogress: abort.abort.bind(abort) },
    );
    await expect(waiting).rejects.toThrow();
    expect((await call('inspect_model', { model })).isError).toBe(false);
  });
});

describe('a hostile tokenizer', () => {
  const hostile = join(folder, 'backtracking');
  const prompt = 'a'.repeat(48);
  /** Environment of a process in which encoding the prompt never ends, and the file that it then writes. */
  const endless = (encoding: string) => ({
    NODE_OPTIONS: `--import ${pathToFileURL(join(import.meta.dirname, 'endless-encoding.mjs')).href}`,
    ESPALIER_ENCODING: encoding,
  });

  beforeAll(() => {
    cpSync(model, hostile, { recursive: true });
    const file = join(hostile, 'tokenizer.json');
    const definition = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
    const Regex = '(?:[A-Za-z ]+)+$!';
    const pre_tokenizer = {
      type: 'Split',
      pattern: { Regex },
      behavior: 'Isolated',
      invert: false,
    };
    writeFileSync(file, JSON.stringify({ ...definition, pre_tokenizer }));
  });

  // Windows keeps the number of a parent that has ended.
  it.skipIf(process.platform === 'win32')(
    'ends with its parent process, even if its input stays open',
    async () => {
      const parent = spawn(
        process.execPath,
        [
          '-e',
          `require('node:child_process').spawn(process.execPath, process.argv.slice(1), { stdio: 'inherit' })`,
          ...[bundle, 'mcp'],
        ],
        { stdio: ['pipe', 'pipe', 'inherit'] },
      );
      const lines = createInterface({ input: parent.stdout })[Symbol.asyncIterator]();
      const request = { jsonrpc: '2.0', id: 1, method: 'ping' };
      parent.stdin.write(`${JSON.stringify(request)}\n`);
      expect(JSON.parse(String((await lines.next()).value))).toMatchObject({ id: 1, result: {} });
      parent.kill('SIGKILL');
      // The server is the last that holds the output open.
      expect(await lines.next()).toMatchObject({ done: true });
    },
  );

  it('delays neither other calls nor the end of the server', async () => {
    const encoding = join(folder, 'server.encoding');
    const server = spawn(process.execPath, [bundle, 'mcp'], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: { ...process.env, ...endless(encoding) },
    });
    const ended = once(server, 'exit');
    const answers: unknown[] = [];
    createInterface({ input: server.stdout }).on('line', (line) => {
      answers.push((JSON.parse(line) as { readonly id?: unknown }).id);
    });
    const send = (id: number, name: string, given: object): void => {
      const params = { name, arguments: given };
      server.stdin.write(
        `${JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params })}\n`,
      );
    };
    send(1, 'generate_text', { model: hostile, prompt });
    await expect.poll(() => existsSync(encoding)).toBe(true);
    send(2, 'inspect_model', { model });
    await expect.poll(() => answers).toContain(2);
    server.stdin.end();
    expect(await ended).toEqual([0, null]);
    expect(answers).toEqual([2]);
  });

  it('is left at Ctrl-C', async () => {
    const encoding = join(folder, 'generate.encoding');
    const { code, stderr } = await spawnCli(['generate', hostile, '--prompt', prompt], {
      environment: endless(encoding),
      onStart: (child) => {
        const timer = setInterval(() => {
          if (!existsSync(encoding)) return;
          clearInterval(timer);
          child.kill('SIGINT');
        }, 5);
        child.once('exit', () => {
          clearInterval(timer);
        });
      },
    });
    expect(stderr).toContain('Stopped');
    expect(code).toBe(130);
  });
});

describe('a call', () => {
  it('is answered with an error when its process ends, and the next one works', async () => {
    const script = join(folder, 'aborting.cjs');
    writeFileSync(
      script,
      `process.send({ kind: 'ready' });
       process.on('message', ({ task }) => {
         if (task.name === 'abort') process.abort();
         process.send({ kind: 'result', result: { text: 'done', isError: false } });
       });`,
    );
    const perform = callInChild(script);
    const run = { cancellation: { isCancellationRequested: false }, progress: () => undefined };
    expect(await perform({ name: 'abort', given: {} }, run)).toMatchObject({
      text: expect.stringMatching(
        /^The process of this call ended\. It ended with SIGABRT/,
      ) as string,
      isError: true,
    });
    expect(await perform({ name: 'other', given: {} }, run)).toEqual({
      text: 'done',
      isError: false,
    });
  });

  it('stops at its next step, and says that it can be resumed', async () => {
    const models = new ModelCache({ capacity: 1 });
    const context = {
      ...unattended,
      environment: {
        ...{ samples: '', version: 'test', costsFolder: join(folder, 'costs'), bundles: '' },
        open: async (path: string) => models.open(path),
      },
    };
    const perform: Parameters<typeof createTools>[0] = async (call, run) =>
      callTool(call, context, run);
    expect(() => createTools(perform, ['profile'])).toFailWith({
      code: 'tool-unknown',
      field: '--except',
    });
    const [profiling] = createTools(perform, ['inspect_model']).filter(
      ({ name }) => name === 'profile_layers',
    );
    const cancellation = { isCancellationRequested: false };
    const out = join(folder, 'stopped.layerprofile.json');
    const answer = await profiling?.call(
      { model, calibration: 'random', sequences: 60, length: 64, out },
      {
        cancellation,
        progress: ({ done }) => {
          if (done > 0) cancellation.isCancellationRequested = true;
        },
      },
    );
    expect(answer).toEqual({
      text: 'Stopped. The same call continues where it stopped.',
      isError: true,
    });
    await expect(readFile(out)).rejects.toThrow('ENOENT');
  });
});

it('a server stops its calls when its input ends', async () => {
  const [input, output] = [new PassThrough(), new PassThrough()];
  let begin: () => void = () => undefined;
  const begun = new Promise<void>((resolve) => (begin = resolve));
  const stopped: string[] = [];
  const served = serve(
    [
      {
        ...{ name: 'wait', title: 'Wait', description: '', isReading: true },
        inputSchema: { type: 'object' },
        call: async (_, { cancellation }) => {
          begin();
          while (!cancellation.isCancellationRequested) await delay(5);
          stopped.push('wait');
          return { text: '', isError: true };
        },
      },
    ],
    ...(['0', input, output] as const),
  );
  const params = { name: 'wait', arguments: {} };
  input.write(`${JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params })}\n`);
  await begun;
  input.end();
  await served;
  await expect.poll(() => stopped).toEqual(['wait']);
});

describe('a result', () => {
  it('is complete if it is short; otherwise its lists are truncated and say so', () => {
    expect(shortenResult({ a: [1, 2] })).toBe('{"a":[1,2]}');
    expect(shortenResult({ said: say`${2} of ${'3'}` })).toBe('{"said":"2 of 3"}');
    const long = {
      rows: Array.from({ length: 5000 }, (_, i) => ({ id: `row ${i}` })),
      more: 'kept',
    };
    const cut = shortenResult(long);
    expect(cut.length).toBeLessThanOrEqual(24_000);
    const read = JSON.parse(cut) as { readonly rows: readonly unknown[]; readonly more: string };
    expect(read.more).toBe('kept');
    expect(read.rows.at(-1)).toBe('… 4900 more');
    expect(shortenResult({ text: 'x'.repeat(50_000) }).length).toBeLessThan(24_100);
  });
});
