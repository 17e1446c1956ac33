import { env, l10n } from 'vscode';
import type { JobRecord } from '../jobs/job-record';
import { escapeMarkdown } from './markdown-table';
import type { Reports } from './reports';

/** Shows the request, the log and the result of a job. */
export async function openJobLog(reports: Reports, job: JobRecord): Promise<void> {
  await reports.showText(l10n.t('{0}, log', job.title), job.id, jobLog(job));
}

function jobLog({
  title,
  result,
  message,
  saved,
  warnings,
  log,
  outputs,
  request,
}: JobRecord): string {
  const paragraphs = [result ?? message, saved, ...outputs].filter((part) => part !== undefined);
  return [
    `# ${escapeMarkdown(title)}`,
    ...paragraphs.map(escapeMarkdown),
    ...warnings.map((warning) => `> ⚠ ${escapeMarkdown(warning)}`),
    `## ${l10n.t('Log')}`,
    log
      .map(
        ({ time, text }) =>
          `- ${new Date(time).toLocaleTimeString(env.language)} ${escapeMarkdown(text)}`,
      )
      .join('\n'),
    `## ${l10n.t('Request')}`,
    `\`\`\`json\n${JSON.stringify(request, undefined, 2)}\n\`\`\``,
    '',
  ].join('\n\n');
}
