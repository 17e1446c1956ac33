import { buildChild } from '../build-child';

/** The probe as the product's build makes it, so that it can be forked; gives its path. */
export const buildProbe = async (): Promise<string> => buildChild('probe');
