/** Name of each path: its last part, with as many folders in front as tell it from the others. */
export function distinctNames(paths: readonly string[]): ReadonlyMap<string, string> {
  const all = [...new Set(paths)];
  const lastParts = (path: string, parts: number): string =>
    path.split('/').slice(-parts).join('/');
  return new Map(
    all.map((path) => {
      const most = path.split('/').length;
      let parts = 1;
      const isShared = (): boolean =>
        all.some((other) => other !== path && lastParts(other, parts) === lastParts(path, parts));
      while (parts < most && isShared()) {
        parts++;
      }
      return [path, lastParts(path, parts)];
    }),
  );
}
