import { readCapabilities } from './capabilities';
import type { Capabilities } from './capabilities';
import type { EncoderModel } from './encoders/encoder-model';
import type { ModelFamily } from './model-family';
import type { ModelFormat, ModelHeaders } from './model-headers';
import type { ModelSummary } from './model-summary';
import type { OnnxLayeredModel } from './onnx/onnx-layered-model';
import type { Seq2SeqModel } from './seq2seq/seq2seq-model';
import type { StagedModel } from './stages/staged-model';
import type { TransformerModel } from './transformer/transformer-model';

/** A layered model, told apart by its `kind`. */
export type AnyModel =
  | TransformerModel
  | EncoderModel
  | Seq2SeqModel
  | StagedModel
  | OnnxLayeredModel;

/** A model before width pruning. */
export interface WidthPrunedFrom {
  readonly original: OpenedModel;
  /** Remaining channels or head groups of each sublayer, by id. */
  readonly widths: Readonly<Record<string, number>>;
}

/** Model with headers that are read once. Jobs receive it instead of a path. Its fingerprint is in the summary. */
export class OpenedModel {
  private known: Capabilities | undefined;

  public constructor(
    public readonly model: AnyModel,
    /** Architecture and parsed config. */
    public readonly family: ModelFamily,
    public readonly headers: ModelHeaders,
    public readonly widthPruned?: WidthPrunedFrom,
  ) {}

  public get summary(): ModelSummary {
    return this.model.summary;
  }

  /** Absolute path of the folder, or of the file that is the model. */
  public get path(): string {
    return this.model.summary.path;
  }

  public get format(): ModelFormat {
    return this.headers.format;
  }

  /** Files that it was read from; if one of them changes, it is a different model. */
  public get files(): readonly string[] {
    const { headers, model } = this;
    return headers.format === 'safetensors' ? [...model.files, headers.configFile] : model.files;
  }

  public get capabilities(): Capabilities {
    return (this.known ??= readCapabilities(this.model, this.headers));
  }
}
