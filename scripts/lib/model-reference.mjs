import { makeFamily, familyResult, ggufResult, larger } from './model-results.mjs';

/** @typedef {import('./core-modules.mjs').Declarations} Declarations */

const note = '<!-- Written by scripts/generate.mjs. Edit the declarations instead. -->';

/**
 * docs/reference/models.md: what can be opened and run, and what was found of it.
 * @param {Declarations} declarations
 * @param {readonly import('./model-results.mjs').ModelResult[]} results
 * @param {readonly import('./model-results.mjs').NotWritten[]} notWritten
 */
export function modelsReference(declarations, results, notWritten) {
  const { architectures, encoderArchitectures, seq2seqFamilies, stagedFamilies } = declarations;
  const { allGgufFamilies, namesInGguf, dequantizedDTypes } = declarations;
  const { quantizationMethods, rotaryScalings, activations, outputFormats } = declarations;
  /**
   * @param {{modelType: string, matchingFields?: Readonly<Record<string, unknown>>}} family
   * @param {number} [towers]
   */
  const ggufNames = (family, towers) => namesInGguf(family, towers).map(code).join(', ');
  const decoders = architectures.map((architecture) => [
    code(architecture.modelType),
    architecture.slopes === undefined
      ? architecture.rotary === 'none' && architecture.embeddingAndHead.positions === undefined
        ? ''
        : positions[architecture.rotary]
      : architecture.rotary === 'none'
        ? 'ALiBi'
        : `${positions[architecture.rotary]} or ALiBi`,
    describeMixer(architecture),
    architecture.experts === undefined ? '' : 'yes',
    ggufNames(architecture),
  ]);
  const restrictions = architectures.flatMap((architecture) => {
    const { modelType, limits = '' } = architecture;
    const said = [listRestrictions(architecture), limits].filter((part) => part !== '');
    return said.length === 0 ? [] : [`- ${code(modelType)}: ${said.join('. ')}`];
  });
  /**
   * @param {import('./model-results.mjs').Kind} kind
   * @param {readonly import('./model-results.mjs').Family[]} families
   */
  const measured = (kind, families) =>
    table(
      ['Family', 'Error', 'Removed', 'Written as', 'As GGUF'],
      families.map((family) => {
        const { length } = families.filter(({ modelType }) => modelType === family.modelType);
        // A table fits a screen if names are no longer than they need be.
        const [ofClass] = family.headClasses ?? [];
        const named = { ...family, headClasses: ofClass === undefined ? [] : [ofClass] };
        const name = length > 1 ? familyName(named) : code(family.modelType);
        return measuredRow(results, kind, family, name);
      }),
    );
  const fileNames = [...new Set(allGgufFamilies.map(([name]) => name))];
  const encoders = encoderArchitectures.map((architecture) => [
    familyName(architecture),
    [...new Set(architecture.heads.map(({ auto }) => code(auto.replace('AutoModelFor', ''))))].join(
      ', ',
    ),
    ggufNames(architecture),
  ]);
  const pairs = seq2seqFamilies.map(({ modelType, source, config }) => [
    code(modelType),
    source === 'text' ? 'text' : 'spectrogram',
    Object.keys(config.pruned?.(seq2seqBlocks, [0, 1]) ?? {})
      .filter((field) => field in seq2seqBlocks)
      .map(code)
      .join(', '),
    ggufNames({ modelType }, 2),
  ]);
  const stages = stagedFamilies.map(({ modelType, modules, config }) => [
    code(modelType),
    Object.keys(modules).map(code).join(', '),
    config.pruned === undefined ? 'modeling file' : code('depths'),
  ]);
  const methods = Object.entries(quantizationMethods).map(([name, { runs }]) => {
    return `- ${code(name)}: ${runs.bits.join(', ')} bits as ${runs.forms.map(code).join(', ')}`;
  });
  return [
    note,
    '# Models',
    `Espalier opens three formats: ${Object.values(outputFormats).join(', ')}. It reads headers first; weights stay in their files.`,
    'Models outside these tables still open in the model explorer. They can be inspected, but not run.',
    'How exactly each family runs, and what it is written as, is [below](#measured). What other tools load is in [bench/outputs](../../bench/outputs/RESULTS.md); how much of what transformers knows can be opened, in [bench/coverage](../../bench/coverage/RESULTS.md); ONNX graphs and quantized folders, in [bench/models](../../bench/models/RESULTS.md); models of packages end to end, in [bench/published](../../bench/published/RESULTS.md).',
    '## Decoders in Hugging Face folders',
    'The family is `model_type` in `config.json`. In multimodal models whose `text_config` names a family below, the text tower is run and pruned; the other parts are copied byte for byte. Their GGUF files contain only the text tower. After removing single sublayers, the folder loads in transformers with a modeling file, as the class that `architectures` names.',
    table(['`model_type`', 'Positions', 'Mixers', 'Experts', 'As GGUF'], decoders),
    'SSM and linear-attention layers (mixers) carry a state along the sequence instead of attending to previous tokens. They are run, profiled, removed and written like other sublayers; generation keeps the state between tokens, and ONNX files take and return it.',
    'For some fields, only one value is supported. A folder with another value is rejected with an error that names the field. Some families have further limits.',
    restrictions.join('\n'),
    '## Encoders in Hugging Face folders',
    "The head is the class that `architectures` in `config.json` names, such as `BertForMaskedLM`. Without a known head the output is the last hidden states, or the pooled embedding of a sentence-transformers folder (`modules.json`: mean, first or last position, followed by Dense modules). They read texts, images (`pixel_values`), audio samples or spectrograms (`input_values`). A GGUF file has no head; its output is pooled by its `pooling_type` (mean, first or last position). EmbeddingGemma is `gemma3_text` with `use_bidirectional_attention`. `neobert`, Jina v2 (`bert` with ALiBi) and Nomic Embed as published (`nomic_bert` with `activation_function: swiglu` or `moe_every_n_layers`) come with code from the hub, so no modeling file can be written for them: only whole blocks can be removed, if any, or weights zeroed. For models of two towers (`clip`, `metaclip_2`, `siglip`), Espalier uses the text tower if `architectures` names one of the classes below, otherwise the vision tower; the other is copied unchanged. The output of CLIP's text tower is the state of the end token, projected if the class projects it; that of SigLIP is the projected state of the last position.",
    table(['`model_type`', 'Heads', 'As GGUF'], encoders),
    '## Encoder–decoder models in Hugging Face folders',
    "Decoder blocks are numbered after the encoder's, and cross-attention is a sublayer of its own. Sublayers and blocks can be profiled and removed, MLPs width-pruned, and linear layers compressed and repaired, sublayer by sublayer. Patches are not supported. Metrics compare the decoder's logits; perplexity is that of the target given its source, in Whisper models of the transcript given its recording. The fields below store the number of remaining blocks. Post-norm families keep all blocks, because their norms stay. A folder with `is_encoder_decoder: false` is a decoder saved alone, as above. For calibration, see [Profile options](profiling.md#calibration-text).",
    table(['`model_type`', 'Source', 'Whole blocks by', 'GGUF'], pairs),
    '## Image models in stages in Hugging Face folders',
    'The residual stream changes its size between stages; the layers that resize it stay. Sublayers and blocks can be profiled and removed, and linear layers of attention, MLPs and other branches compressed and repaired. Patches are not supported. Models open without a head, or with one for image classification. The number of remaining blocks is stored in `depths` if `config.json` has it, otherwise in a modeling file.',
    table(['`model_type`', 'Sublayers', 'Whole blocks by'], stages),
    '## Weights',
    [
      '- safetensors: float32, float16 and bfloat16, in one file or in shards.',
      `- GGUF: F32, F16, BF16, ${dequantizedDTypes.join(', ')}. Other types can be inspected.`,
      '- ONNX: everything that ONNX Runtime runs.',
    ].join('\n'),
    'Quantized Hugging Face folders, by `quant_method`:',
    methods.join('\n'),
    '## ONNX files',
    'Graphs from any exporter can be opened. Espalier finds the residual stream and its branches from the graph alone, not from names. Graphs without a residual stream can be inspected.',
    'Blocks in a Loop or Scan over stacked weights, as in exports of `torch` scans and JAX, are unrolled when the file is opened. Each step uses slices of the stacks, which stay in the file; a written model contains the steps as separate nodes. This requires a constant number of steps, and stacks whose first axis is the step.',
    '## Rotary positions and activations',
    [
      `- Rotary scaling (\`rope_type\`): ${listed(rotaryScalings)}.`,
      `- Activations (\`hidden_act\`): ${listed(activations)}.`,
    ].join('\n'),
    '## Measured',
    'Every family above was opened and run as a tiny model with random weights, written in all supported ways, and reopened (`node bench/models/run.mjs`).',
    [
      '- Error: largest max |a − b| / max |b| of the outputs, compared with transformers.',
      '- Removed: units that were removed from a written folder or file. If single sublayers can be removed, blocks can, too.',
      '- Written as: layouts of a folder, and ONNX. Each result matches the source with the same removals to 1e-4; GGUF files less closely if the format [rounds or computes differently](gguf.md#what-cant-be-written).',
      '- As GGUF: units that were removed from a GGUF file of the folder.',
    ].join('\n'),
    'GGUF files of these families can be read, but their tiny folders could not be written as GGUF, because of a field in `config.json`:',
    notWritten
      .map(
        ({ kind, family, field, reason }) =>
          `- ${code(family)} (${kind}), ${code(field)}: ${reason}`,
      )
      .join('\n'),
    '### Decoders',
    measured('decoder', architectures),
    '### Encoders',
    measured('encoder', encoderArchitectures),
    '### Encoder–decoder models',
    measured('encoder-decoder', seq2seqFamilies),
    '### Image models in stages',
    measured('stages', stagedFamilies),
    '### Quantized folders',
    'Each is a fixture in test/fixtures/quantized. Results are quantized like the source.',
    table(
      ['Quantization', 'Error', 'Removed', 'Written as', 'As GGUF'],
      results
        .filter(({ model }) => model.startsWith('quantized/'))
        .map((one) =>
          measuredRow([one], one.kind, makeFamily(one), code(one.model.replace('quantized/', ''))),
        ),
    ),
    '### GGUF files',
    'By `general.architecture`. The error compares files made by the package gguf with transformers or, if there are none, files written by Espalier with their folder.',
    table(
      ['Family', 'Error', 'Removed', 'Written as'],
      fileNames.map((name) => {
        const { read, written } = ggufResult(results, name) ?? {};
        return [code(name), formatError(read), findLoss(written), formatNames(written?.keys())];
      }),
    ),
  ].join('\n\n');
}

