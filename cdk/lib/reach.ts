import type { Step } from './steps.js';

/**
 * Something that a step may do beyond reading the ledger and its pair, and keeping what it hands on in the store, which
 * every step does.
 */
export type Reach =
  /** Changes the ledger. */
  | 'ledger-write'
  /** Reads what probers saw. */
  | 'signals'
  /** Publishes what it saw: in the ledger's table and as metrics. */
  | 'signals-write'
  /** Connects to the clusters. */
  | 'kafka'
  /** Tries a write as one of the writers whom a fence shuts out. */
  | 'writers-login'
  /** Writes records that only a cluster that came back holds to topics of their own. */
  | 'tails'
  /** Makes the topics that a flow's state lies in. */
  | 'flow-state'
  /** Asks AWS about MSK clusters. */
  | 'control-plane'
  /** Sets the counts of flows' workers. */
  | 'workers'
  /** Stops applications. */
  | 'stop-clients'
  /** Moves applications. */
  | 'move-clients'
  /** Tells people. */
  | 'people'
  /** Starts state machines. */
  | 'start-machines'
  /** Looks whether an execution is under way. */
  | 'look-at-machines'
  /** Answers tasks that wait. */
  | 'answer-machines';

/** What each step may reach. What is not here, its role does not permit. */
export const REACH: Readonly<Record<Step, readonly Reach[]>> = {
  'probe-health': ['kafka', 'signals-write', 'control-plane'],
  'trigger-recovery': ['ledger-write', 'signals', 'people', 'start-machines', 'look-at-machines'],
  'claim-epoch': ['ledger-write'],
  assess: ['signals', 'kafka'],
  'plan-recovery': [],
  'request-approval': ['people', 'answer-machines'],
  'answer-approval': ['answer-machines', 'look-at-machines'],
  'fence-source': ['ledger-write', 'kafka', 'writers-login'],
  'unfence-source': ['ledger-write', 'kafka'],
  'keep-fences': ['ledger-write', 'kafka', 'writers-login', 'people'],
  'await-drain': ['kafka'],
  'quiesce-clients': ['kafka', 'stop-clients', 'people'],
  'seal-flow': ['ledger-write', 'kafka', 'workers'],
  'commit-group-offsets': ['kafka'],
  'verify-offsets': ['kafka'],
  'open-target': ['ledger-write', 'kafka'],
  'reconfigure-clients': ['kafka', 'move-clients', 'people'],
  'verify-clients': ['kafka'],
  'survey-tail': ['kafka'],
  'put-aside-tail': ['kafka', 'tails'],
  'start-flow': ['kafka', 'flow-state', 'workers'],
  'record-evidence': ['ledger-write'],
  notify: ['people'],
};
