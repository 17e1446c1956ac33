import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root of the checkout. */
export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/[\\/]$/, '');

/** @type {typeof import('../../package.json')} */
export const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
