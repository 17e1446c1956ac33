import type { Dimension } from '../../onnx/graph-builder';
import type { MatrixEncoding } from '../matrix-encoding';
import { withPatches } from '../patch/patched-layout';
import type { SymbolicPatch } from '../patch/symbolic-patch';
import { withEncodingFiles, withEncodings } from '../transformer/linear-layers';
import { ComposedModel } from './composed-model';
import type { Sublayer } from './sublayer-list';

type BlockLayout = ConstructorParameters<typeof ComposedModel>[2];

/** A model of blocks over a stream of one width: a decoder, an encoder, or both. */
export abstract class BlockModel<
  Layout extends BlockLayout,
  Self extends BlockModel<Layout, Self>,
> extends ComposedModel<Layout, Sublayer, Self> {
  /** Width of the stream that sublayers read. */
  public abstract get hidden(): number;

  protected shapeOf(_value: string): readonly Dimension[] {
    return ['batch', 'sequence', this.hidden];
  }

  public get patchWidth(): number | undefined {
    return this.hidden;
  }

  public withMatrices(forms: ReadonlyMap<string, MatrixEncoding>): Self {
    const { keepsCache } = this;
    const all = { sublayers: this.sublayers, embeddingAndHead: this.embeddingAndHead, keepsCache };
    const { summary, sublayers, embeddingAndHead } = withEncodings(this.summary, all, forms);
    const files = withEncodingFiles(this.files, forms);
    return this.remade(summary, files, this.layoutWith(sublayers, embeddingAndHead));
  }

  /** @throws UserError if a sublayer doesn't exist */
  public withPatches(patches: ReadonlyMap<string, SymbolicPatch>): Self {
    const { keepsCache, summary: before } = this;
    const all = { summary: before, files: this.files, sublayers: this.sublayers, keepsCache };
    const { summary, files, sublayers } = withPatches(all, patches);
    return this.remade(summary, files, this.layoutWith(sublayers, this.embeddingAndHead));
  }
}