/**
 * docs/reference/layouts.md: what models are written as, and who loads that.
 * @param {Declarations} declarations
 */
export function layoutsReference({
  layouts,
  outputFormats,
  describeGgufLayout,
  inEnglish,
  requireFamily,
}) {
  const configText = JSON.stringify({ model_type: 'llama', architectures: ['LlamaForCausalLM'] });
  const example = { family: requireFamily(configText, 'config.json'), configText };
  const sections = Object.values(layouts).flatMap((layout) => [
    `### ${layout.name}`,
    layout.what,
    [
      `- Loads with: ${inEnglish(layout.loadsWith(example))}`,
      `- Smaller on disk: ${layout.keepsWeights || layout.name === 'dense' ? 'no' : 'yes'}.`,
      `- Python module in the folder: ${layout.module === 'none' ? 'no' : 'yes'}.`,
    ].join('\n'),
  ]);
  return [
    note,
    '# Formats and layouts',
    `Models are written as ${Object.keys(outputFormats).map(code).join(', ')} (\`--format\`). A layout (\`--layout\`) is how a folder expresses what was removed or compressed. By default Espalier takes the model's own format and the first layout that can express the change. It refuses the others before any work, and says why.`,
    'Which versions of other tools loaded the results is in [bench/outputs](../../bench/outputs/RESULTS.md).',
    '## Layouts of a Hugging Face folder',
    'The examples are for a Llama model.',
    ...sections,
    '## ONNX',
    "From a Hugging Face folder: one graph with a key/value cache, named as optimum names it; states of mixers are `past_key_values.0.conv_state` and `.recurrent_state`: pass zeros at the start of a text. ONNX Runtime loads it. The caches of DeepSeek-V4 hold keys and what compressed runs are made of, which optimum and onnxruntime-genai don't take.",
    'From an `.onnx` file: the same graph without the removed nodes and weights. Names of inputs and outputs stay.',
    '## GGUF',
    'From a Hugging Face folder or a GGUF file, with any types of tensors that llama.cpp quantizes to. llama.cpp loads them.',
    ...['blocks', 'deci'].map(
      (layout) =>
        `- \`${layout}\`: ${describeGgufLayout[/** @type {'blocks' | 'deci'} */ (layout)]}`,
    ),
  ].join('\n\n');
}

