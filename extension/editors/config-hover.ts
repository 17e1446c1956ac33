import { getLocation } from 'jsonc-parser';
import { Hover, l10n, languages, MarkdownString } from 'vscode';
import type { Disposable, HoverProvider, LogOutputChannel, Position, TextDocument } from 'vscode';
import { formatBytes, formatCount, formatPercent } from '../core/format';
import { topicParameters, configTopic } from '../core/inspect/config-accounts';
import type { ConfigTopic } from '../core/inspect/config-accounts';
import { describedCacheBytes } from '../core/inspect/footprint';
import type { ModelDescription } from '../core/inspect/model-description';
import type { Inspector } from '../services/sessions/explorer-session';

/** Hover on an architecture field in config.json with its meaning and cost. */
export class ConfigHover implements HoverProvider, Disposable {
  readonly #inspector: Inspector;
  readonly #log: LogOutputChannel;
  readonly #registration: Disposable;

  public constructor(inspector: Inspector, log: LogOutputChannel) {
    this.#inspector = inspector;
    this.#log = log;
    this.#registration = languages.registerHoverProvider(
      { scheme: 'file', pattern: '**/config.json' },
      this,
    );
  }

  public async provideHover(
    document: TextDocument,
    position: Position,
  ): Promise<Hover | undefined> {
    const text = document.getText();
    const { path } = getLocation(text, document.offsetAt(position));
    const field = path.at(-1);
    const topic = typeof field === 'string' ? configTopic(field) : undefined;
    // Most config.json files of this world are not of models.
    if (topic === undefined || !/"model_type"\s*:/.test(text)) {
      return undefined;
    }
    try {
      const model = await this.#inspector.request('describe', { model: document.uri.fsPath });
      const lines = [meanings[topic](model), accountText(topic, model)];
      return new Hover(new MarkdownString(lines.filter((line) => line !== '').join('\n\n')));
    } catch (error) {
      this.#log.debug(`${document.uri.fsPath}: ${String(error)}`);
      return undefined;
    }
  }

  public dispose(): void {
    this.#registration.dispose();
  }
}

function accountText(topic: ConfigTopic, model: ModelDescription): string {
  const parameters = topicParameters(topic, model);
  const { totals } = model;
  return parameters === undefined || totals.parameters === 0
    ? ''
    : l10n.t(
        '**{0} parameters** depend on it: {1} of the model.',
        formatCount(parameters),
        formatPercent(parameters / totals.parameters),
      );
}

const known = (value: number | undefined): string => (value === undefined ? '?' : String(value));

const meanings: Readonly<Record<ConfigTopic, (model: ModelDescription) => string>> = {
  hiddenSize: ({ blocks }) =>
    l10n.t(
      'Hidden size: all {0} sublayers read the residual stream and add to it.',
      blocks.reduce((sum, { sublayers }) => sum + sublayers.length, 0),
    ),
  intermediateSize: ({ facts }) =>
    l10n.t(
      'Intermediate size of each MLP, {0} times the hidden size.',
      ratio(facts.intermediateSize, facts.hiddenSize),
    ),
  layers: ({ blocks }) => {
    const [first] = blocks;
    return l10n.t(
      'Number of blocks, each with {0} parameters ({1}).',
      formatCount(first?.parameters ?? 0),
      formatBytes(first?.bytes ?? 0),
    );
  },
  heads: ({ facts }) =>
    l10n.t('Query heads of each attention layer, with head dimension {0}.', known(facts.headSize)),
  keyValueHeads: ({ facts, totals }) =>
    [
      l10n.t(
        'Key/value heads. Each is shared by {0} query heads.',
        ratio(facts.heads, facts.keyValueHeads),
      ),
      cacheText(totals.kvBytesPerToken),
    ].join(' '),
  headSize: ({ facts }) =>
    l10n.t(
      'Head dimension: {0} heads make queries of size {1}.',
      known(facts.heads),
      known(product(facts.heads, facts.headSize)),
    ),
  vocabularySize: ({ facts }) =>
    facts.tiedHead === true
      ? l10n.t('Number of tokens: rows of the token embedding, which is also the LM head.')
      : l10n.t('Number of tokens: rows of the token embedding and of the LM head.'),
  contextLength: (model) => {
    const { contextLength } = model.facts;
    const bytes =
      contextLength === undefined ? undefined : describedCacheBytes(model, contextLength);
    return [
      l10n.t('Longest text in tokens that the model supports.'),
      bytes === undefined
        ? ''
        : l10n.t('Keys and values of a text of that length take {0}.', formatBytes(bytes)),
    ].join(' ');
  },
  slidingWindow: () =>
    l10n.t(
      'Number of past tokens in sliding-window attention. Other attention layers see all of them.',
    ),
  experts: ({ facts, totals }) =>
    l10n.t(
      'Experts of a sublayer. Each token uses {0}: {1} of {2} parameters are active.',
      known(facts.expertsPerToken),
      totals.activeParameters === undefined ? '?' : formatCount(totals.activeParameters),
      formatCount(totals.parameters),
    ),
  expertsPerToken: ({ facts }) =>
    l10n.t('Experts that each token is routed to, of {0}.', known(facts.experts)),
  ropeTheta: () =>
    l10n.t(
      'Base frequency of the rotary embedding (rope_theta). Larger values rotate more slowly.',
    ),
  activation: () => l10n.t('Activation inside each MLP.'),
  tiedHead: ({ facts }) => {
    const shared = product(facts.vocabularySize, facts.hiddenSize);
    const size = shared === undefined ? '?' : formatCount(shared);
    return facts.tiedHead === true
      ? l10n.t('The LM head shares the embedding, which saves {0} parameters.', size)
      : l10n.t('The LM head has its own {0} parameters, separate from the embedding.', size);
  },
  normEpsilon: () => l10n.t('Added to the variance in each norm, against division by zero.'),
  storedType: ({ totals, dtypes }) =>
    l10n.t(
      'Data type of the saved weights. The files have {0}: {1}.',
      Object.keys(dtypes).join(', '),
      formatBytes(totals.bytes),
    ),
  family: ({ understood }) =>
    understood.by === 'names'
      ? l10n.t('Architecture (model_type). Espalier can inspect it, but not run it.')
      : l10n.t('Architecture (model_type), which defines how the tensors are used.'),
};

function cacheText(bytes: number | undefined): string {
  return bytes === undefined || bytes === 0
    ? ''
    : l10n.t('Each token of context takes {0}.', formatBytes(bytes));
}

function product(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a * b;
}

function ratio(a: number | undefined, b: number | undefined): string {
  return a === undefined || b === undefined || b === 0 ? '?' : String(Number((a / b).toFixed(2)));
}
