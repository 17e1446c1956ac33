import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

const tools = join(import.meta.dirname, '../../../scripts/lib/valkey.mjs');

/** Certificate that the server presents. */
export const certificate = join(import.meta.dirname, '../../fixtures/tls/certificate.pem');

/** A server for one test file: on this machine alone, at a port of its own, with its own data. */
export class Valkey {
  private process: ChildProcess | undefined;

  private constructor(
    private readonly program: string,
    private readonly port: number,
    private readonly tlsPort: number,
    private readonly folder: string,
    private readonly options: readonly string[],
  ) {}

  /** @param folder for its data */
  public static async start(folder: string, options: readonly string[] = []): Promise<Valkey> {
    const { ensureValkey } = (await import(tools)) as { ensureValkey: () => Promise<string> };
    const ports = [await freePort(), await freePort()] as const;
    const server = new Valkey(await ensureValkey(), ...ports, folder, options);
    await server.restart();
    return server;
  }

  /** @param who `user:password@` */
  public url(who = ''): string {
    return `redis://${who}127.0.0.1:${this.port}`;
  }

  /** The same over TLS, with the certificate of the tests. */
  public secureUrl(who = ''): string {
    return `rediss://${who}127.0.0.1:${this.tlsPort}`;
  }

  /** Starts it, with what it has written to disk. */
  public async restart(): Promise<void> {
    const settings = ['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.folder];
    const tls = [
      ...['--tls-port', String(this.tlsPort), '--tls-auth-clients', 'no'],
      ...['--tls-cert-file', certificate, '--tls-key-file', join(dirname(certificate), 'key.pem')],
    ];
    this.process = spawn(
      this.program,
      [...settings, ...tls, '--appendonly', 'yes', '--save', '', ...this.options],
      { stdio: 'ignore' },
    );
    const { process } = this;
    while (!(await answers(this.port))) {
      if (process.exitCode !== null) {
        throw new Error(`${this.program} ended with ${process.exitCode}`);
      }
      await setTimeout(20);
    }
  }

  public async stop(): Promise<void> {
    const running = this.process;
    if (running?.exitCode === null) {
      const ended = once(running, 'exit');
      running.kill('SIGTERM');
      await ended;
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

/** True if it answers, and has loaded its data from disk. */
async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    socket.write('PING\r\n');
    const [reply] = (await once(socket, 'data')) as [Buffer];
    return !reply.toString().startsWith('-LOADING');
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
