import { Duration } from 'aws-cdk-lib';
import type * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type * as sns from 'aws-cdk-lib/aws-sns';
import type * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { Alarms } from './alarm.js';
import type { RecoveryFunction } from './recovery-function.js';
import type { RecoveryMachine } from './recovery-machine.js';

/** Properties of {@link OwnAlarms}. */
export interface OwnAlarmsProps {
  /** What names begin with. */
  readonly prefix: string;
  /** Where people are told. */
  readonly people: sns.ITopic;
  /** Events that no function took. */
  readonly undelivered: sqs.IQueue;
  /** The functions that nobody waits for: what fails there fails unseen. */
  readonly unattended: readonly RecoveryFunction[];
  /** The state machines. */
  readonly machines: readonly RecoveryMachine[];
}

/** Whether Understudy itself works. None of these leads to a recovery: a person is told. */
export class OwnAlarms extends Construct {
  constructor(scope: Construct, id: string, props: OwnAlarmsProps) {
    super(scope, id);
    const alarms = new Alarms(this, props.prefix, props.people);
    // Nothing happened, which is what is wanted.
    const tell = (name: string, runbook: string, what: string, metric: cloudwatch.Metric) =>
      alarms.tell({ name, runbook, what, metric, above: 0, for: 1, silence: 'nothing' });
    const minute = { period: Duration.minutes(1) };
    tell(
      'undelivered',
      'undelivered',
      'An event reached no function: an alarm or a schedule may have led to nothing.',
      props.undelivered.metricApproximateNumberOfMessagesVisible({ ...minute, statistic: 'Maximum' }),
    );
    for (const unattended of props.unattended) {
      const step = unattended.node.id;
      tell(`${step}-errors`, 'errors', `${step} fails, and nobody waits for its answer.`, unattended.function.metricErrors(minute));
    }
    for (const machine of props.machines) {
      const name = machine.node.id;
      tell(`${name}-failed`, 'failed', `${name} ended in the middle; a person is needed.`, machine.machine.metricFailed(minute));
      tell(`${name}-timed-out`, 'timed-out', `${name} ran out of time.`, machine.machine.metricTimedOut(minute));
      tell(`${name}-aborted`, 'aborted', `Somebody stopped ${name}.`, machine.machine.metricAborted(minute));
    }
  }
}
