/** Most tokens where the sparse attention of BigBird (arXiv 2007.14062) is full attention; undefined where it always is. */
export const fullAttentionLength = ({
  attention_type: type = 'block_sparse',
  num_random_blocks: random = 3,
  block_size: size = 64,
}: Readonly<Record<string, unknown>>): number | undefined =>
  type === 'block_sparse' ? (5 + 2 * Number(random)) * Number(size) : undefined;
