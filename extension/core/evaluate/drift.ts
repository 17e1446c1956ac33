import { loadTokenizer } from '../data/tokenizer';
import { checkpoint } from '../jobs/job';
import type { JobContext } from '../jobs/job';
import type { LayeredModel } from '../models/layered-model';
import type { OpenedModel } from '../models/opened-model';
import { toSourceId } from '../models/units';
import type { ModelInput } from '../models/model-input';
import { blocksInSource } from '../pipelines/source-blocks';
import type { DeviceChoice } from '../runtime/device';
import { resolveDevice } from '../runtime/devices';
import { LayeredExecutor } from '../runtime/layered-executor';
import { floatsIn } from '../runtime/tensors';
import type { HiddenState } from '../runtime/tensors';
import { UserError } from '../user-error';
import { inputsToCompare } from './measure-quality';
import { say } from '../message';
import { targetStartId } from '../models/example';

/**
 * Distance between the hidden states after one sublayer of the original and those at the same
 * position in another model.
 */
export interface SublayerDrift {
  readonly sublayer: string;
  /** True if the other model lacks the sublayer. */
  readonly removed: boolean;
  /** Id of the sublayer in the other model, if it has it. */
  readonly place?: string;
  /** ‖h′ − h‖ / ‖h‖, root mean square over positions. */
  readonly relativeError: number;
  /** Cosine of h′ and h, mean over positions. */
  readonly cosine: number;
  /** The position with the greatest ‖h′ − h‖ / ‖h‖. */
  readonly worst: DriftedPosition;
}

export interface DriftedPosition {
  /** Window and position, both counted from 0. */
  readonly window: number;
  readonly position: number;
  /** The token, if the input is text. */
  readonly token?: string;
  readonly relativeError: number;
}

/** Drift of a model from its original. */
export interface Drift {
  readonly positions: number;
  /** In the order of the original. */
  readonly sublayers: readonly SublayerDrift[];
  /** Relative error that counts as drift. */
  readonly limit: number;
  /** The first sublayer after which the states differ by at least the threshold, if any. */
  readonly starts?: string;
  /** Positions with the largest differences after that sublayer, in descending order. */
  readonly startsAt?: readonly DriftedPosition[];
}

/** Maximum number of positions listed for the start of the drift. */
const maxListedPositions = 5;

/** Maximum number of windows whose states are in memory at the same time. */
const mostInputs = 2;

/**
 * Relative error that counts as drift: more than int8 causes over a whole model, less than most removals cause at once.
 */
const limit = 0.1;

/** Two models that run side by side. */
export interface DriftRequest {
  readonly original: OpenedModel;
  /** The changed model as it runs, the units it lacks, and the sublayer at each position of the original. */
  readonly changed: {
    readonly model: LayeredModel;
    readonly removed: ReadonlySet<number>;
    readonly places: readonly (number | undefined)[];
  };
  /** Text for models that read text. */
  readonly text: string;
  /** Examples for models that don't read text; random ones if absent. */
  readonly examples?: string;
  readonly device: DeviceChoice;
  readonly memoryBytes: number;
}

/**
 * Runs two models side by side and compares their hidden states after every sublayer of the
 * original, on a few windows of text or one example.
 */
export async function measureDrift(request: DriftRequest, context: JobContext): Promise<Drift> {
  const { model: original } = request.original;
  const { changed, memoryBytes } = request;
  const { inputs: all, areText } = await inputsToCompare(original, request);
  const inputs = all.slice(0, mostInputs);
  const device = await resolveDevice(request.device, (message) => {
    context.warn(message);
  });
  const first = new LayeredExecutor(original, device, memoryBytes / 2);
  const second = new LayeredExecutor(changed.model, device, memoryBytes / 2);
  try {
    // The decoder of an encoder–decoder model reads other tokens than the text's.
    const hasOneText = areText && targetStartId(original) === undefined;
    const tokens = hasOneText ? await tokenTexts(original, inputs) : undefined;
    let states = await embedAll(first, inputs);
    let others = await embedAll(second, inputs);
    const { sublayers } = original.summary;
    const found: SublayerDrift[] = [];
    let positions = 0;
    let start: Pick<Drift, 'starts' | 'startsAt'> = {};
    for (const [index, { id }] of sublayers.entries()) {
      context.progress({
        stage: say`Comparing hidden states`,
        done: index,
        total: sublayers.length,
        unit: 'steps',
      });
      await checkpoint(context.cancellation);
      states = await first.pass(index, states, new Set());
      const place = changed.places[index];
      const isGone = place === undefined || changed.removed.has(place);
      if (place !== undefined) {
        others = await second.pass(place, others, changed.removed);
      }
      const differences = new Differences(tokens);
      const { after } = original.sublayer(index).streamNames;
      for (const [window, state] of states.entries()) {
        differences.add(window, residualStream(state, after), others[window] ?? state);
      }
      positions = differences.positions;
      const result = differences.result();
      const there = isGone ? undefined : changed.model.summary.sublayers[place]?.id;
      found.push({
        ...{ sublayer: id, removed: isGone },
        ...(there === undefined ? {} : { place: there }),
        ...result,
      });
      if (start.starts === undefined && result.relativeError >= limit) {
        start = { starts: id, startsAt: differences.most(maxListedPositions) };
      }
    }
    return { positions, limit, sublayers: found, ...start };
  } finally {
    await Promise.all([first.dispose(), second.dispose()]);
  }
}

