/** A message of the host that replaces fields of its state; those that became undefined are named. */
interface Patch<State> {
  readonly patch: Partial<State>;
  readonly cleared: readonly (keyof State)[];
}

/** The host's state after a patch. */
export function patched<State extends object>(
  state: State,
  { patch, cleared }: Patch<State>,
): State {
  const gone = Object.fromEntries(cleared.map((field) => [field, undefined])) as Partial<State>;
  return { ...state, ...patch, ...gone };
}
