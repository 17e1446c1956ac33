import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import process from 'node:process';
import { expect, it } from 'vitest';
import { ConnectionRecorder, isLoopback, parseSockets } from '../../reliability/connections';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();

/** Talks to a port of this machine, to an address that is nobody's (RFC 5737), and to a name. */
const talkative = `
const { connect } = require('node:net');
connect(Number(process.argv[1]), '127.0.0.1').on('close', () => process.exit());
connect(9, '192.0.2.1').on('error', () => undefined);
require('node:dgram').createSocket('udp4').send('x', 9, '192.0.2.2', () => undefined);
fetch('http://nobody.invalid/').catch(() => undefined);
`;

it('sees each host that a process talks to', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const connected = once(server, 'connection');
  const file = join(folder, 'connections');
  const { nodeArguments, environment } = ConnectionRecorder.start(file);
  const child = spawn(process.execPath, [...nodeArguments, '-e', talkative, String(port)], {
    env: { ...process.env, ...environment },
  });
  const recorder = new ConnectionRecorder(child.pid ?? 0, file);
  await connected;
  const wanted = ['127.0.0.1', '192.0.2.1', '192.0.2.2', 'nobody.invalid'];
  await expect
    .poll(() => recorder.sample().map(({ host }) => host))
    .toEqual(expect.arrayContaining(wanted));
  child.kill();
  server.close();
  recorder.stop();
});

it('distinguishes this machine from others', () => {
  const own = ['localhost', '127.0.0.1', '127.8.0.1', '::1', '::ffff:127.0.0.1'];
  const others = ['0.0.0.0', '10.0.0.1', '::', '2001:db8::1', 'localhost.example', '127.example'];
  expect([...own, ...others].filter(isLoopback)).toEqual(own);
});

it("reads Linux's tables of sockets", () => {
  const row = (local: string, remote: string, state: string, inode: number): string =>
    `   0: ${local} ${remote} ${state} 00000000:00000000 00:00000000 00000000  1000        0 ${inode} 1`;
  const table = [
    '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode',
    row('0100007F:1F90', '050200C0:01BB', '02', 1),
    row('00000000:1F90', '00000000:0000', '0A', 2),
    row(`${'0'.repeat(24)}01000000:1F90`, `${'0'.repeat(32)}:0000`, '0A', 3),
    row(`${'0'.repeat(32)}:1F90`, '0000000000000000FFFF0000050200C0:01BB', '01', 4),
    row(`${'0'.repeat(32)}:1F90`, 'B80D0120000000000000000001000000:01BB', '01', 5),
  ].join('\n');
  expect([...parseSockets(table)]).toEqual([
    ['1', '192.0.2.5'],
    ['2', '0.0.0.0'],
    ['3', '::1'],
    ['4', '192.0.2.5'],
    ['5', '2001:db8:0:0:0:0:0:1'],
  ]);
});
