import { l10n } from 'vscode';
import type { QuickPickItem } from 'vscode';
import type { ProxyRequest } from '../../core/datadiet/training/proxy-model';
import type { ScoreKind } from '../../core/datadiet/scores/score-document';
import type { DatasetSummary } from '../../core/datadiet/scores/scored-data';
import type { Services } from '../../services/services';
import { askPath, askText, choose } from './ask';
import { pickModel } from '../target';
import { counts } from '../../services/counts';
import { followedBy } from './steps';

/** Asks which model to train: one that suits the examples, or the user's own. */
export async function chooseProxy(
  services: Services,
  title: string,
  { featureShape, isText }: DatasetSummary,
): Promise<ProxyRequest | undefined> {
  const mlp = {
    label: 'mlp',
    description: l10n.t('two dense layers'),
    detail: l10n.t('Seconds to minutes. For tables, texts and small images.'),
  };
  const cnn = {
    label: 'cnn',
    description: l10n.t('two convolutions'),
    detail: l10n.t('Minutes; for images.'),
  };
  const resnet = {
    label: 'resnet',
    description: l10n.t('residual blocks'),
    detail: l10n.t('Closest to the paper, and slowest: hours for large datasets.'),
  };
  const onnx = {
    label: l10n.t('ONNX file…'),
    description: l10n.t('your own classifier'),
    detail: l10n.t('It must take the examples unchanged, and return logits of the classes.'),
  };
  const isPicture = !isText && featureShape.length === 3;
  const isColored = isPicture && featureShape[0] === 3;
  const own = isPicture ? (isColored ? [cnn, mlp, resnet] : [mlp, cnn, resnet]) : [mlp];
  const chosen = await choose([...own, onnx], {
    title,
    placeHolder: l10n.t('Which model is trained to score the examples?'),
  });
  if (chosen === undefined) {
    return undefined;
  }
  if (chosen === onnx) {
    const file = await askPath({
      title: l10n.t('Choose a classifier'),
      filters: { ONNX: ['onnx'] },
    });
    return file === undefined ? undefined : { model: file.fsPath };
  }
  if (!isText) {
    return { model: chosen.label };
  }
  const tokenizer = await pickModel(
    services,
    l10n.t('Choose a model whose tokenizer reads the texts'),
  );
  return tokenizer === undefined ? undefined : { model: chosen.label, tokenizer: tokenizer.fsPath };
}

export async function chooseScore(title: string): Promise<ScoreKind | undefined> {
  const items: readonly (QuickPickItem & { score: ScoreKind })[] = [
    {
      label: 'EL2N',
      detail: l10n.t('Distance between the predicted probabilities and the label.'),
      score: 'el2n',
    },
    {
      label: 'GraNd',
      detail: l10n.t(
        'Gradient norm of each example. At initialization it is about the norm of the input.',
      ),
      score: 'grand',
    },
    {
      label: l10n.t('Forgetting'),
      detail: l10n.t(
        'Number of times an example was learned and then forgotten; needs several epochs.',
      ),
      score: 'forgetting',
    },
    {
      label: l10n.t('Margin'),
      detail: l10n.t('Probability of the best other class minus that of the label.'),
      score: 'margin',
    },
  ];
  const chosen = await choose(items, {
    title,
    placeHolder: l10n.t('How are the examples scored?'),
  });
  return chosen?.score;
}

/** Asks for the number of training runs to average over, and their length. */
export async function chooseTrainings(
  title: string,
  score: ScoreKind,
): Promise<{ runs: number; epoch: number } | undefined> {
  const epoch = score === 'forgetting' ? 10 : 3;
  const item = (runs: number, epochs: number, detail: string) => ({
    label: l10n.t('{0} of {1}', counts.runs(runs), counts.epochs(epochs)),
    detail,
    trainings: { runs, epoch: epochs },
  });
  const own: QuickPickItem = { label: l10n.t('Other values…') };
  const items = [
    item(10, epoch, l10n.t('As in the paper: reliable scores.')),
    item(3, epoch, l10n.t('A quick look in a third of the time.')),
  ];
  const chosen = await choose([...items, own], {
    title,
    placeHolder: l10n.t('How often is the model trained, and for how long?'),
  });
  if (chosen !== own) {
    return items.find((one) => one === chosen)?.trainings;
  }
  const runs = await followedBy(1, async () =>
    askNumber(title, l10n.t('Runs, each from its own seed'), '10', 1),
  );
  const epochs =
    runs === undefined
      ? undefined
      : await askNumber(
          title,
          l10n.t('Epochs before scoring; 0 scores at initialization'),
          String(epoch),
          score === 'forgetting' ? 2 : 0,
        );
  return runs === undefined || epochs === undefined ? undefined : { runs, epoch: epochs };
}

/** Asks for an integer. */
export async function askNumber(
  title: string,
  prompt: string,
  value: string,
  least: number,
): Promise<number | undefined> {
  const typed = await askText({
    title,
    prompt,
    value,
    validateInput: (text) =>
      /^\s*\d{1,4}\s*$/.test(text) && Number(text) >= least
        ? undefined
        : l10n.t('Enter an integer of at least {0}.', least),
  });
  return typed === undefined ? undefined : Number(typed);
}
