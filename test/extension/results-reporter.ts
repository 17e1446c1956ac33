import { appendFileSync } from 'node:fs';
import { reporters, Runner, type MochaOptions, type Test } from 'mocha';

/** Appends each result as a line of JSON to the file that the launcher follows (test/launch/extension-host.mjs). */
export class ResultsReporter extends reporters.Base {
  public constructor(runner: Runner, options?: MochaOptions) {
    super(runner, options);
    const file = process.env['ESPALIER_TEST_RESULTS'];
    if (file === undefined) throw new Error('ESPALIER_TEST_RESULTS names no file');
    const write = (state: string, test?: Test, error?: Error): void => {
      const result = {
        state,
        title: test?.fullTitle() ?? '',
        milliseconds: test?.duration ?? 0,
        error: error?.stack ?? error?.message,
      };
      appendFileSync(file, `${JSON.stringify(result)}\n`);
    };
    const events = Runner.constants;
    runner.on(events.EVENT_TEST_PASS, (test: Test) => {
      write('passed', test);
    });
    runner.on(events.EVENT_TEST_FAIL, (test: Test, error: Error) => {
      write('failed', test, error);
    });
    runner.on(events.EVENT_TEST_PENDING, (test: Test) => {
      write('skipped', test);
    });
    runner.on(events.EVENT_RUN_END, () => {
      write('end');
    });
  }
}
