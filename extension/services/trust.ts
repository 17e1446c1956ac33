import { l10n, workspace } from 'vscode';
import type { Disposable } from 'vscode';
import { UserError } from '../core/user-error';

/** Where a model lies and whether the user trusts the workspace. */
export interface Circumstances {
  readonly trusted: boolean;
  /** Scheme of the model's URI; only `file` has weights that can be mapped into memory. */
  readonly scheme: string;
}

/** @throws UserError with the sentence that says why something cannot be done here, where there is one. */
export function assertAllowed(why: string | undefined): void {
  if (why !== undefined) {
    throw new UserError(why);
  }
}

/** Lets what shows why something cannot be done look again once the workspace is trusted. */
export function refreshOnTrust(
  shown: () => Iterable<{ readonly refreshBlocked: () => void }>,
): Disposable {
  return workspace.onDidGrantWorkspaceTrust(() => {
    for (const one of shown()) {
      one.refreshBlocked();
    }
  });
}

/** The sentence that says why models cannot be run here, or undefined when they can. */
export function whyBlocked({ trusted, scheme }: Circumstances): string | undefined {
  if (scheme !== 'file') {
    return whyUnreadable(scheme);
  }
  return trusted ? undefined : untrusted();
}

/** What {@link whyBlocked} says in an untrusted workspace. */
export const untrusted = (): string =>
  l10n.t('This workspace is not trusted: models can be inspected, but not run or written.');

/** The sentence that says why a data set cannot be scored or written, or undefined when it can. */
export function whyDataBlocked({ trusted, scheme }: Circumstances): string | undefined {
  if (scheme !== 'file') {
    return whyDataUnreadable(scheme);
  }
  return trusted ? undefined : untrustedData();
}

/** What {@link whyDataBlocked} says in an untrusted workspace. */
export const untrustedData = (): string =>
  l10n.t(
    'This workspace is not trusted: data maps can be looked at, but nothing is trained or written.',
  );

/** The sentence that says why no modules can be synthesized here, or undefined when they can. */
export function whySynthesisBlocked({ trusted, scheme }: Circumstances): string | undefined {
  if (scheme !== 'file') {
    return whySynthesisUnreadable(scheme);
  }
  return trusted ? undefined : untrustedSynthesis();
}

/** What {@link whySynthesisBlocked} says in an untrusted workspace. */
export const untrustedSynthesis = (): string =>
  l10n.t(
    'This workspace is not trusted: evolutions can be looked at, but nothing is trained or written.',
  );

/** The sentence that says why an evolution cannot even be read, or undefined when it can. */
export function whySynthesisUnreadable(scheme: string): string | undefined {
  return scheme === 'file'
    ? undefined
    : l10n.t(
        'This folder is virtual ({0}): evolutions are read from disk. Clone or download it and open it from there.',
        scheme,
      );
}

/** The sentence that says why scores and data sets cannot even be read, or undefined when they can. */
export function whyDataUnreadable(scheme: string): string | undefined {
  return scheme === 'file'
    ? undefined
    : l10n.t(
        'This folder is virtual ({0}): data sets are read from disk. Clone or download it and open it from there.',
        scheme,
      );
}

/** The sentence that says why a model cannot even be inspected, or undefined when it can. */
export function whyUnreadable(scheme: string): string | undefined {
  return scheme === 'file'
    ? undefined
    : l10n.t(
        'This folder is virtual ({0}): weights are read from disk by offset. Clone or download the model and open it from there.',
        scheme,
      );
}
