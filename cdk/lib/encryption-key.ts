import { Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import { Construct } from 'constructs';

/** Properties of an {@link EncryptionKey}. */
export interface EncryptionKeyProps {
  /** What the key's alias ends in. */
  readonly name: string;
}

/** The Region's own key: logs, topics, queues, the bucket and executions are encrypted under it. */
export class EncryptionKey extends Construct {
  readonly key: kms.Key;

  constructor(scope: Construct, id: string, props: EncryptionKeyProps) {
    super(scope, id);
    const { account, region, partition } = Stack.of(this);
    this.key = new kms.Key(this, 'Key', {
      alias: `alias/${props.name}`,
      description: `Understudy: logs, notices and evidence of ${props.name}`,
      enableKeyRotation: true,
      pendingWindow: Duration.days(30),
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    const use = (service: string, sid: string, conditions: Record<string, Record<string, string>>) =>
      this.key.addToResourcePolicy(
        new iam.PolicyStatement({
          sid,
          actions: ['kms:Decrypt', 'kms:Encrypt', 'kms:GenerateDataKey', 'kms:DescribeKey'],
          principals: [new iam.ServicePrincipal(service)],
          // In a key's own policy this is the key.
          resources: ['*'],
          conditions,
        }),
      );
    const logGroups = `arn:${partition}:logs:${region}:${account}:log-group:*`;
    use(`logs.${region}.amazonaws.com`, 'Logs', { ArnLike: { 'kms:EncryptionContext:aws:logs:arn': logGroups } });
    use('delivery.logs.amazonaws.com', 'LogDelivery', { StringEquals: { 'aws:SourceAccount': account } });
    use('cloudwatch.amazonaws.com', 'Alarms', { StringEquals: { 'aws:SourceAccount': account } });
    use('events.amazonaws.com', 'Schedules', { StringEquals: { 'aws:SourceAccount': account } });
    use('sns.amazonaws.com', 'Notices', { StringEquals: { 'aws:SourceAccount': account } });
  }
}
