import { t } from '../translate';

/** Texts of the panel itself; those of a report come with it. */
export const strings = {
  loading: t('Opening the report…'),
  actions: t('Actions'),
  copy: t('Copy'),
  copyTitle: (program: string) => t('Copy the command for {0}', program),
  copied: t('Copied.'),
} as const;
