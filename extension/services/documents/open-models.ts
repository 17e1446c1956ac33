import type { CheckedOutput } from '../../core/export/output-options';
import type { AskedChanges } from '../../core/export/writable';
import type { CapabilityName } from '../../core/models/capabilities';
import { refused } from '../../core/models/capability';
import type { ModelSummary } from '../../core/models/model-summary';
import type { WidthPrunedModel } from '../../core/models/width-pruning/describe-width-pruned';
import type { PlannedChanges } from '../../core/models/width-pruning/prune-width';
import type {
  ChooseLayersRequest,
  ChosenLayers,
} from '../../core/operations/questions/choose-layers';
import type { InspectedModel } from '../../core/operations/questions/model-questions';
import type { OfferedSizes } from '../../core/operations/size-choices';
import type { Runtime } from '../../core/pipelines/runtimes';
import type { QuestionRequests } from '../../core/operations/questions/questions';
import type { WorkerClient } from '../worker/worker-client';

/**
 * Facts and capabilities of models, from their headers. Answered by the inspector, which keeps
 * models open and doesn't wait for the worker's jobs.
 */
export class OpenModels {
  readonly #inspector: Pick<WorkerClient<QuestionRequests>, 'request'>;

  public constructor(inspector: Pick<WorkerClient<QuestionRequests>, 'request'>) {
    this.#inspector = inspector;
  }

  /** A model folder, or the model that a file in it belongs to. */
  public async inspect(path: string): Promise<InspectedModel> {
    return this.#inspector.request('open', { model: path });
  }

  public async summary(path: string): Promise<ModelSummary> {
    return (await this.inspect(path)).summary;
  }

  /** @throws UserError with the reason and a remedy if the model lacks the capability. */
  public async require(path: string, name: CapabilityName): Promise<void> {
    const { summary, capabilities } = await this.inspect(path);
    const capability = capabilities[name];
    if (!capability.able) {
      throw refused(capability, summary.path);
    }
  }

  /**
   * The model that remains after a plan's width pruning.
   * @throws UserError for sublayers that can't be width-pruned this way or are removed as well.
   */
  public async widthPruned(
    path: string,
    { widths = [], remove = [], patch = [] }: PlannedChanges,
  ): Promise<WidthPrunedModel> {
    return this.#inspector.request('widthPruned', { model: path, widths, remove, patch });
  }

  /**
   * Formats in which the model can be written with some changes, and reasons for those in which it
   * can't.
   */
  public async outputs(path: string, changes: AskedChanges): Promise<readonly CheckedOutput[]> {
    return this.#inspector.request('outputs', { model: path, ...changes });
  }

  /** True if each linear layer can have its own type in a GGUF file. */
  public async canTypeLayers(path: string): Promise<boolean> {
    return this.#inspector.request('canTypeLayers', { model: path });
  }

  /** True if a model has a chat template. */
  public async hasChatTemplate(path: string): Promise<boolean> {
    return this.#inspector.request('hasChatTemplate', { model: path });
  }

  /** Sizes that a model can be written in, for the most likely runtime or another one. */
  public async sizes(path: string, runtime?: Runtime): Promise<OfferedSizes> {
    return this.#inspector.request('sizeChoices', {
      model: path,
      ...(runtime === undefined ? {} : { runtime }),
    });
  }

  /** The layers that a compression is for. */
  public async chooseLayers(request: ChooseLayersRequest): Promise<ChosenLayers> {
    return this.#inspector.request('chooseLayers', request);
  }
}
