import { execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { get } from 'node:http';
import type { Socket } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from '../../scripts/lib/repository.mjs';

const PARENT = join(root, 'test', 'e2e', 'support', 'editor-parent.mjs');

describe('the editor that npm start opens', () => {
  let data: string;
  let parent: ReturnType<typeof startParent>;
  let address: URL;

  beforeAll(async () => {
    data = await mkdtemp(join(tmpdir(), 'espalier-e2e-'));
    parent = startParent(data);
    const [line] = (await once(createInterface(parent.stdout), 'line')) as [string];
    address = new URL(line);
  });

  afterAll(async () => {
    parent.kill('SIGKILL');
    await rm(data, { recursive: true, force: true, maxRetries: 3 });
  });

  it('listens on loopback alone and has a long token in its address', () => {
    expect(address.hostname).toBe('127.0.0.1');
    expect(address.searchParams.get('tkn')).toMatch(/^[0-9a-f]{64}$/);
  });

  it.each([
    ['without a token', undefined],
    ['with another token', '0'.repeat(64)],
  ])('refuses a request %s', async (_, token) => {
    for (const path of ['/', '/vscode-remote-resource?path=/etc/hostname']) {
      const url = new URL(path, address);
      if (token !== undefined) url.searchParams.set('tkn', token);
      const response = await fetch(url, { redirect: 'manual' });
      expect(response.status).toBe(403);
      expect(response.headers.getSetCookie()).toEqual([]);
    }
  });

  it('refuses the channel that files and terminals go through, without the token', async () => {
    expect(await answerToAuth(address, '')).toContain('auth mismatch');
    expect(await answerToAuth(address, address.searchParams.get('tkn') ?? '')).toContain('sign');
  });

  it('shows the folder to who has the address', async () => {
    const entry = await fetch(address, { redirect: 'manual' });
    expect(entry.status).toBe(302);
    const cookie = entry.headers.getSetCookie()[0]?.split(';')[0] ?? '';
    const page = await fetch(new URL(entry.headers.get('location') ?? '', address), {
      headers: { cookie },
    });
    expect(page.status).toBe(200);
    expect(await page.text()).toContain('workbench');
  });

  it('keeps the token out of the command line', async () => {
    const lines = await editorProcesses(data);
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.join('\n')).not.toContain(address.searchParams.get('tkn'));
  });

  it('ends when its parent is killed', async () => {
    parent.kill('SIGKILL');
    await expect.poll(() => editorProcesses(data)).toEqual([]);
    await expect(fetch(address)).rejects.toThrow();
  });
});

function startParent(data: string) {
  return spawn(process.execPath, [PARENT, data], { stdio: ['ignore', 'pipe', 'inherit'] });
}

/** Answer of the editor's server to the first message of VS Code's remote protocol. */
async function answerToAuth(address: URL, token: string): Promise<string> {
  const query = new URLSearchParams({
    reconnectionToken: randomUUID(),
    skipWebSocketFrames: 'true',
  });
  const upgrade = get(new URL(`/?${query.toString()}`, address), {
    headers: { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Key': 'AAAA' },
  });
  const [, socket] = (await once(upgrade, 'upgrade')) as [unknown, Socket];
  const body = Buffer.from(JSON.stringify({ type: 'auth', auth: token, data: '' }));
  const header = Buffer.alloc(13); // kind, id, acknowledged id, length
  header.writeUInt8(2, 0);
  header.writeUInt32BE(body.length, 9);
  socket.write(Buffer.concat([header, body]));
  const [answer] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return answer.toString('utf8', 13);
}

/** The command lines of what runs on this data folder. */
async function editorProcesses(data: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)('ps', ['-axww', '-o', 'args=']);
  return stdout.split('\n').filter((line) => line.includes(data));
}
