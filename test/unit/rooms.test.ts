import { readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { globSync } from 'glob';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { repositoryRoot } from './fixtures';
