import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import {
  compressionChoiceSchema,
  formatCompression,
  parseCompression,
} from '../../../extension/core/tensornet/compression-choice';
import type { CompressionRequest } from '../../../extension/core/tensornet/compression-choice';

describe('a compression as people write it', () => {
  it.each([
    ['lowrank:512', { method: 'lowrank', setting: 512 }],
    ['mpo', { method: 'mpo' }],
    ['mpo:10%', { method: 'mpo', ratio: 0.1 }],
    ['mpo:12.5%:scaled', { method: 'mpo', ratio: 0.125, variant: 'scaled' }],
    ['int8', { method: 'int8' }],
    ['int8:0', { method: 'int8', setting: 0 }],
    ['int4:gptq-asymmetric', { method: 'int4', variant: 'gptq-asymmetric' }],
    [' int4:128:rtn ', { method: 'int4', setting: 128, variant: 'rtn' }],
    [
      'lowrank:50%:covariance+int4',
      { method: 'lowrank', ratio: 0.5, variant: 'covariance', then: 'int4' },
    ],
    ['gguf:Q4_K', { method: 'gguf', setting: 12 }],
    ['gguf:IQ4_XS:plain', { method: 'gguf', setting: 23, variant: 'plain' }],
    ['lowrank:32+int8', { method: 'lowrank', setting: 32, then: 'int8' }],
  ])('%s is read', (text, expected) => {
    expect(parseCompression(text)).toEqual(expected);
    expect(parseCompression(formatCompression(expected as CompressionRequest))).toEqual(expected);
  });

  it.each([
    ['int5:32', { code: 'compression-malformed' as const }],
    ['', { code: 'compression-malformed' as const }],
    ['lowrank:', { code: 'compression-malformed' as const }],
    ['lowrank:0', { code: 'compression-malformed' as const }],
    ['int4:24', { code: 'compression-malformed' as const }],
    ['int4:0', { code: 'compression-malformed' as const }],
    ['gguf:IQ1_S', { code: 'compression-malformed' as const }],
    ['int4:Q4_K', { code: 'compression-malformed' as const }],
    ['int8:8', { code: 'compression-malformed' as const }],
    ['mpo:0%', { code: 'compression-malformed' as const }],
    ['mpo:120%', { code: 'compression-malformed' as const }],
    ['lowrank:8+mpo', { code: 'compression-malformed' as const }],
  ])('%s is rejected, with the valid syntax', (text, message) => {
    expect(() => parseCompression(text)).toFailWith(message);
    expect(() => parseCompression(text)).toFailWith({ code: 'compression-malformed' });
  });
});

describe('an entry of a plan', () => {
  const parse = (entry: unknown): boolean => v.safeParse(compressionChoiceSchema, entry).success;

  it('is parsed with all of its parts', () => {
    expect(parse({ tensor: 'w', method: 'mpo', setting: 8, sites: 2, variant: 'scaled' })).toBe(
      true,
    );
    const sites = { out: [2, 3], in: [3, 5] };
    expect(parse({ tensor: 'w', method: 'mpo', setting: 8, sites })).toBe(true);
    expect(parse({ tensor: 'w', method: 'lowrank', setting: 8, then: 'int4' })).toBe(true);
    expect(parse({ tensor: 'w', method: 'int8', setting: 0 })).toBe(true);
  });

  it('is refused with an unknown method, setting or field', () => {
    expect(parse({ tensor: 'w', method: 'svd', setting: 8 })).toBe(false);
    expect(parse({ tensor: 'w', method: 'int4', setting: 48 })).toBe(false);
    expect(parse({ tensor: 'w', method: 'lowrank', setting: 1.5 })).toBe(false);
    expect(parse({ tensor: 'w', method: 'lowrank', setting: 4, rank: 4 })).toBe(false);
    expect(parse({ method: 'lowrank', setting: 4 })).toBe(false);
    expect(parse({ tensor: 'w', method: 'mpo', setting: 4, sites: { out: [6], in: [6] } })).toBe(
      false,
    );
  });
});
