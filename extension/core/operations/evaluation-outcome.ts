import { basename } from 'node:path';
import {
  accuracyName,
  describeAnswers,
  describePredictions,
  formatAccuracy,
} from '../evaluate/describe-accuracy';
import { describeLlamaSpeed } from '../evaluate/describe-llama-speed';
import type { TaskEvaluation } from '../evaluate/evaluate-models';
import type { BaseEvaluation, Evaluation, EvaluationResult } from '../evaluate/evaluation';
import { perplexityLabel } from '../quality-labels';
import { formatChange, formatCount } from '../format';
import { joined, say } from '../message';
import type { Message } from '../message';
import type { Plan } from '../plans/plan';
import { countPhrase } from './outcomes';
import type { FinishedJob, Outcome } from './presentation';

/** Parts of a request that decide what was evaluated. */
interface EvaluatedRequest {
  readonly model?: string;
  readonly plan?: string | Plan;
  readonly against?: string;
  readonly base?: string;
}

/** Name of the evaluated model and of the model it was compared with. */
export interface EvaluatedNames {
  readonly name: Message;
  readonly other: Message;
}

/** Perplexity and speed, or the score on a task, next to the original's if it is known. */
export function evaluationOutcome(
  result: EvaluationResult | BaseEvaluation | TaskEvaluation,
  job: FinishedJob<EvaluatedRequest>,
): Outcome {
  if ('task' in result) {
    return { summary: taskSummary(result, evaluatedNames(job)) };
  }
  const { request, original } = job;
  const { against } = result;
  const other = request.base === undefined ? otherModel(request) : basename(request.base);
  const change = plannedChange(request.plan);
  const [perplexity, speed] = figures(result);
  const predictions = [...describePredictions(result), ...describeLlamaSpeed(result)].map(
    (sentence) => say`${sentence}.`,
  );
  if (other !== undefined && against !== undefined) {
    const [otherPerplexity, otherSpeed] = figures(against);
    return {
      summary: joined([
        say`perplexity ${perplexity}, ${speed} tokens per second; ${other}: ${otherPerplexity}, ${otherSpeed}.`,
        ...predictions,
      ]),
    };
  }
  if (change === undefined || original === undefined) {
    const tokens = formatCount(result.tokens);
    return {
      summary: joined([
        say`perplexity ${perplexity} on ${tokens} tokens, ${speed} tokens per second.`,
        ...predictions,
      ]),
      shown: other === undefined && change !== undefined,
    };
  }
  const [before] = figures(original);
  const size = say`${formatChange(original.perplexity, result.perplexity)}, ${perplexityLabel(original.perplexity, result.perplexity)}`;
  // Speeds of different runs don't compare: models that run side by side share the memory.
  const speeds = against === undefined ? speed : `${figures(against)[1]} → ${speed}`;
  return {
    summary: joined([
      say`${change}: perplexity ${before} → ${perplexity} (${size}), tokens per second ${speeds}.`,
      ...predictions,
    ]),
    shown: other === undefined,
  };
}

/** Name of the evaluated model with the changes of its plan, and of the model it was compared with. */
export function evaluatedNames({ request, name }: FinishedJob<EvaluatedRequest>): EvaluatedNames {
  const change = plannedChange(request.plan);
  return {
    name: change === undefined ? say`${name}` : say`${name} ${change}`,
    other: say`${otherModel(request) ?? say`the original`}`,
  };
}

/** Sentences about how two models answer a task; none if only one was evaluated. */
export function comparedAnswers(
  { compared, kind, examples }: TaskEvaluation,
  against: Message,
): readonly Message[] {
  return compared === undefined
    ? []
    : describeAnswers(compared, { accuracy: accuracyName(kind), against, examples });
}

function taskSummary(result: TaskEvaluation, { other }: EvaluatedNames): Message {
  const { task, kind, acc, accError, examples } = result;
  const score = `${accuracyName(kind)} ${formatAccuracy(acc, accError)}`;
  return joined([
    say`${score} on ${task} (${countPhrase(examples, 'example')}).`,
    ...comparedAnswers(result, other).map((sentence) => say`${sentence}.`),
  ]);
}

/** Name of the second model, unless that is the original of a plan. */
const otherModel = ({ model, against }: EvaluatedRequest): string | undefined =>
  against === undefined || against === model ? undefined : basename(against);

/** `without 2 sublayers`; undefined if the whole model was evaluated. */
function plannedChange(plan: EvaluatedRequest['plan']): Message | undefined {
  const { remove = [], widths = [], patch = [] } = typeof plan === 'object' ? plan : {};
  if (remove.length + widths.length === 0) {
    return undefined;
  }
  if (widths.length > 0) {
    return say`with ${countPhrase(remove.length, 'sublayer')} removed and the width of ${widths.length} pruned`;
  }
  return patch.length === 0
    ? say`without ${countPhrase(remove.length, 'sublayer')}`
    : say`with ${countPhrase(remove.length - patch.length, 'sublayer')} removed and ${patch.length} patched`;
}

/** A model that didn't run has no speed. */
type Measured = Omit<Evaluation, 'tokensPerSecond'> & Partial<Evaluation>;

const figures = ({ perplexity, tokensPerSecond }: Measured): readonly [string, string] => [
  perplexity.toPrecision(4),
  tokensPerSecond === undefined ? '–' : formatCount(tokensPerSecond),
];
