import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as actions from 'aws-cdk-lib/aws-cloudwatch-actions';
import type * as sns from 'aws-cdk-lib/aws-sns';
import type { Construct } from 'constructs';

/** What an alarm says. */
export interface Told {
  /** Its name, behind what names begin with; also its construct's id. */
  readonly name: string;
  /** Its section of `docs/alarms.md`. */
  readonly runbook: string;
  /** What is true when it fires, in a sentence. */
  readonly what: string;
}

/** When it fires. */
export interface When extends Told {
  readonly metric: cloudwatch.Metric | cloudwatch.MathExpression;
  /** Above this, at or above it, or below it. */
  readonly above?: number;
  readonly atLeast?: number;
  readonly below?: number;
  /** So many of the last `of` periods. */
  readonly for: number;
  readonly of?: number;
  /** What silence means: bad, or nothing. */
  readonly silence: 'bad' | 'nothing';
}

/** Makes the alarms of a part: each says what it means, where its runbook is and what silence means. */
export class Alarms {
  private readonly scope: Construct;
  private readonly prefix: string;
  private readonly people: sns.ITopic;

  constructor(scope: Construct, prefix: string, people: sns.ITopic) {
    this.scope = scope;
    this.prefix = prefix;
    this.people = people;
  }

  /** One that tells people. */
  tell(when: When): cloudwatch.Alarm {
    const alarm = this.watch(when);
    this.toPeople(alarm);
    return alarm;
  }

  /** One that others stand on, and that tells nobody by itself. */
  watch(when: When): cloudwatch.Alarm {
    const [comparisonOperator, threshold] = comparison(when);
    return new cloudwatch.Alarm(this.scope, when.name, {
      ...this.said(when),
      alarmName: this.nameOf(when),
      metric: audible(when, threshold),
      comparisonOperator,
      threshold,
      evaluationPeriods: when.of ?? when.for,
      datapointsToAlarm: when.for,
      treatMissingData: when.silence === 'bad' ? cloudwatch.TreatMissingData.BREACHING : cloudwatch.TreatMissingData.NOT_BREACHING,
    });
  }

  /** One that stands on others, and tells people. */
  stand(told: Told, alarmRule: cloudwatch.IAlarmRule): cloudwatch.CompositeAlarm {
    const alarm = new cloudwatch.CompositeAlarm(this.scope, told.name, {
      ...this.said(told),
      compositeAlarmName: this.nameOf(told),
      alarmRule,
    });
    this.toPeople(alarm);
    return alarm;
  }

  private said(told: Told) {
    return { alarmDescription: `${told.what} Runbook: docs/alarms.md#${told.runbook}` };
  }

  private nameOf(told: Told): string {
    return `${this.prefix}-${told.name}`;
  }

  /** When it begins and when it ends: a page that never says that it is over is looked at once too often. */
  private toPeople(alarm: cloudwatch.AlarmBase): void {
    alarm.addAlarmAction(new actions.SnsAction(this.people));
    alarm.addOkAction(new actions.SnsAction(this.people));
  }
}

/**
 * What an alarm looks at, with silence filled in where each of its periods must be bad and silence is. CloudWatch looks at
 * more periods than it evaluates, and would take older ones that are well in place of those that are missing: a silence would
 * have to last for two periods more than is said. The newest periods may be missing because they are late; that is no harm,
 * as the oldest must be bad too.
 */
function audible(when: When, threshold: number): cloudwatch.IMetric {
  const { metric } = when;
  if (when.silence === 'nothing' || (when.of ?? when.for) !== when.for) {
    return metric;
  }
  const bad = when.below === undefined ? threshold + 1 : threshold - 1;
  return new cloudwatch.MathExpression({
    expression: `FILL(told, ${bad})`,
    usingMetrics: { told: metric },
    label: metric.label ?? when.name,
    period: metric.period ?? Duration.minutes(1),
  });
}

function comparison(when: When): [cloudwatch.ComparisonOperator, number] {
  const { above, atLeast, below } = when;
  if (above !== undefined) {
    return [cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD, above];
  }
  if (atLeast !== undefined) {
    return [cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD, atLeast];
  }
  if (below !== undefined) {
    return [cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD, below];
  }
  throw new Error(`${when.name} has no threshold`);
}
