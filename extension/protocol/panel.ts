import {
  array,
  base64,
  integer,
  literal,
  number,
  object,
  pipe,
  string,
  unknown,
  variant,
} from 'valibot';
import type { GenericSchema, InferOutput } from 'valibot';

/** Functions by name that a panel can call on its host. */
export type CallsOf<C> = { readonly [K in keyof C]: (...args: never[]) => unknown };

/** The arguments of every call, checked by the host. */
export type CallSchemas<C extends CallsOf<C>> = {
  readonly [K in keyof C]: GenericSchema<unknown, Parameters<C[K]>>;
};

/** Result of a call. */
export type Answer = { readonly ok: unknown } | { readonly error: string };

/** Texts by which a panel is found again after a reload of the window. */
export type Restore = Readonly<Record<string, string>>;

/** host → webview; long messages are split into pieces. */
export type ToPanel<State> =
  | { readonly type: 'state'; readonly state: State; readonly restore: Restore }
  | {
      readonly type: 'patch';
      readonly patch: Partial<State>;
      /** Fields that became undefined, which JSON leaves out. */
      readonly cleared: readonly (keyof State)[];
      /** Entries to add to fields that are records, or to replace there. */
      readonly added: Partial<State>;
      readonly restore: Restore;
    }
  | { readonly type: 'answer'; readonly id: number; readonly answer: Answer };

/** Piece of a {@link ToPanel} as JSON text, because the editor takes ten times as long to transfer an object. */
export interface PieceToPanel {
  readonly type: 'piece';
  readonly sent: string;
}

/** webview → host */
export const fromPanel = variant('type', [
  object({ type: literal('ready') }),
  object({
    type: literal('call'),
    id: pipe(number(), integer()),
    name: string(),
    args: array(unknown()),
  }),
  // A chart for which the clipboard was closed: a PNG in base64.
  object({ type: literal('image'), png: pipe(string(), base64()) }),
]);
export type FromPanel = InferOutput<typeof fromPanel>;
