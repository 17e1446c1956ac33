import { basename, dirname, extname, join, resolve } from 'node:path';
import * as v from 'valibot';
import { documentIds, documentNames, findDocumentType, manifestName } from '../document-names';
import type { DocumentId } from '../document-names';
import { readDocument } from '../documents/document-types';
import { evaluateModels } from '../evaluate/evaluate-models';
import type { CompareRequest } from '../inspect/model-comparison';
import { writeText } from '../jobs/write-document';
import { say } from '../message';
import { readManifest } from '../pipelines/manifest-file';
import { comparisonReport } from '../report/contents/of-comparison';
import { evaluationReport } from '../report/contents/of-evaluation';
import { experimentReport } from '../report/contents/of-experiment';
import { modelReport } from '../report/contents/of-model';
import { planReport } from '../report/contents/of-plan';
import { profileReport } from '../report/contents/of-profile';
import { sensitivityReport } from '../report/contents/of-sensitivity';
import type { Report } from '../report/report';
import { toHtml } from '../report/to-html';
import { toMarkdown } from '../report/to-markdown';
import { UserError } from '../user-error';
import { compareRelated } from './compare-related';
import { document, flag, newFile, path } from './fields';
import { heldOutText } from './requirement-fields';
import { defineOperation } from './operation';
import type { OperationContext } from './operation';
import { allNeed } from './rules';
import { runFields, runOptions } from './shared-fields';
import { readSmallText } from '../regular-file';
import { parseJsonText } from '../parse-json';

/** Documents that reports are made from, besides models that Espalier wrote. */
const reported = ['layerProfile', 'sensitivity', 'plan', 'evaluation', 'experiment'] as const;
type Reported = (typeof reported)[number];

const contents: Readonly<Record<Reported, (file: string) => Promise<Report>>> = {
  layerProfile: async (file) => profileReport(await readDocument('layerProfile', file)),
  sensitivity: async (file) => sensitivityReport(await readDocument('sensitivity', file)),
  plan: async (file) => planReport(await readDocument('plan', file), file),
  evaluation: async (file) => evaluationReport(await readDocument('evaluation', file)),
  experiment: async (file) => experimentReport(await readDocument('experiment', file)),
};

export interface WrittenReport {
  readonly title: string;
  readonly path: string;
  readonly bytes: number;
}

export const report = defineOperation({
  id: 'report',
  title: 'Write Report',
  verb: 'Writing a report of',
  summary: 'Write a report of a profile, plan, evaluation, experiment or model, for sharing.',
  group: 'measure',
  fields: {
    about: document(reported, {
      description:
        'A *.layerprofile.json, *.sensitivity.json, *.plan.json, *.evaluation.json or *.datadiet.json, or a model that Espalier wrote; with --against, any model',
      placeholder: 'FILE',
      positional: true,
      required: true,
    }),
    against: path({
      description: 'Another model, such as the original: the report shows the differences',
      placeholder: 'MODEL2',
    }),
    weights: flag({
      description: 'Also compare the weights of the two',
      default: false,
    }),
    quality: flag({
      description: 'Also measure perplexity and speed of the two on the held-out text',
      default: false,
    }),
    out: newFile('report', {
      description:
        'Output file: .html, a self-contained file with charts, or .md, for pull requests',
      required: true,
    }),
    ...runFields,
  },
  rules: [allNeed(['weights', 'quality'], 'against'), allNeed(['device', 'memory'], 'quality')],
  result: v.looseObject({ title: v.string(), path: v.string(), bytes: v.number() }),
  trust: 'write',
  run: async (request, context): Promise<WrittenReport> => {
    const out = resolve(request.out);
    const { against, about } = request;
    const made =
      against === undefined
        ? await fileReport(resolve(about))
        : await compareAndReport({ ...request, model: about, against }, context);
    const text = out.endsWith('.md') ? toMarkdown(made) : toHtml(made);
    await writeText(out, text);
    return { title: made.title, path: out, bytes: Buffer.byteLength(text) };
  },
  presentation: {
    opens: 'report',
    outcome: ({ path: file }) => ({ summary: say`Wrote ${basename(file)}.` }),
  },
});

/** @throws UserError if one is no model. */
async function compareAndReport(
  request: CompareRequest & { readonly quality: boolean } & Parameters<typeof runOptions>[0],
  context: OperationContext,
): Promise<Report> {
  const { open, samples, version } = context.environment;
  const comparison = await compareRelated(request, context, open);
  const quality = request.quality
    ? await evaluateModels(
        {
          model: await open(request.model),
          against: await open(request.against),
          removed: [],
          text: join(samples, heldOutText),
          ...runOptions(request),
        },
        context,
      )
    : undefined;
  return comparisonReport(comparison, quality, version);
}

/** Document type by the file's `format` field, for files with other suffixes. */
async function documentFormat(file: string): Promise<DocumentId | undefined> {
  if (extname(file) !== '.json') return undefined;
  const json: unknown = await readSmallText(file)
    .then((text): unknown => parseJsonText(text))
    .catch(() => undefined);
  const { success, output } = v.safeParse(v.object({ format: v.string() }), json);
  return success ? documentIds.find((id) => documentNames[id].format === output.format) : undefined;
}

/** Markdown report of a document, or of a model that Espalier wrote. */
export const reportMarkdown = async (file: string): Promise<string> =>
  toMarkdown(await fileReport(file));

/** @throws UserError if reports of the file aren't supported */
async function fileReport(file: string): Promise<Report> {
  const id = findDocumentType(file) ?? (await documentFormat(file));
  const type = reported.find((one) => one === id);
  if (type !== undefined) {
    return contents[type](file);
  }
  const model = basename(file) === manifestName ? dirname(file) : file;
  const manifest = await readManifest(model);
  if (manifest !== undefined) {
    return modelReport(manifest, model);
  }
  const suffixes = reported.map((one) => documentNames[one].suffix);
  throw new UserError('report-unsupported', say`Reports of this file are not supported.`, {
    file,
    remedy: say`Choose a file that ends with ${suffixes.join(', ')}, or a model that Espalier wrote, with its ${manifestName}.`,
  });
}
