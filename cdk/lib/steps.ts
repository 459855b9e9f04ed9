/** The steps of a recovery: one function each. The names are the domain's (`Step::ALL`); a test holds them together. */
export const STEPS = [
  'probe-health',
  'trigger-recovery',
  'claim-epoch',
  'assess',
  'plan-recovery',
  'request-approval',
  'answer-approval',
  'fence-source',
  'unfence-source',
  'keep-fences',
  'await-drain',
  'quiesce-clients',
  'seal-flow',
  'commit-group-offsets',
  'verify-offsets',
  'open-target',
  'reconfigure-clients',
  'verify-clients',
  'survey-tail',
  'put-aside-tail',
  'start-flow',
  'record-evidence',
  'notify',
] as const;

/** A step's name. */
export type Step = (typeof STEPS)[number];

/** The step as a construct's id: `SealFlow`. */
export function idOf(step: Step): string {
  return step
    .split('-')
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('');
}

/** The placeholder by which state machines name a step's function: `SealFlowArn`. */
export function placeholderOf(step: Step): string {
  return `${idOf(step)}Arn`;
}
