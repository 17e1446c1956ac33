import process from 'node:process';
import type { StageProgress } from '../core/jobs/job';
import { inEnglish } from '../core/message';

const barWidth = 24;

/** A stream that text is written to. */
type Output = Pick<NodeJS.WriteStream, 'write' | 'isTTY' | 'columns'>;

/** What the command line writes: results on standard output, all else on standard error. */
export class Terminal {
  private barShown = false;
  private readonly started = performance.now();

  public constructor(
    private readonly out: Output = process.stdout,
    private readonly err: Output = process.stderr,
  ) {}

  /** Whether colours are wanted on standard output. */
  public get hasColour(): boolean {
    const forced = process.env['FORCE_COLOR'];
    return forced === undefined
      ? this.out.isTTY && process.env['NO_COLOR'] === undefined
      : forced !== '0';
  }

  public print(text = ''): void {
    this.write(`${text}\n`);
  }

  /** Writes what ends its lines itself. */
  public write(text: string): void {
    this.clearBar();
    this.out.write(text);
  }

  public note(text: string): void {
    this.clearBar();
    this.err.write(`${text}\n`);
  }

  /** Draws the bar over itself; nothing where there is no terminal. */
  public progress({ stage, done, total, unit }: StageProgress): void {
    if (!this.err.isTTY) {
      return;
    }
    const share = total > 0 ? Math.min(1, done / total) : 0;
    const filled = Math.round(share * barWidth);
    const bar = '█'.repeat(filled) + '░'.repeat(barWidth - filled);
    const percent = `${Math.floor(share * 100)} %`.padStart(5);
    const seconds = ((performance.now() - this.started) / 1000).toFixed(0);
    const line = `${bar} ${percent}  ${inEnglish(stage)} · ${done}/${total} ${unit} · ${seconds} s`;
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
