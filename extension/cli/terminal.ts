import process from 'node:process';
import type { StageProgress } from '../core/jobs/job';
import { englishInJson, inEnglish } from '../core/message';
import { printable, printableText } from '../core/printable';

const barWidth = 24;

/** A stream that text is written to. */
type Output = Pick<NodeJS.WriteStream, 'write' | 'isTTY' | 'columns'>;

/** A text, and its color as parameters of the escape sequence SGR. */
export interface StyledText {
  readonly text: string;
  readonly style?: string;
}

/** Characters that a terminal could act on, which JSON can write as escapes. */
const unseen = /[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}]/gu;

/**
 * Output of the command line: results on standard output, all else on standard error. Control characters in texts are
 * escaped here, as names from a file could otherwise move the cursor, set the title or hide what is written.
 */
export class Terminal {
  private barShown = false;
  private readonly started = performance.now();

  public constructor(
    private readonly out: Output = process.stdout,
    private readonly err: Output = process.stderr,
  ) {}

  /** True if standard output should be colored. */
  public get hasColor(): boolean {
    const forced = process.env['FORCE_COLOR'];
    return forced === undefined
      ? this.out.isTTY && process.env['NO_COLOR'] === undefined
      : forced !== '0';
  }

  public print(text = ''): void {
    this.write(`${text}\n`);
  }

  /** Prints a line with colors. */
  public printStyled(parts: readonly StyledText[]): void {
    const line = parts.map(({ text, style }) =>
      style === undefined ? printableText(text) : `\u001b[${style}m${printableText(text)}\u001b[0m`,
    );
    this.clearBar();
    this.out.write(`${line.join('')}\n`);
  }

  /** Prints a value as JSON, messages in English. */
  public printJson(value: unknown): void {
    const json = JSON.stringify(value, englishInJson, 2);
    const escaped = json.replaceAll(unseen, (character) =>
      Array.from({ length: character.length }, (_, i) => character.charCodeAt(i))
        .map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`)
        .join(''),
    );
    this.clearBar();
    this.out.write(`${escaped}\n`);
  }

  /** Writes text that has its own line endings, such as CSV. */
  public write(text: string): void {
    this.clearBar();
    this.out.write(text.split('\r\n').map(printableText).join('\r\n'));
  }

  public note(text: string): void {
    this.clearBar();
    this.err.write(`${printableText(text)}\n`);
  }

  /** Redraws the progress bar; nothing without a terminal. */
  public progress({ stage, done, total, unit }: StageProgress): void {
    if (!this.err.isTTY) {
      return;
    }
    const share = total > 0 ? Math.min(1, done / total) : 0;
    const filled = Math.round(share * barWidth);
    const bar = '█'.repeat(filled) + '░'.repeat(barWidth - filled);
    const percent = `${Math.floor(share * 100)} %`.padStart(5);
    const seconds = ((performance.now() - this.started) / 1000).toFixed(0);
    const line = `${bar} ${percent}  ${printable(inEnglish(stage))} · ${done}/${total} ${unit} · ${seconds} s`;
    this.err.write(`\r\u001b[2K${line.slice(0, (this.err.columns || 80) - 1)}`);
    this.barShown = true;
  }

  public clearBar(): void {
    if (this.barShown) {
      this.err.write('\r\u001b[2K');
      this.barShown = false;
    }
  }
}
