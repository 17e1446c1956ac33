import type { Dirent } from 'node:fs';

const names: ReadonlySet<string> = new Set(['.DS_Store', 'Thumbs.db', 'desktop.ini']);

/** True for a file that the operating system puts into folders that somebody opens. It is nobody's work. */
export const isSystemFile = (entry: Dirent): boolean => entry.isFile() && names.has(entry.name);
