import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { LayerProfile } from '../../../extension/core/prune/layer-profile';
import type { ModelComparison } from '../../../extension/core/inspect/model-comparison';
import { comparisonReport } from '../../../extension/core/report/contents/of-comparison';
import { experimentReport } from '../../../extension/core/report/contents/of-experiment';
import { sensitivityHeatmap } from '../../../extension/core/report/contents/of-sensitivity';
import { logarithmicShares, reportMark } from '../../../extension/core/report/report';
import { toHtml } from '../../../extension/core/report/to-html';
import { toMarkdown } from '../../../extension/core/report/to-markdown';
import { runCli } from '../cli/run-cli';
import { fixture } from '../fixtures';
import { prune } from '../export/pruning';
import { temporaryFolder } from '../temporary-folder';

const model = fixture('llama-gqa-untied');
const folder = temporaryFolder();
const profile = join(folder, 'tiny.layerprofile.json');
const small = ['--calibration', 'random', '--sequences', '2', '--length', '16', '--device', 'cpu'];

async function ran(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runCli(args);
  expect(code, stderr).toBe(0);
  return stdout;
}

/** Markup without the spaces that only lay it out. */
const dense = (html: string): string =>
  html
    .replace(/\s+/g, ' ')
    .replace(/ ?([<>]) ?/g, '$1')
    .replace(/(?<=") (?=\/?>)/g, '');

/** A report by the command line, as a text. */
async function reported(about: string, name: string): Promise<string> {
  const out = join(folder, name);
  const result = JSON.parse(await ran('report', about, '--out', out, '--json')) as object;
  const text = await readFile(out, 'utf8');
  expect(result).toMatchObject({ path: out, bytes: Buffer.byteLength(text) });
  return text;
}

beforeAll(async () => {
  await ran('profile', model, ...small, '--remove', '3', '--out', profile);
});

describe('a report', () => {
  it('of a profile is one page that loads nothing, with all that was measured', async () => {
    const html = dense(await reported(profile, 'profile.html'));
    const { rounds, candidates, baselines } = JSON.parse(
      await readFile(profile, 'utf8'),
    ) as LayerProfile;
    expect(html).toContain('<h1>Layer profile of llama-gqa-untied</h1>');
    expect(html).not.toMatch(/https?:|<script|<link|<img|@import|url\(/);
    expect(html).toContain("default-src 'none'");
    // A color for each distance, and the place in the order in those that go.
    expect(html.match(/<td title=/g)).toHaveLength(candidates.length);
    for (const [i, { removed, distance }] of rounds.entries()) {
      expect(html).toContain(`<td>${removed}</td>`);
      expect(html).toContain(`<td class="number">${distance.toPrecision(3)}</td>`);
      expect(html).toMatch(new RegExp(`color:#(?:000|fff)">${i + 1}</td>`));
    }
    const series = 1 + Object.keys(baselines).length;
    expect(html.match(/<circle /g)).toHaveLength(series * rounds.length);
  });

  it('is recognized by its content, with any name', async () => {
    const named = join(folder, 'other.json');
    await writeFile(named, await readFile(profile));
    expect(await reported(named, 'other.html')).toBe(await reported(profile, 'same.html'));
  });

  it('of a profile is written as Markdown, with its tables', async () => {
    const text = await reported(profile, 'profile.md');
    expect(text).toContain('# Layer profile of llama-gqa-untied');
    expect(text).toMatch(/\| round \| removed \| search \| one-shot \|.*\n\|--:\|---\|--:\|/);
    expect(text.replace(reportMark, '')).not.toContain('<');
  });

  it('of a written model lists removed parts, and of its plan planned removals', async () => {
    const out = join(folder, 'pruned');
    const plan = join(folder, 'tiny.plan.json');
    await ran('plan', model, '--profile', profile, '--remove', '2', '--out', plan);
    await ran('apply', plan, '--out', out, '--device', 'cpu');
    const { removed } = JSON.parse(await readFile(join(out, 'espalier.json'), 'utf8')) as {
      readonly removed: readonly string[];
    };
    expect(removed).toHaveLength(2);
    const [written, planned] = [
      dense(await reported(out, 'm.html')),
      dense(await reported(plan, 'p.html')),
    ];
    for (const id of removed) {
      expect(written).toContain(`<td>${id}</td>`);
      expect(planned).toContain(`<td>${id}</td>`);
    }
    expect(written).toMatch(/Checked after writing.*Verified: it opens and runs, top-1 agreement/);
  });

  it('of two models lists missing parts, differences of weights, and the loss', async () => {
    const [original, smaller] = [model, join(folder, 'pruned')];
    const out = join(folder, 'two.html');
    await ran('report', smaller, '--against', original, '--weights', '--out', out);
    const html = dense(await readFile(out, 'utf8'));
    expect(html).toContain('<h1>pruned against llama-gqa-untied</h1>');
    expect(html).toContain('Sublayers only in llama-gqa-untied');
    expect(html).toMatch(/<dt>Parameters<\/dt><dd>[\d.]+ K → [\d.]+ K \(−\d+ %\)<\/dd>/);
    expect(html).toMatch(/(\d+) of \1 compared tensors have the same/);
    expect(html).not.toContain('<table class="heatmap">');
    // Blocks that were numbered anew are compared with those that they were.
    const shorter = join(folder, 'shorter');
    await prune(original, ['block.1.attention', 'block.1.feedforward'], shorter);
    await ran('report', shorter, '--against', original, '--weights', '--out', out);
    expect(await readFile(out, 'utf8')).toMatch(/(\d+) of \1 compared tensors have the same/);
    const { code, stderr } = await runCli(['report', smaller, '--quality', '--out', out]);
    expect(code).toBe(2);
    expect(stderr).toContain('--quality needs --against');
  });

  it('of an evaluation contains the measurements of both models, and the verdicts', async () => {
    const heldOutFile = join(folder, 'held-out.txt');
    await writeFile(heldOutFile, 'the quick brown fox jumps over the lazy dog. '.repeat(40));
    const saved = join(folder, 'two.evaluation.json');
    const against = [
      '--against',
      model,
      '--require',
      'perplexity<+10%,agreement>1%',
      '--device',
      'cpu',
    ];
    const evaluated = ['evaluate', join(folder, 'pruned'), '--text', heldOutFile, ...against];
    const { stdout, stderr } = await runCli([...evaluated, '--out', saved, '--json']);
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual(JSON.parse(await readFile(saved, 'utf8')));
    const text = await reported(saved, 'evaluation.md');
    expect(text).toContain('# Evaluation of pruned against llama-gqa-untied');
    expect(text).toMatch(/\| llama-gqa-untied \| [\d.]+ \| \d+ \|/);
    expect(text).toMatch(/\| perplexity\\?<\+10% \| [+−][\d.]+ % \|/);
    expect(text).toMatch(/\| agreement\\?>1% \| [\d.]+ % \| [\d.]+ to [\d.]+ % \|/);
    expect(text).toMatch(
      /KL divergence: [\d.]+ nats per token \(95 % interval [\d.]+ to [\d.]+\)\./,
    );
    expect(text).toMatch(/Top-1 agreement: [\d.]+ % \(95 % interval [\d.]+ to [\d.]+ %\)\./);
    // As a script has redirected it, under another name.
    const redirected = join(folder, 'out.json');
    await writeFile(redirected, stdout);
    expect(dense(await reported(redirected, 'evaluation.html'))).toMatch(/<h2>Verdict: /);
  });

  it('of two models with their perplexities has the interval of the change', () => {
    const side = { format: 'safetensors', family: 'llama', parameters: 4, bytes: 8, tensors: 2 };
    const makeReport = (tensor: string) =>
      comparisonReport(
        {
          model: { name: 'small', path: 'small', blocks: 1, ...side },
          against: { name: 'whole', path: 'whole', blocks: 2, ...side },
          config: [{ field: 'num_hidden_layers', model: '1', against: '2' }],
          ...{ metadata: [], forms: [], sameForm: 1 },
          weights: {
            tensors: [
              {
                name: tensor,
                ...{ maxAbsolute: 1, relativeFrobenius: 0.25, cosine: 0.9 },
              },
            ],
            ...{ equal: 0, skipped: [] },
          },
          ...{ sublayers: { model: [], against: [] }, tensors: { model: [], against: [] } },
        } as ModelComparison,
        {
          ...{ perplexity: 33, tokens: 100, tokensPerSecond: 50 },
          against: { perplexity: 30, tokens: 100, tokensPerSecond: 40 },
          perplexityRatio: { value: 1.1, low: 1.05, high: 1.15 },
        },
        '1.2.3',
      );
    const report = makeReport('model.layers.0.mlp.up_proj.weight');
    const text = toMarkdown(report).replaceAll('\u00a0', ' ');
    expect(text).toContain('Perplexity +10 % on held-out text');
    expect(text).toContain('+5.0 % to +15 %');
    expect(text).toContain('| num\\_hidden\\_layers | 2 | 1 |');
    const figures = (name: string) =>
      makeReport(name).sections.flatMap(({ figure }) => figure?.kind ?? []);
    expect(figures('model.layers.0.mlp.up_proj.weight')).toEqual(['heatmap']);
    // Tensors outside the blocks are in the table only.
    expect(figures('model.embed_tokens.weight')).toEqual([]);
  });

  it('of anything else is refused with the supported types', async () => {
    const readme = join(folder, 'README.md');
    await writeFile(readme, 'text');
    const refused = await runCli(['report', readme, '--out', join(folder, 'r.html')]);
    expect(refused).toMatchObject({ code: 1 });
    expect(refused.stderr).toContain('.layerprofile.json, .sensitivity.json, .plan.json');
    const format = await runCli(['report', profile, '--out', join(folder, 'r.pdf')]);
    expect(format).toMatchObject({ code: 1 });
    expect(format.stderr).toContain('.html or .md');
  });
});

describe('an experiment', () => {
  const report = experimentReport({
    dataset: { name: '<b>cats & "dogs"</b>', fingerprint: 'abc', examples: 1000 },
    request: { iso: 'steps', seeds: 3 },
    rows: [
      { choice: 'el2n', keep: 0.5, examples: 500, mean: 0.91, deviation: 0.01 },
      { choice: 'el2n', keep: 0.25, examples: 250, mean: 0.8 },
      { choice: 'random', keep: 0.5, examples: 500, mean: 0.7, deviation: 0.02 },
    ],
  });

  it('draws a line for each subset, with deviations', () => {
    const html = dense(toHtml(report));
    const paths = [...html.matchAll(/<g class="series-\d"><path class="line" d="([^"]+)"/g)];
    expect(paths).toHaveLength(2);
    // From the smaller share to the larger, and up with accuracy.
    const [from, to] = [...(paths[0]?.[1] ?? '').matchAll(/([\d.]+) ([\d.]+)/g)].map((at) => ({
      x: Number(at[1]),
      y: Number(at[2]),
    }));
    expect(to?.x).toBeGreaterThan(from?.x ?? Infinity);
    expect(to?.y).toBeLessThan(from?.y ?? 0);
    expect(html.match(/<path class="spread" d="M/g)).toHaveLength(2);
  });

  it('escapes names', () => {
    expect(toHtml(report)).toContain('&lt;b&gt;cats &amp; &quot;dogs&quot;&lt;/b&gt;');
    expect(toMarkdown(report)).toContain('\\<b\\>cats & "dogs"');
  });
});

it('a cell of a sensitivity profile is the mean over the experts of a block', () => {
  const layer = (distance: number): object => ({
    ...{ block: 0, role: 'up', bytes: 100 },
    entries: [{ method: 'int4', bytes: 50, distance }],
  });
  const profile = { layers: [layer(0.3), layer(0.5)], original: 0.1 };
  const { lines } = sensitivityHeatmap(profile as never, 'int4');
  expect(lines[0]?.cells.get(0)?.value).toBeCloseTo(0.3);
});

describe('shares of a heatmap', () => {
  it('use a logarithmic scale, and are 0 for values up to 0', () => {
    const { low, high, shareOf } = logarithmicShares([0.01, null, 1, 0]);
    expect([low, high]).toEqual([expect.closeTo(0.01), expect.closeTo(1)]);
    expect(shareOf(0.1)).toBeCloseTo(0.5);
    expect([shareOf(null), shareOf(0)]).toEqual([0, 0]);
    expect(logarithmicShares([0, null])).toMatchObject({ low: 0, high: 0 });
  });
});
