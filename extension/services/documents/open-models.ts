import type { OutputAnswer } from '../../core/export/output-options';
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
import type { InspectorRequests } from '../../protocol/worker';
import type { WorkerClient } from '../worker/worker-client';

/**
 * What models are and can do, by their headers. The inspector answers, which keeps models open and
 * waits for no job of the worker.
 */
export class OpenModels {
  readonly #inspector: Pick<WorkerClient<InspectorRequests>, 'request'>;

  public constructor(inspector: Pick<WorkerClient<InspectorRequests>, 'request'>) {
    this.#inspector = inspector;
  }

  /** A model folder, or the model that a file in it belongs to. */
  public async inspect(path: string): Promise<InspectedModel> {
    return this.#inspector.request('open', { model: path });
  }

  public async summary(path: string): Promise<ModelSummary> {
    return (await this.inspect(path)).summary;
  }

  /** @throws UserError with the reason and the way out, where the model cannot do something. */
  public async require(path: string, name: CapabilityName): Promise<void> {
    const { summary, capabilities } = await this.inspect(path);
    const capability = capabilities[name];
    if (!capability.able) {
      throw refused(capability, summary.path);
    }
  }

  /**
   * What a plan's narrowing leaves of the model.
   * @throws UserError for what cannot be narrowed so, or is removed as well.
   */
  public async narrowed(
    path: string,
    { narrow = [], remove = [], patch = [] }: PlannedChanges,
  ): Promise<WidthPrunedModel> {
    return this.#inspector.request('narrowed', { model: path, narrow, remove, patch });
  }

  /** What the model can be written as with some changes, and why not. */
  public async outputs(path: string, changes: AskedChanges): Promise<readonly OutputAnswer[]> {
    return this.#inspector.request('outputs', { model: path, ...changes });
  }

  /** Whether each linear layer can get a type of its own in a GGUF file. */
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
