import fs from 'node:fs';

type Method = (...args: unknown[]) => unknown;
type Methods = Record<string, Method | undefined>;
type ReadDone = (error: unknown, bytes?: number, buffer?: NodeJS.ArrayBufferView) => void;
type ReadArguments = [number, NodeJS.ArrayBufferView, number, number, number];

/** As a promise that is settled already; an error becomes a rejection. */
const settled =
  (method: Method): Method =>
  async (...args) =>
    Promise.resolve(method(...args));

/** An open file, as far as parsers use it. */
const makeHandle = (fd: number): object => ({
  fd,
  read: settled((...[buffer, offset, length, position]) => ({
    bytesRead: fs.readSync(...([fd, buffer, offset, length, position] as ReadArguments)),
    buffer,
  })),
  readFile: settled(() => fs.readFileSync(fd)),
  stat: settled(() => fs.fstatSync(fd)),
  close: settled(() => {
    fs.closeSync(fd);
  }),
});

/**
 * Lets `node:fs/promises` read on this thread. For a small file in memory, handing each call to another thread and
 * waiting takes longer than its parser.
 */
export function readDirectly(): void {
  const promises = fs.promises as unknown as Methods;
  const files = fs as unknown as Methods;
  for (const name of ['access', 'lstat', 'readdir', 'readFile', 'stat']) {
    const method = files[`${name}Sync`];
    if (method !== undefined) promises[name] = settled(method);
  }
  promises['realpath'] = settled(fs.realpathSync.native as Method);
  promises['open'] = settled((path, flags) =>
    makeHandle(fs.openSync(String(path), flags as fs.OpenMode)),
  );
  // Archive extraction reads this way.
  files['read'] = (...args) => {
    const done = args.pop() as ReadDone;
    const [fd, buffer, ...place] = args as ReadArguments;
    try {
      const bytes = fs.readSync(fd, buffer, ...place);
      process.nextTick(done, null, bytes, buffer);
    } catch (error) {
      process.nextTick(done, error);
    }
  };
}
