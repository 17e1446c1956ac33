/** A plan that does everything a plan can. */
export const planSeeds: readonly Buffer[] = [
  {
    format: 'espalier.plan',
    version: 1,
    model: { path: 'model', fingerprint: 'a'.repeat(64) },
    remove: ['block.3.attention', 'block.5', 'block.2.expert.5'],
    narrow: [{ sublayer: 'block.1.feedforward', remove: '0-3,7' }],
    compress: [
      { tensor: 'model.layers.0.mlp.up_proj.weight', method: 'int8', group: 32 },
      { tensor: 'model.layers.0.mlp.down_proj.weight', method: 'mpo', bond: 8 },
    ],
    patch: [{ sublayer: 'block.4.attention', file: 'module.onnx' }],
    note: 'written by hand',
  },
].map((plan) => Buffer.from(JSON.stringify(plan)));

/** Tables with numbers, quoted texts and labels. */
export const tableSeeds: readonly Buffer[] = [
  'a,b,label\n1,2.5,cat\n-3e4,0,dog\n7,8,cat\n',
  'text,label\n"one, two",0\n"three ""four""",1\r\nfive,0\n',
].map((table) => Buffer.from(table));
