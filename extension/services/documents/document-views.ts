import { documentGlob, documentIds, documentNames, requestSuffix } from '../../core/document-names';
import type { DocumentId } from '../../core/document-names';

/** Editor settings for documents of a type. */
interface DocumentView {
  /** Id of the custom editor; without one, documents open in the text editor. */
  readonly viewType?: string;
  /** Path of a JSON schema, for the text editor. */
  readonly schema?: string;
}

/** Ids of the custom editors of documents. */
export const viewTypes = {
  layerProfile: 'espalier.layerProfile',
  sensitivity: 'espalier.sensitivity',
  scores: 'espalier.dataMapEditor',
  evolution: 'espalier.symbolicEditor',
} as const;

/** Id of the custom editor of weight files. */
export const weightsViewType = 'espalier.modelExplorer';

/** Types that the editor knows; others are ordinary JSON to it. */
export const documentViews: Readonly<Partial<Record<DocumentId, DocumentView>>> = {
  layerProfile: { viewType: viewTypes.layerProfile },
  sensitivity: { viewType: viewTypes.sensitivity },
  scores: { viewType: viewTypes.scores },
  evolution: { viewType: viewTypes.evolution },
  plan: { schema: './media/plan.schema.json' },
};

/** Requests of the command line: the text editor completes their fields. */
const requests = { suffix: requestSuffix, schema: './media/request.schema.json' };

/** Contributions of documents in package.json. */
export interface DocumentContributions {
  /** Documents of `activationEvents`, which are handled as soon as they exist. */
  readonly activationEvents: readonly string[];
  readonly customEditors: readonly {
    readonly viewType: string;
    readonly selector: readonly { readonly filenamePattern: string }[];
    readonly priority: 'default';
  }[];
  readonly jsonValidation: readonly { readonly fileMatch: string; readonly url: string }[];
  /** Conditions on `resourceFilename` by which menus tell documents, by type. */
  readonly conditions: Readonly<Partial<Record<DocumentId, string>>>;
}

/** The parts of package.json that follow from the types of documents. */
export function documentContributions(): DocumentContributions {
  const views = documentIds.flatMap((id) => {
    const view = documentViews[id];
    return view === undefined ? [] : [{ id, ...view, ...documentNames[id] }];
  });
  return {
    activationEvents: views.map(({ id }) => `workspaceContains:${documentGlob(id)}`),
    customEditors: views.flatMap(({ viewType, suffix }) =>
      viewType === undefined
        ? []
        : [{ viewType, selector: [{ filenamePattern: `*${suffix}` }], priority: 'default' }],
    ),
    jsonValidation: [...views, requests].flatMap(({ schema, suffix }) =>
      schema === undefined ? [] : [{ fileMatch: `*${suffix}`, url: schema }],
    ),
    conditions: Object.fromEntries(
      documentIds.map((id) => [
        id,
        `resourceFilename =~ /${documentNames[id].suffix.replaceAll('.', String.raw`\.`)}$/`,
      ]),
    ),
  };
}
