// Loaded into a Node process and those that it starts: writes a line to a file for each host that the process looks up or talks to.
import childProcess from 'node:child_process';
import dgram from 'node:dgram';
import dns from 'node:dns';
import { appendFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import { basename } from 'node:path';
import process from 'node:process';

const file = process.env['ESPALIER_CONNECTIONS'] ?? '';
/** Node arguments that load this module, and others, into a process. */
const imports = process.env['ESPALIER_IMPORTS'] ?? '';
const script = basename(process.argv[1] ?? 'node');
// The editor's own processes share a script, and are distinguished by a variable.
const name = script.startsWith('bootstrap-fork')
  ? basename(process.env['VSCODE_ESM_ENTRYPOINT'] ?? script)
  : script;

/** @param {unknown} host */
function tell(host) {
  if (typeof host === 'string' && host !== '') write({ host });
}

/** @param {{host?: string}} line */
function write(line) {
  appendFileSync(file, `${JSON.stringify({ ...line, by: name })}\n`);
}

/**
 * Tells of each call of a function, then calls it.
 * @param {Record<string, any>} owner
 * @param {string} method
 * @param {(args: any[]) => unknown} hostOf
 */
function watch(owner, method, hostOf) {
  const original = owner[method];
  owner[method] = function (/** @type {any[]} */ ...args) {
    tell(hostOf(args));
    return Reflect.apply(original, this, args);
  };
}

// Set here because the editor removes it from the environment.
const { ChildProcess } = childProcess;
const spawn = ChildProcess.prototype.spawn;
ChildProcess.prototype.spawn = function (options) {
  const others = (options.envPairs ?? []).filter((pair) => !pair.startsWith('NODE_OPTIONS='));
  const own = [
    `NODE_OPTIONS=${imports}`,
    `ESPALIER_CONNECTIONS=${file}`,
    `ESPALIER_IMPORTS=${imports}`,
  ];
  return spawn.call(this, { ...options, envPairs: [...others, ...own] });
};
// Arguments come as one list where a socket is made by another module of Node.
watch(net.Socket.prototype, 'connect', (args) => {
  const [options, host] = Array.isArray(args[0]) ? args[0] : args;
  if (typeof options !== 'object') {
    return typeof options === 'number'
      ? typeof host === 'string'
        ? host
        : 'localhost'
      : undefined;
  }
  return options?.port === undefined ? undefined : (options.host ?? 'localhost');
});
watch(dgram.Socket.prototype, 'connect', ([, address]) =>
  typeof address === 'string' ? address : 'localhost',
);
watch(dgram.Socket.prototype, 'send', (args) =>
  args.slice(1).find((one) => typeof one === 'string'),
);
for (const method of ['lookup', 'resolve', 'resolve4', 'resolve6']) {
  watch(dns, method, ([host]) => host);
  watch(dns.promises, method, ([host]) => host);
}
syncBuiltinESMExports();
// So that a test can say which processes it has watched.
write({});
