import type { Dirent } from 'node:fs';

const names: ReadonlySet<string> = new Set(['.DS_Store', 'Thumbs.db', 'desktop.ini']);

/** True for files that the operating system creates in folders, such as `.DS_Store`. */
export const isSystemFile = (entry: Dirent): boolean => entry.isFile() && names.has(entry.name);
