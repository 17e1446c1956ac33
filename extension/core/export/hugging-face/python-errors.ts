/** Python statement of modeling_espalier.py for versions of transformers that are too old. */
export const raiseTooOld = 'raise ImportError("this file needs transformers 5 or later")';
