import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { printHeatmap } from '../../../extension/cli/heatmap';
import { printTable } from '../../../extension/cli/table';
import { Terminal } from '../../../extension/cli/terminal';
import { say } from '../../../extension/core/message';
import { UserError } from '../../../extension/core/user-error';

it('draws the progress of a stage in a line as wide as the terminal', () => {
  const err = Object.assign(new PassThrough(), { isTTY: true, columns: 60 });
  const terminal = new Terminal(new PassThrough() as never, err);
  const stage = say`Reading ${say`inputs`}`;
  terminal.progress({ stage, done: 1, total: 4, unit: 'steps' });
  const line = String(err.read());
  expect(line).toMatch(/█{6}░{18} {2}25 % {2}Reading inputs · 1\/4 steps/);
  terminal.progress({ stage: say`${'x'.repeat(80)}`, done: 1, total: 4, unit: 'steps' });
  expect(String(err.read()).replace('\r\u001b[2K', '')).toHaveLength(59);
});

describe('text from a file', () => {
  const hostile = 'a\u001b]0;title\u0007\u001b[2J\u001b]8;;http://x\u001b\\link\u009b1m\u202eb\r';

  function written(show: (terminal: Terminal) => void): string {
    let all = '';
    const to = {
      isTTY: true,
      columns: 300,
      write: (text: unknown) => Boolean((all += String(text))),
    };
    show(new Terminal(to, to));
    return all;
  }

  it.each<[string, (terminal: Terminal) => void]>([
    [
      'results',
      (terminal) => {
        terminal.print(hostile);
      },
    ],
    [
      'output of a program',
      (terminal) => {
        terminal.write(hostile);
      },
    ],
    [
      'notes',
      (terminal) => {
        terminal.note(hostile);
      },
    ],
    [
      'tables',
      (terminal) => {
        printTable(terminal, ['name'], [[`${hostile}\nmore`]]);
      },
    ],
    [
      'JSON',
      (terminal) => {
        terminal.printJson({ [hostile]: [hostile, say`${hostile}`] });
      },
    ],
    [
      'errors',
      (terminal) => {
        terminal.note(
          new UserError('value-invalid', say`It is ${hostile}.`, {
            file: hostile,
            field: hostile,
            remedy: undefined,
          }).message,
        );
      },
    ],
    [
      'heatmaps',
      (terminal) => {
        printHeatmap(terminal, {
          ...{ kind: 'heatmap', blocks: [0], caption: hostile, format: String },
          lines: [{ name: hostile, cells: new Map() }],
        });
      },
    ],
  ])('cannot control the terminal: %s', (_, show) => {
    const text = written(show).replaceAll(/\u001b\[(?:3|4)8;[\d;]*m|\u001b\[0m/g, '');
    // The line ends of CSV are harmless.
    expect(text.replaceAll('\r\n', '\n')).not.toMatch(/[^\P{Cc}\n]|[\u202e]/u);
    expect(text).toContain('title');
  });

  it('cannot control it as the name of a stage', () => {
    const stage = say`Reading ${hostile}`;
    const text = written((terminal) => {
      terminal.progress({ stage, done: 1, total: 4, unit: 'steps' });
    });
    expect(text.replace('\r\u001b[2K', '')).not.toMatch(/\p{Cc}/u);
  });

  it('stays the same in JSON', () => {
    const value = { [hostile]: ['🙂\n\u{e0001}', hostile] };
    expect(
      JSON.parse(
        written((terminal) => {
          terminal.printJson(value);
        }),
      ),
    ).toEqual(value);
  });

  it('of several lines keeps them', () => {
    expect(
      written((terminal) => {
        terminal.print('one\n\ttwo 🙂');
      }),
    ).toBe('one\n\ttwo 🙂\n');
  });
});
