import { Duration, RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import * as sns from 'aws-cdk-lib/aws-sns';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';

/** Properties of {@link Notices}. */
export interface NoticesProps {
  /** What names begin with. */
  readonly prefix: string;
  /** The key that messages are encrypted under. */
  readonly key: kms.IKey;
}

/** Where alarms go, where people are told, and where what could not be delivered is kept. */
export class Notices extends Construct {
  /** Alarms that may lead to a recovery. */
  readonly alarms: sns.Topic;
  /** People. */
  readonly people: sns.Topic;
  /** Events that no function took. */
  readonly undelivered: sqs.Queue;

  constructor(scope: Construct, id: string, props: NoticesProps) {
    super(scope, id);
    const topic = (name: string) =>
      new sns.Topic(this, name, {
        topicName: `${props.prefix}-${name.toLowerCase()}`,
        masterKey: props.key,
        enforceSSL: true,
      });
    this.alarms = topic('Alarms');
    this.people = topic('People');
    this.letOtherRegionTell(props.key);
    this.undelivered = new sqs.Queue(this, 'Undelivered', {
      queueName: `${props.prefix}-undelivered`,
      encryption: sqs.QueueEncryption.KMS,
      encryptionMasterKey: props.key,
      enforceSSL: true,
      retentionPeriod: Duration.days(14),
      removalPolicy: RemovalPolicy.DESTROY,
    });
    Validations.of(this.undelivered).acknowledge({
      id: 'AwsSolutions-SQS3',
      reason: 'It is itself where undelivered events end; an alarm says when it holds one.',
    });
  }

  /** Whoever of this account may publish may have it encrypted: recoveries of the other Region, whose roles know no key of here. */
  private letOtherRegionTell(key: kms.IKey): void {
    const { account, region } = Stack.of(this);
    key.addToResourcePolicy(
      new iam.PolicyStatement({
        sid: 'Publishers',
        actions: ['kms:Decrypt', 'kms:GenerateDataKey'],
        principals: [new iam.AnyPrincipal()],
        // In a key's own policy this is the key.
        resources: ['*'],
        conditions: { StringEquals: { 'kms:CallerAccount': account, 'kms:ViaService': `sns.${region}.amazonaws.com` } },
      }),
    );
  }
}
