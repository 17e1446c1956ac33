import { array, boolean, object, optional, string, tuple } from 'valibot';
import type { GenericSchema, InferOutput } from 'valibot';
import type { NextStep } from '../core/operations/presentation';
import type { CallSchemas } from './panel';

const step = string() as GenericSchema<unknown, string> as GenericSchema<unknown, NextStep>;

/** Subject of a report's buttons. */
const subjectSchema = object({
  /** Path of what was written, or of the model that was evaluated. */
  output: string(),
  /** Path of the model in it. */
  model: string(),
  /** Path of the source model or of the compared model. */
  source: string(),
  /** Sensitivity profile that its types were chosen by. */
  sensitivity: optional(string()),
  /** Program that the model was made for. */
  runtime: optional(string()),
});
export type StepSubject = Readonly<InferOutput<typeof subjectSchema>>;

const tileSchema = object({ name: string(), value: string(), note: string() });
export type ReportTile = Readonly<InferOutput<typeof tileSchema>>;

const tableSchema = object({
  columns: array(object({ title: string(), isNumber: optional(boolean()) })),
  rows: array(array(string())),
});

const sectionSchema = object({
  title: string(),
  note: optional(string()),
  tiles: optional(array(tileSchema)),
  texts: optional(array(string())),
  /** Ids, one a line. */
  list: optional(array(string())),
  table: optional(tableSchema),
  /** Text of a program. */
  code: optional(string()),
  /** Commands to copy. */
  commands: optional(array(object({ program: string(), command: string() }))),
});
export type ReportSection = InferOutput<typeof sectionSchema>;

/** Report of a result: output, quality, and next steps. A tab restores it after a reload. */
export const reportSchema = object({
  /** Storage key, for example the path of the output. */
  key: string(),
  title: string(),
  tooltip: string(),
  tags: array(string()),
  notices: array(string()),
  subject: subjectSchema,
  /** Buttons, the first of them primary. */
  steps: array(object({ id: step, label: string(), title: string() })),
  sections: array(sectionSchema),
}) satisfies GenericSchema<unknown, unknown>;
export type ReportPage = InferOutput<typeof reportSchema>;

export interface ReportState {
  readonly report: ReportPage;
}

export interface ReportCalls {
  step(id: NextStep): void;
  /** Copies a command. */
  copy(command: string): void;
}

export const reportCalls: CallSchemas<ReportCalls> = {
  step: tuple([step]),
  copy: tuple([string()]),
};