/**
 * Position in a written model of each sublayer of the original.
 * @throws UserError if neither its manifest nor equal ids tell.
 */
export async function placesIn(
  changed: OpenedModel,
  original: OpenedModel,
): Promise<readonly (number | undefined)[]> {
  const blocks = await blocksInSource(changed.path, original.summary.fingerprint);
  const own = changed.summary.sublayers.map(({ id }) => id);
  const ids = original.summary.sublayers.map(({ id }) => id);
  const sources = blocks === undefined ? own : own.map((id) => toSourceId(id, blocks));
  const places = ids.map((id) => {
    const place = sources.indexOf(id);
    return place < 0 ? undefined : place;
  });
  const [longer, shorter] = [ids.length, places.filter((place) => place !== undefined).length];
  if (shorter < own.length || (sources === own && shorter < longer)) {
    throw new UserError(
      'sublayers-not-matching',
      say`Its sublayers do not correspond to those of ${original.summary.name}: it was not made from that model.`,
      {
        file: changed.path,
        remedy: say`Specify the model that it was made from, unchanged since.`,
      },
    );
  }
  return places;
}

async function embedAll(
  executor: LayeredExecutor,
  inputs: readonly ModelInput[],
): Promise<HiddenState[]> {
  const states: HiddenState[] = [];
  for (const input of inputs) {
    states.push(await executor.embed(input));
  }
  return states;
}

type TokenText = (window: number, position: number) => string | undefined;

async function tokenTexts(model: LayeredModel, windows: readonly ModelInput[]): Promise<TokenText> {
  const tokenizer = await loadTokenizer(model.summary.path);
  return (window, position) => {
    const ids = windows[window];
    const id = ids instanceof Int32Array ? ids[position] : undefined;
    return id === undefined ? undefined : tokenizer.decode([id]);
  };
}

/** The state with only the residual stream. Side values would otherwise be counted as well. */
function residualStream(state: HiddenState, name: string): HiddenState {
  const { [name]: stream } = state.values;
  return stream === undefined ? state : { ...state, values: { [name]: stream } };
}

/** Differences of states, position by position. */
class Differences {
  public positions = 0;
  private squares = 0;
  private cosines = 0;
  private readonly rows: DriftedPosition[] = [];

  public constructor(private readonly token: TokenText | undefined) {}

  public add(window: number, { values }: HiddenState, other: HiddenState): void {
    for (const [name, tensor] of Object.entries(values)) {
      const twin = other.values[name];
      if (tensor.type !== 'float32' || twin?.dims.join() !== tensor.dims.join()) {
        continue;
      }
      const [a, b] = [floatsIn(tensor), floatsIn(twin)];
      const rows = tensor.dims.slice(0, -1).reduce((product, size) => product * size, 1);
      const width = a.length / rows;
      for (let row = 0; row < rows; row++) {
        this.addRow(window, row, a.subarray(row * width, (row + 1) * width), b, row * width);
      }
    }
  }

  public result(): Pick<SublayerDrift, 'relativeError' | 'cosine' | 'worst'> {
    const [worst = { window: 0, position: 0, relativeError: 0 }] = this.most(1);
    return {
      relativeError: Math.sqrt(this.squares / this.positions),
      cosine: this.cosines / this.positions,
      worst,
    };
  }

  /** The positions that differ most, most first. */
  public most(count: number): readonly DriftedPosition[] {
    return [...this.rows]
      .sort((a, b) => b.relativeError - a.relativeError)
      .slice(0, count)
      .map((row) => {
        const token = this.token?.(row.window, row.position);
        return { ...row, ...(token === undefined ? {} : { token }) };
      });
  }

  private addRow(
    window: number,
    position: number,
    a: Float32Array,
    others: Float32Array,
    offset: number,
  ): void {
    let [difference, own, twin, product] = [0, 0, 0, 0];
    for (const [i, x] of a.entries()) {
      const y = others[offset + i] ?? 0;
      difference += (y - x) ** 2;
      own += x ** 2;
      twin += y ** 2;
      product += x * y;
    }
    const relativeError = own === 0 ? 0 : Math.sqrt(difference / own);
    this.positions++;
    this.squares += relativeError ** 2;
    this.cosines += own === 0 || twin === 0 ? 1 : product / Math.sqrt(own * twin);
    this.rows.push({ window, position, relativeError });
  }
}
