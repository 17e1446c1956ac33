/** Python of what modeling_espalier.py does where transformers is too old for it. */
export const raiseTooOld = 'raise ImportError("this file needs transformers 5 or later")';