/**
 * @param {readonly import('./model-results.mjs').ModelResult[]} results
 * @param {import('./model-results.mjs').Kind} kind
 * @param {import('./model-results.mjs').Family} family
 * @param {string} name shown for it
 */
function measuredRow(results, kind, family, name) {
  const { error, written = new Map() } = familyResult(results, kind, family) ?? {};
  const [files, folders] = [true, false].map(
    (isFile) => new Map([...written].filter(([name]) => name.startsWith('gguf') === isFile)),
  );
  return [
    name,
    formatError(error),
    findLoss(folders),
    formatNames(folders?.keys()),
    findLoss(files),
  ];
}

/**
 * A family, and what tells it from another of its `model_type`.
 * @param {import('./model-results.mjs').Family} family
 */
function familyName({ modelType, matchingFields = {}, headClasses = [] }) {
  const fields = Object.entries(matchingFields).map(([field, value]) => `${field}: ${value}`);
  return [modelType, ...fields, ...headClasses].map(code).join(', ');
}

/**
 * A family that was just declared has none until bench/models/run.mjs has run, as a test says.
 * @param {number} [error]
 */
function formatError(error) {
  return error?.toExponential(1) ?? 'not measured';
}

const losses = { sublayers: 'sublayers', block: 'blocks', nothing: 'nothing' };

