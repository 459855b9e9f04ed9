import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as actions from 'aws-cdk-lib/aws-cloudwatch-actions';
import type * as sns from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import type { Names } from './names.js';

/** Properties of {@link HealthAlarms}. */
export interface HealthAlarmsProps {
  /** Names by convention. */
  readonly names: Names;
  /** The pair. */
  readonly pair: string;
  /** The cluster that the alarms are about: the one of the other Region. */
  readonly about: string;
  /** Where the alarm goes that leads to a recovery. */
  readonly alarms: sns.ITopic;
  /** Whether one alarm may stand on others; stand-ins do not know how. */
  readonly composite: boolean;
}

const RUNBOOK = 'Runbook: docs/alarms.md#unhealthy';
/** The lookers whose signals share no path; as the metrics spell them. */
const VANTAGES = ['standby', 'active'] as const;

/**
 * Whether the other Region's cluster is unhealthy, from two lookers that share no path. One alarm for each of them, and
 * one on both, which leads to a recovery: that looks again before it acts.
 *
 * Two of three minutes must be bad, and silence is bad: a Region that is gone tells nothing. What it costs in time is a
 * stated budget: three minutes of the clock from the first bad look to the alarm, at most; four to five where one looker is
 * silent, because CloudWatch prefers the looks that it has in a longer range to those that are missing.
 */
export class HealthAlarms extends Construct {
  /** The alarm that leads to a recovery. */
  readonly unhealthy: cloudwatch.AlarmBase;

  constructor(scope: Construct, id: string, props: HealthAlarmsProps) {
    super(scope, id);
    const name = props.names.alarm(props.about);
    if (!props.composite) {
      this.unhealthy = this.seenFrom('standby', name, props);
    } else {
      const seen = VANTAGES.map((vantage) => this.seenFrom(vantage, `${name}-seen-from-${vantage}`, props));
      this.unhealthy = new cloudwatch.CompositeAlarm(this, 'Unhealthy', {
        compositeAlarmName: name,
        alarmDescription: `Two lookers that share no path find ${props.about} unhealthy, or hear nothing. ${RUNBOOK}`,
        alarmRule: cloudwatch.AlarmRule.allOf(
          ...seen.map((alarm) => cloudwatch.AlarmRule.fromAlarm(alarm, cloudwatch.AlarmState.ALARM)),
        ),
      });
    }
    this.unhealthy.addAlarmAction(new actions.SnsAction(props.alarms));
  }

  private seenFrom(vantage: string, alarmName: string, props: HealthAlarmsProps): cloudwatch.Alarm {
    return new cloudwatch.Alarm(this, `From-${vantage}`, {
      alarmName,
      alarmDescription: `${props.about}, seen from the ${vantage} Region, fails or is silent. ${RUNBOOK}`,
      metric: new cloudwatch.Metric({
        namespace: 'Understudy',
        metricName: 'ProbeSuccess',
        dimensionsMap: { Pair: props.pair, Cluster: props.about, Vantage: vantage },
        period: Duration.minutes(1),
        statistic: 'Minimum',
      }),
      comparisonOperator: cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
      threshold: 1,
      evaluationPeriods: 3,
      datapointsToAlarm: 2,
      treatMissingData: cloudwatch.TreatMissingData.BREACHING,
    });
  }
}
