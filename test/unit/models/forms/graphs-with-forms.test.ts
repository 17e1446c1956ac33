import { describe, expect, it } from 'vitest';
import { OnnxLayeredModel } from '../../../../extension/core/models/onnx/onnx-layered-model';
import { graphExample, onnxCases, onnxFixture, readOnnxGolden } from '../../onnx-fixtures';
import { rejection } from '../../rejection';
import { temporaryFolder } from '../../temporary-folder';
import { testForms } from './form-cases';
import { layersOf, quantizedForms, withForms } from './layered';

const folder = temporaryFolder();

const withLayers = onnxCases.filter(
  (name) =>
    readOnnxGolden(name).removed !== undefined &&
    !/^(?:mobilenet|resnet|gpt2-dynamicquant|bert-dynamicquant|qwen3-intfour)/.test(name),
);

testForms(
  withLayers.map((name) => ({
    name,
    path: onnxFixture(name),
    input: () => graphExample(name),
    ...(name.includes('half') ? { tolerance: 5e-3 } : {}),
  })),
  folder,
);
