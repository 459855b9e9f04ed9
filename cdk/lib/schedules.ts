import { Duration } from 'aws-cdk-lib';
import * as events from 'aws-cdk-lib/aws-events';
import * as targets from 'aws-cdk-lib/aws-events-targets';
import type * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import type { Side } from './pair.js';
import type { RecoveryFunction } from './recovery-function.js';

/** Properties of {@link Schedules}. */
export interface SchedulesProps {
  /** What names begin with. */
  readonly prefix: string;
  /** The pair. */
  readonly pair: string;
  /** This Region's side of it. */
  readonly side: Side;
  /** Looks at a cluster. */
  readonly probe: RecoveryFunction;
  /** Looks again while an alarm stands. */
  readonly trigger: RecoveryFunction;
  /** Fences clusters that were left. */
  readonly fences: RecoveryFunction;
  /** Where events go that no function took. */
  readonly undelivered: sqs.IQueue;
}

/**
 * What happens every minute: this Region's cluster and the other one are looked at, and so is an outage that lasts; a
 * cluster that was left and answers again is fenced.
 */
export class Schedules extends Construct {
  constructor(scope: Construct, id: string, props: SchedulesProps) {
    super(scope, id);
    const every = (name: string, description: string, to: RecoveryFunction, event: Record<string, string>) =>
      new events.Rule(this, name, {
        ruleName: `${props.prefix}-${name}`,
        description,
        schedule: events.Schedule.rate(Duration.minutes(1)),
        targets: [
          new targets.LambdaFunction(to.function, {
            event: events.RuleTargetInput.fromObject(event),
            deadLetterQueue: props.undelivered,
            // A look that is late is no look.
            maxEventAge: Duration.minutes(1),
            retryAttempts: 1,
          }),
        ],
      });
    every('probe-here', 'A look at the cluster of this Region, from beside it', props.probe, {
      about: props.side.alias,
      vantage: 'active',
    });
    every('probe-other', 'A look at the cluster of the other Region, over the peering', props.probe, {
      about: props.side.other.alias,
      vantage: 'standby',
    });
    every('keep-fences', 'A cluster that was left is fenced as soon as it answers again', props.fences, { pair: props.pair });
    every('look-again', 'An alarm that stands fires no more; this looks again', props.trigger, {
      schedule: 'look-again',
      pair: props.pair,
    });
  }
}
