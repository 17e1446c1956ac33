import { expect, it } from 'vitest';
import { PanelSession } from '../../../extension/services/sessions/panel-session';
import { reactive } from '../../../extension/services/sessions/reactive';

interface CountState {
  readonly total: number;
  readonly isMany: boolean;
  readonly entries: Readonly<Record<string, number>>;
}

class CountSession extends PanelSession<CountState> {
  public computed = 0;
  public readonly fields = reactive<{ counts: Readonly<Record<string, number>> }>({ counts: {} });
  protected override readonly records = ['entries'] as const;
  protected readonly parts = {
    total: () => {
      this.computed++;
      return Object.values(this.fields.counts).reduce((sum, count) => sum + count, 0);
    },
    isMany: () => this.read(['total']).total > 5,
    entries: () => this.fields.counts,
  };
}

function started() {
  const session = new CountSession();
  const heard: unknown[] = [];
  session.changed.listen((fields) => heard.push(...fields));
  session.grown.listen(({ key }) => heard.push(`+${key}`));
  return { session, heard };
}

it('a session reports changed fields, and changed entries of a record', () => {
  const { session, heard } = started();
  session.fields.counts = { a: 1 };
  expect(heard.splice(0)).toEqual(['total', '+a']);
  session.fields.counts = { a: 1, b: 7 };
  expect(heard.splice(0)).toEqual(['total', 'isMany', '+b']);
  session.fields.counts = { b: 8 };
  expect(heard).toEqual(['entries']);
});

it('a session computes a field once for each change, and only if somebody listens', () => {
  const { session } = started();
  session.computed = 0;
  session.fields.counts = { a: 1 };
  session.snapshot();
  expect(session.computed).toBe(1);
  const silent = new CountSession();
  silent.fields.counts = { a: 1 };
  expect(silent.computed).toBe(0);
});
