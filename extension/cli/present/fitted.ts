import { describePredictions } from '../../core/evaluate/describe-accuracy';
import { describeLlamaSpeed } from '../../core/evaluate/describe-llama-speed';
import { describeVerification } from '../../core/export/verification';
import {
  formatBytes,
  formatChange,
  formatDistance,
  formatDuration,
  formatPercent,
  formatSpeed,
} from '../../core/format';
import { inEnglish } from '../../core/message';
import { isFitted } from '../../core/operations/fit-model';
import type { FitResult, FittedModel, PredictedSpeed } from '../../core/operations/fit-model';
import { perplexityChange } from '../../core/operations/outcomes';
import type { OfferedSize, OfferedSizes, TypeRounding } from '../../core/operations/size-choices';
import { describeMarks, lossWords, requantizesAlways } from '../../core/pipelines/size-choices';
import type { Presenter } from '../presenter';
import { printTable } from '../table';
import type { Terminal } from '../terminal';
import { evaluationTerms, ratioInterval } from './evaluate';
import { printVerdict } from './verdict';

const roundings: Readonly<Record<TypeRounding, string>> = {
  distill: 'error feedback on calibration text, then training to give the logits of the original',
  feedback: 'error feedback on calibration text',
  importance: 'by an importance matrix of calibration text',
  nearest: 'nearest',
};

export const fitted: Presenter<FitResult> = {
  terms: evaluationTerms,
  options: {},
  print: (result, { terminal, request }) => {
    if (isFitted(result)) {
      printFitted(terminal, result);
    } else {
      printSizes(terminal, result, String(request['model']));
    }
  },
};

function printSizes(terminal: Terminal, sizes: OfferedSizes, model: string): void {
  const { name, bytes, runtime, runtimes, context, choices, quantized } = sizes;
  terminal.print(`${name}: ${formatBytes(bytes)}, for ${runtime}`);
  if (requantizesAlways(sizes)) {
    terminal.print(`Its weights are ${quantized ?? ''}, which every choice quantizes again.`);
  }
  printTable(
    terminal,
    ['size', 'bytes', 'change', `memory at ${context} tokens`, 'loss', 'time', 'notes'],
    choices.map((choice) => [
      choice.size,
      `${choice.kind === 'mix' ? '≤ ' : runtime === 'llama.cpp' ? '' : '≈ '}${formatBytes(choice.bytes)}`,
      formatChange(bytes, choice.bytes),
      formatBytes(choice.memoryBytes),
      lossText(choice),
      timeText(choice),
      optionalText(describeMarks(choice, sizes, true)),
    ]),
  );
  const others = runtimes.filter((one) => one !== runtime);
  if (others.length > 0) {
    terminal.print(`Sizes for ${others.join(' or ')}: add --for ${others[0] ?? ''}.`);
  }
  terminal.print(`Choose one: espalier fit ${model} --for ${runtime} --size 50% --out NEW-FOLDER`);
}

const optionalText = (message: Parameters<typeof inEnglish>[0] | undefined): string =>
  message === undefined ? '' : inEnglish(message);

/** The estimate, or the limit if the estimate reaches it. */
const timeText = ({ seconds, longest = Number.POSITIVE_INFINITY }: OfferedSize): string =>
  `${seconds < longest ? 'about' : 'at most'} ${formatDuration(seconds)}`;

function lossText({ measured, loss }: OfferedSize): string {
  return measured === undefined
    ? inEnglish(lossWords[loss])
    : `perplexity ${formatChange(1, measured.perplexityRatio)} (measured)`;
}

function printFitted(terminal: Terminal, result: FittedModel): void {
  const { bytesBefore, bytesAfter, memory, speed, types, mix, rounding, evaluation, requantized } =
    result;
  terminal.print(
    `Size: ${formatBytes(bytesBefore)} → ${formatBytes(bytesAfter)} (${formatChange(bytesBefore, bytesAfter)})`,
  );
  terminal.print(
    `Memory at ${memory.context} tokens of context: ${formatBytes(memory.before)} → ${formatBytes(memory.after)}`,
  );
  if (speed !== undefined) {
    const source =
      speed.source === 'llama.cpp'
        ? 'predicted from types timed in llama.cpp'
        : `estimate by memory bandwidth${speed.machine === undefined ? '' : ` of ${speed.machine}`}`;
    terminal.print(
      `Decode: ${formatSpeed(speed.before)} → ${formatSpeed(speed.after)} tokens/s${askedText(speed)} (${source})`,
    );
  }
  if (evaluation?.against !== undefined) {
    const change = perplexityChange(evaluation.against.perplexity, evaluation.perplexity);
    const interval = ratioInterval(evaluation.perplexityRatio);
    terminal.print(
      `Perplexity: ${inEnglish(change)}${interval && `, ${interval}`}, on ${evaluation.tokens} tokens`,
    );
  }
  const sentences =
    evaluation === undefined
      ? []
      : [...describePredictions(evaluation), ...describeLlamaSpeed(evaluation)];
  for (const sentence of sentences) {
    terminal.print(inEnglish(sentence));
  }
  terminal.print(`Types: ${describeTypes(types)}`);
  if (rounding !== undefined) {
    terminal.print(`Rounding: ${roundings[rounding]}`);
  }
  if (mix !== undefined) {
    terminal.print(
      `Measured: ${mix.measured} of ${mix.layers} linear layers; distance of the mix ${formatDistance(mix.distance)} (${mix.metric})`,
    );
  }
  if (requantized !== undefined) {
    terminal.print(
      `The original's weights are ${requantized}: the loss is relative to that file, not to the model it was made from.`,
    );
  }
  terminal.print(inEnglish(describeVerification(result.verification)));
  for (const { program, command } of result.commands) {
    terminal.print(`${program}: ${command}`);
  }
  terminal.print(result.path);
  printVerdict(terminal, result.verdict);
}

/** The speed that was asked for, or how to measure the speed. */
function askedText({ asked, after, machine }: PredictedSpeed): string {
  if (asked !== undefined) {
    return `, at least ${formatSpeed(asked)} asked${after < asked ? ' and not reached' : ''}`;
  }
  return machine === undefined ? '; espalier install-llama measures it' : '';
}

/** `Q5_K 61 %, Q6_K 30 %, F32 9 %` */
function describeTypes(types: Readonly<Record<string, number>>): string {
  const all = Object.values(types).reduce((sum, bytes) => sum + bytes, 0);
  return Object.entries(types)
    .sort(([, a], [, b]) => b - a)
    .map(([type, bytes]) => `${type} ${formatPercent(bytes / all)}`)
    .join(', ');
}
