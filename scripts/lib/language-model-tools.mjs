/**
 * Contributes operations as tools that language models call.
 * @param {Record<string, any>} manifest changed in place
 * @param {Record<string, string>} words changed in place
 * @param {import('./core-modules.mjs').Declarations} declarations
 */
export function settleTools(manifest, words, declarations) {
  const { editorOperations, editorToolName, toolDeclaration } = declarations;
  const tools = editorOperations.map((operation) => {
    const { name, title, description, inputSchema } = toolDeclaration(operation);
    words[`tool.${name}`] ??= title;
    return {
      name: editorToolName(operation),
      toolReferenceName: name,
      displayName: `%tool.${name}%`,
      modelDescription: description,
      canBeReferencedInPrompt: true,
      inputSchema,
    };
  });
  manifest['contributes'].languageModelTools = tools;
}
