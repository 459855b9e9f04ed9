import { Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import { Construct } from 'constructs';

/** Properties of a {@link KafkaKey}. */
export interface KafkaKeyProps {
  /** What the key's alias ends in. */
  readonly name: string;
}

/**
 * The key of a cluster: its disks, its logs, and the secrets by which it is logged in to. Whoever may read such a secret
 * may have it decrypted, through Secrets Manager and from this account only: MSK itself asks that way.
 */
export class KafkaKey extends Construct {
  readonly key: kms.Key;

  constructor(scope: Construct, id: string, props: KafkaKeyProps) {
    super(scope, id);
    const { account, region, partition } = Stack.of(this);
    this.key = new kms.Key(this, 'Key', {
      alias: `alias/${props.name}`,
      description: `Understudy: disks, logs and logins of ${props.name}`,
      enableKeyRotation: true,
      pendingWindow: Duration.days(30),
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    this.key.addToResourcePolicy(
      new iam.PolicyStatement({
        sid: 'Secrets',
        actions: ['kms:CreateGrant', 'kms:Decrypt', 'kms:DescribeKey', 'kms:Encrypt', 'kms:GenerateDataKey'],
        principals: [new iam.AnyPrincipal()],
        // In a key's own policy this is the key.
        resources: ['*'],
        conditions: {
          StringEquals: { 'kms:CallerAccount': account, 'kms:ViaService': `secretsmanager.${region}.amazonaws.com` },
        },
      }),
    );
    this.key.addToResourcePolicy(
      new iam.PolicyStatement({
        sid: 'Logs',
        actions: ['kms:Decrypt', 'kms:DescribeKey', 'kms:Encrypt', 'kms:GenerateDataKey'],
        principals: [new iam.ServicePrincipal(`logs.${region}.amazonaws.com`)],
        resources: ['*'],
        conditions: { ArnLike: { 'kms:EncryptionContext:aws:logs:arn': `arn:${partition}:logs:${region}:${account}:log-group:*` } },
      }),
    );
  }
}