/** @param {Map<string, import('./model-results.mjs').Written>} [written] */
function findLoss(written = new Map()) {
  const found = [...written.values()].reduce(larger, undefined);
  return found === undefined ? '' : losses[found.without];
}

/** @param {Iterable<string>} [names] */
function formatNames(names = []) {
  return [...names].map((name) => (name === 'onnx' ? 'ONNX' : code(name))).join(', ');
}

/** A configuration of one block on each side, by any of the names that families have. */
const seq2seqBlocks = {
  num_layers: 1,
  num_decoder_layers: 1,
  encoder_layers: 1,
  decoder_layers: 1,
};

const positions = { shared: 'rotary', 'by-layer-type': 'rotary, by layer type', none: 'learned' };

const mixers = {
  'short-convolution': 'short convolution',
  'delta-rule': 'gated delta rule',
  'state-space': 'Mamba-2',
  'selective-scan': 'Mamba',
  'gated-recurrence': 'RG-LRU',
  lightning: 'lightning attention',
};

/** @param {import('../../extension/core/models/transformer/architecture').Architecture} architecture */
function describeMixer({ mixer }) {
  const config = /** @type {any} */ ({ hidden_size: 1 });
  return mixer === undefined ? '' : mixers[mixer.form(config).kind];
}

/**
 * The fields that have one supported value, or a few.
 * @param {import('../../extension/core/models/transformer/architecture').Architecture} architecture
 */
function listRestrictions({ config }) {
  return Object.entries(config?.only?.({}) ?? {})
    .filter(([field, value]) => /^[a-z]\w*$/.test(field) && value !== undefined)
    .map(([field, value]) =>
      [value]
        .flat()
        .map((one) => code(`${field}: ${JSON.stringify(one)}`))
        .join(' or '),
    )
    .join(', ');
}

/** @param {object} entries */
function listed(entries) {
  return Object.keys(entries).map(code).join(', ');
}

/** @param {string} text */
function code(text) {
  return `\`${text}\``;
}

/**
 * @param {string[]} headings
 * @param {string[][]} rows
 */
function table(headings, rows) {
  return [headings, headings.map(() => '---'), ...rows]
    .map((cells) => `| ${cells.join(' | ')} |`)
    .join('\n');
}
