import type { ModelDescription } from '../../core/inspect/model-description';
import type { Inspector } from '../sessions/explorer-session';

const maxDescriptions = 8;

/** Descriptions of models that were opened lately in the tree view, until their files change. */
export class Descriptions {
  readonly #inspector: Inspector;
  readonly #known = new Map<string, Promise<ModelDescription>>();

  public constructor(inspector: Inspector) {
    this.#inspector = inspector;
  }

  /** @throws UserError or WorkerRequestError when the model cannot be described. */
  public async of(model: string): Promise<ModelDescription> {
    const description = this.#known.get(model) ?? this.#inspector.request('describe', { model });
    this.#known.delete(model);
    this.#known.set(model, description);
    const [oldest] = this.#known.keys();
    if (this.#known.size > maxDescriptions && oldest !== undefined) {
      this.#known.delete(oldest);
    }
    try {
      return await description;
    } catch (error) {
      this.#known.delete(model);
      throw error;
    }
  }

  public forget(model: string): void {
    this.#known.delete(model);
  }

  public clear(): void {
    this.#known.clear();
  }
}
