import process from 'node:process';
import type { Readable, Writable } from 'node:stream';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import {
  CallToolRequestSchema,
  ErrorCode,
  ListToolsRequestSchema,
  McpError,
} from '@modelcontextprotocol/sdk/types.js';
import { inEnglish } from '../../core/message';
import type { Tool } from './tools';

/** Minimum time between progress notifications of a call, in milliseconds. */
const interval = 500;

const instructions =
  'Espalier measures what each sublayer of a model is worth and removes sublayers, prunes their widths, and compresses or repairs layers. ' +
  'Paths are those of this machine. Start with inspect_model. Then profile_layers, plan_removal and apply_plan write a ' +
  'smaller model, and evaluate_model compares it with the original. The original is never changed.';

/** Milliseconds between checks that the parent process is alive. */
const parentInterval = 1000;

/**
 * Serves tools by the Model Context Protocol over standard input and output, until the input or the parent process
 * ends.
 */
export async function serve(
  tools: readonly Tool[],
  version: string,
  input: Readable = process.stdin,
  output: Writable = process.stdout,
): Promise<void> {
  // Tools have JSON schemas, which only the low-level server accepts.
  const { server } = new McpServer(
    { name: 'espalier', title: 'Espalier', version },
    { capabilities: { tools: {} }, instructions },
  );
  server.setRequestHandler(ListToolsRequestSchema, () => ({
    tools: tools.map(({ name, title, description, inputSchema, isReading }) => ({
      ...{ name, title, description, inputSchema },
      // A document at `out` is replaced.
      annotations: {
        ...{ title, readOnlyHint: isReading, destructiveHint: !isReading, openWorldHint: false },
      },
    })),
  }));
  server.setRequestHandler(CallToolRequestSchema, async ({ params }, extra) => {
    const tool = tools.find(({ name }) => name === params.name);
    if (tool === undefined) {
      throw new McpError(ErrorCode.InvalidParams, `There is no tool ${params.name}.`);
    }
    const progressToken = params._meta?.progressToken;
    let lastSent = -Infinity;
    const { text, isError } = await tool.call(params.arguments ?? {}, {
      cancellation: {
        get isCancellationRequested() {
          return extra.signal.aborted;
        },
      },
      progress: ({ stage, done, total }) => {
        const now = performance.now();
        if (progressToken === undefined || now - lastSent < interval) return;
        lastSent = now;
        void extra.sendNotification({
          method: 'notifications/progress',
          params: { progressToken, progress: done, total, message: inEnglish(stage) },
        });
      },
    });
    return { content: [{ type: 'text', text }], isError };
  });
  const ended = new Promise<void>((resolve) => {
    server.onclose = resolve;
    input.once('end', resolve);
    for (const signal of ['SIGINT', 'SIGTERM']) {
      process.once(signal, () => {
        resolve();
      });
    }
    // Another process may keep the input open after the client was killed.
    const parent = process.ppid;
    setInterval(() => {
      if (process.ppid !== parent) resolve();
    }, parentInterval).unref();
  });
  await server.connect(new StdioServerTransport(input, output));
  await ended;
  // Calls in work stop at their next step, or are killed a few seconds later.
  await server.close();
}
