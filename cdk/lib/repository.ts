import { join } from 'node:path';

/** The repository's folder: what images are built from. */
export const REPOSITORY = join(import.meta.dirname, '..', '..', '..');
