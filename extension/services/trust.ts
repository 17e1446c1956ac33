import { l10n, workspace } from 'vscode';
import type { Disposable, Uri } from 'vscode';
import type { ErrorCode } from '../core/error-codes';
import { UserError } from '../core/user-error';
import { verbatim } from '../core/message';

/** Location of a model, and whether the user trusts the workspace. */
export interface Circumstances {
  readonly trusted: boolean;
  /** Scheme of the model's URI; only `file` has weights that can be mapped into memory. */
  readonly scheme: string;
}

/** Reason why something cannot be done here. */
export interface Refusal {
  readonly reason: string;
  /** `workspace-untrusted` if trusting the workspace would allow it. */
  readonly code: ErrorCode;
}

/** @throws UserError if there is a reason against it */
export function assertAllowed(refusal: Refusal | undefined): void {
  if (refusal !== undefined) {
    throw new UserError(refusal.code, verbatim(refusal.reason), { remedy: undefined });
  }
}

/**
 * @param explain why files of a scheme cannot be read; undefined if they can
 * @throws UserError naming the file if it cannot be read
 */
export function assertReadable(uri: Uri, explain: (scheme: string) => string | undefined): void {
  const reason = explain(uri.scheme);
  if (reason !== undefined) {
    throw new UserError('folder-virtual', verbatim(reason), {
      file: uri.toString(),
      remedy: undefined,
    });
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

/** Reason why models cannot be run here; undefined if they can. */
export function explainBlocked(circumstances: Circumstances): Refusal | undefined {
  return makeRefusal(
    circumstances,
    explainUnreadable,
    l10n.t('This workspace is not trusted: models can be inspected, but not run or written.'),
  );
}

/** Reason why a dataset can't be scored or written, or undefined if it can. */
export function explainDataBlocked(circumstances: Circumstances): Refusal | undefined {
  return makeRefusal(
    circumstances,
    explainDataUnreadable,
    l10n.t(
      'This workspace is not trusted: data maps can be viewed, but nothing is trained or written.',
    ),
  );
}

/** Reason why no modules can be synthesized here; undefined if they can. */
export function explainSynthesisBlocked(circumstances: Circumstances): Refusal | undefined {
  return makeRefusal(
    circumstances,
    explainSynthesisUnreadable,
    l10n.t(
      'This workspace is not trusted: evolutions can be viewed, but nothing is trained or written.',
    ),
  );
}

function makeRefusal(
  { trusted, scheme }: Circumstances,
  unreadable: (scheme: string) => string | undefined,
  untrusted: string,
): Refusal | undefined {
  const reason = unreadable(scheme);
  if (reason !== undefined) {
    return { reason, code: 'folder-virtual' };
  }
  return trusted ? undefined : { reason: untrusted, code: 'workspace-untrusted' };
}

/** Sentence that explains why an evolution cannot be read; undefined if it can. */
export function explainSynthesisUnreadable(scheme: string): string | undefined {
  return scheme === 'file'
    ? undefined
    : l10n.t(
        'This folder is virtual ({0}): evolutions are read from disk. Clone or download it and open it from there.',
        scheme,
      );
}

/** Sentence that explains why scores and datasets cannot be read; undefined if they can. */
export function explainDataUnreadable(scheme: string): string | undefined {
  return scheme === 'file'
    ? undefined
    : l10n.t(
        'This folder is virtual ({0}): datasets are read from disk. Clone or download it and open it from there.',
        scheme,
      );
}

/** Sentence that explains why a model cannot be inspected; undefined if it can. */
export function explainUnreadable(scheme: string): string | undefined {
  return scheme === 'file'
    ? undefined
    : l10n.t(
        'This folder is virtual ({0}): weights are read from disk by offset. Clone or download the model and open it from there.',
        scheme,
      );
}
