import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as events from 'aws-cdk-lib/aws-events';
import * as targets from 'aws-cdk-lib/aws-events-targets';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as sns from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import { Alarms } from './alarm.js';
import { InlineFunction } from './inline-function.js';
import { NAMESPACE, probeMetric } from './metrics.js';
import { acknowledge } from './permissions.js';

/** Properties of {@link CredentialAlarms}. */
export interface CredentialAlarmsProps {
  /** What names begin with. */
  readonly prefix: string;
  /** The pair. */
  readonly pair: string;
  /** The cluster of the other Region: what probers of this one and of that one publish here is about it. */
  readonly about: string;
  /** The secrets that flow files name, in this Region. */
  readonly secrets: readonly string[];
  /** How long logs are kept. */
  readonly logDays: number;
  /** The ARN of the Region's key. */
  readonly keyArn: string;
  /** Where people are told. */
  readonly people: sns.ITopic;
}

/** A password is older than anybody agreed to. */
const OLD_DAYS = 365;
/** A certificate should have had its successor by now. */
const CERTIFICATE_DAYS = 21;

/** Whether logins still hold: how old passwords are, when certificates end, and whether brokers refuse us. */
export class CredentialAlarms extends Construct {
  constructor(scope: Construct, id: string, props: CredentialAlarmsProps) {
    super(scope, id);
    const alarms = new Alarms(this, props.prefix, props.people);
    const vantages = ['standby', 'active'] as const;
    const named = vantages.map((vantage) => [vantage, probeMetric('ProbeSuccess', { pair: props.pair, cluster: props.about, vantage, layer: 'authenticate' })] as const);
    alarms.tell({
      name: 'login-refused',
      runbook: 'login-refused',
      what: `${props.about} answers, and refuses the login of a prober: no outage, and it hides one.`,
      metric: new cloudwatch.MathExpression({
        expression: `MIN([${vantages.join(', ')}])`,
        usingMetrics: Object.fromEntries(named),
        label: 'Logins of probers taken',
        period: Duration.minutes(1),
      }),
      below: 1,
      for: 3,
      of: 5,
      // Whoever is not reached refuses nothing.
      silence: 'nothing',
    });
    alarms.tell({
      name: 'certificate-end',
      runbook: 'certificate-end',
      what: `A certificate that ${props.about} shows, or that we show there, ends in less than ${CERTIFICATE_DAYS} days.`,
      metric: probeMetric('CertificateDays', { pair: props.pair, cluster: props.about, vantage: 'standby' }).with({ period: Duration.minutes(15) }),
      below: CERTIFICATE_DAYS,
      for: 2,
      // Of a cluster without TLS nothing is told, nor of one that does not answer.
      silence: 'nothing',
    });
    if (props.secrets.length > 0) {
      this.ages(alarms, props);
    }
  }

  private ages(alarms: Alarms, props: CredentialAlarmsProps): void {
    const teller = new InlineFunction(this, 'Ages', {
      functionName: `${props.prefix}-credential-age`,
      description: 'Understudy: how old the secrets of logins are, as a metric',
      file: 'credential_age.py',
      logDays: props.logDays,
      keyArn: props.keyArn,
      environment: { PAIR: props.pair, SECRETS: props.secrets.join(',') },
      permits: [
        new iam.PolicyStatement({ sid: 'LookAtSecrets', actions: ['secretsmanager:DescribeSecret'], resources: [...props.secrets] }),
        new iam.PolicyStatement({
          sid: 'Measure',
          actions: ['cloudwatch:PutMetricData'],
          resources: ['*'],
          conditions: { StringEquals: { 'cloudwatch:namespace': NAMESPACE } },
        }),
      ],
    });
    acknowledge(teller.function.role as iam.Role, 'Resource::*', 'PutMetricData has no resources; the condition names the namespace');
    new events.Rule(this, 'Hourly', {
      ruleName: `${props.prefix}-credential-age`,
      description: 'How old secrets are, every hour',
      schedule: events.Schedule.rate(Duration.hours(1)),
      targets: [new targets.LambdaFunction(teller.function, { retryAttempts: 1 })],
    });
    const ages = props.secrets.map((arn, index) => {
      const Secret = arn.split(':').at(-1) ?? '';
      const metric = new cloudwatch.Metric({
        namespace: NAMESPACE,
        metricName: 'SecretAgeDays',
        dimensionsMap: { Pair: props.pair, Secret },
        statistic: 'Maximum',
        period: Duration.hours(1),
      });
      return [`s${index}`, metric] as const;
    });
    alarms.tell({
      name: 'secret-age',
      runbook: 'secret-age',
      what: `A password has not been changed for ${OLD_DAYS} days, or nobody can tell.`,
      metric: new cloudwatch.MathExpression({
        // The function tells all of them at once or none; of one that it cannot look at it tells more than this.
        expression: `MAX([${ages.map(([name]) => name).join(', ')}])`,
        usingMetrics: Object.fromEntries(ages),
        label: 'Days since the oldest password was changed',
        period: Duration.hours(1),
      }),
      above: OLD_DAYS,
      for: 3,
      of: 3,
      silence: 'bad',
    });
  }
}
