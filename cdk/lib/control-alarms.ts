import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type * as sns from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import { Alarms } from './alarm.js';
import { probeMetric, recoveryMetric } from './metrics.js';

/** Properties of {@link ControlAlarms}. */
export interface ControlAlarmsProps {
  /** What names begin with. */
  readonly prefix: string;
  /** The pair. */
  readonly pair: string;
  /** The cluster of the other Region. */
  readonly about: string;
  /** The ledger's table. */
  readonly ledgerTable: string;
  /** Its Region's replica, or the Region of the one table: alarms see their own Region only. */
  readonly ledgerHere: boolean;
  /** The state machines, by name, with their ARNs. */
  readonly machines: readonly { readonly name: string; readonly arn: string }[];
  /** Where people are told. */
  readonly people: sns.ITopic;
}

/** So many refusals within five minutes are more than steps that were done twice. */
const CONFLICTS = 5;

/** Whether what decides can decide: lookers whose own path is proven, a ledger that one recovery holds at a time. */
export class ControlAlarms extends Construct {
  constructor(scope: Construct, id: string, props: ControlAlarmsProps) {
    super(scope, id);
    const alarms = new Alarms(this, props.prefix, props.people);
    for (const vantage of ['standby', 'active'] as const) {
      alarms.tell({
        name: `path-unproven-${vantage}`,
        runbook: 'path-unproven',
        what: `The prober with the ${vantage} vantage cannot tell about ${props.about}: nothing else answers it either.`,
        metric: probeMetric('PathProven', { pair: props.pair, cluster: props.about, vantage }),
        below: 1,
        for: 4,
        of: 5,
        // A prober that is silent is for the alarm that leads to a recovery.
        silence: 'nothing',
      });
    }
    if (props.ledgerHere) {
      alarms.tell({
        name: 'ledger-conflicts',
        runbook: 'ledger-conflicts',
        what: 'Writes to the ledger are refused again and again: two recoveries of the pair want to act.',
        // DynamoDB tells of nothing where nothing was refused, and an alarm on its metrics keeps its state while data is
        // missing: without the zeros it would fire once and never again.
        metric: new cloudwatch.MathExpression({
          expression: 'FILL(refused, 0)',
          usingMetrics: { refused: refused(props.ledgerTable) },
          label: 'Writes to the ledger that were refused',
          period: Duration.minutes(5),
        }),
        atLeast: CONFLICTS,
        for: 1,
        silence: 'nothing',
      });
    }
    alarms.tell({
      name: 'stuck',
      runbook: 'stuck',
      what: 'A recovery of the pair ended in the middle, or has held it for longer than all its limits add up to; or nobody can tell.',
      metric: recoveryMetric('RecoveryOverdueSeconds', props.pair),
      above: 0,
      for: 5,
      silence: 'bad',
    });
    for (const machine of props.machines) {
      alarms.tell({
        name: `${machine.name}-started`,
        runbook: 'started',
        what: `A ${machine.name} or its drill has begun.`,
        metric: new cloudwatch.Metric({
          namespace: 'AWS/States',
          metricName: 'ExecutionsStarted',
          dimensionsMap: { StateMachineArn: machine.arn },
          statistic: 'Sum',
          period: Duration.minutes(1),
        }),
        atLeast: 1,
        for: 1,
        silence: 'nothing',
      });
    }
  }
}

function refused(table: string): cloudwatch.Metric {
  return new cloudwatch.Metric({
    namespace: 'AWS/DynamoDB',
    metricName: 'ConditionalCheckFailedRequests',
    dimensionsMap: { TableName: table },
    statistic: 'Sum',
    period: Duration.minutes(5),
  });
}
