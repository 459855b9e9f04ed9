import { ArnFormat, Stack, Validations } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import type * as s3 from 'aws-cdk-lib/aws-s3';
import type * as sns from 'aws-cdk-lib/aws-sns';
import type * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import type { Names } from './names.js';
import { adaptersOf, type PairDocument, secretsOf, type Side, writersSecretsOf } from './pair.js';
import type { Reach } from './reach.js';

/** What permissions are given for. */
export interface PermissionsProps {
  /** The pair and its flow files. */
  readonly document: PairDocument;
  /** This Region's side of it. */
  readonly side: Side;
  /** Names by convention. */
  readonly names: Names;
  /** The ledger's Region: another one than this only where its table has no replica here. */
  readonly ledgerRegion: string;
  /** Plans, cuts, places, evidence. */
  readonly bucket: s3.IBucket;
  /** What they are encrypted under. */
  readonly key: kms.IKey;
  /** Where people are told. */
  readonly people: sns.ITopic;
  /** The names of the state machines. */
  readonly machines: readonly string[];
  /** Whether clusters are logged in to by IAM. */
  readonly kafkaIam: boolean;
}

/** Permits roles exactly what their steps reach: no action and no resource stands for others. */
export class Permissions extends Construct {
  private readonly props: PermissionsProps;

  constructor(scope: Construct, id: string, props: PermissionsProps) {
    super(scope, id);
    this.props = props;
  }

  /** What every step does: reads its pair and the ledger, and keeps what it hands on. */
  everyStep(role: iam.Role): void {
    const { names, bucket, key } = this.props;
    permit(role, 'ReadPair', ['ssm:GetParameter'], [this.parameter(names.pairParameter)]);
    permit(role, 'ReadLedger', ['dynamodb:GetItem'], [this.table()], this.items('ledger'));
    const recoveries = bucket.arnForObjects('recoveries/*');
    permit(role, 'Keep', ['s3:GetObject', 's3:PutObject'], [recoveries, bucket.arnForObjects('rates/*')]);
    permit(role, 'FindKept', ['s3:ListBucket'], [bucket.bucketArn]);
    permit(role, 'Encrypt', ['kms:Decrypt', 'kms:GenerateDataKey'], [key.keyArn]);
    permit(role, 'Trace', ['xray:PutTelemetryRecords', 'xray:PutTraceSegments'], ['*']);
    acknowledge(role, 'Resource::*', 'X-Ray and PutMetricData have no resources; network interfaces have none beforehand');
    for (const objects of ['recoveries', 'rates']) {
      const arn = `Resource::<${bucketLogicalId(bucket)}.Arn>/${objects}/*`;
      acknowledge(role, arn, 'Keys are named after executions, which do not exist yet');
    }
  }

  /** What a step does beside that. */
  reach(role: iam.Role, reach: Reach): void {
    const { document, side, names, people } = this.props;
    const { pair } = document;
    const regions = [side.region, side.other.region];
    switch (reach) {
      case 'ledger-write':
        permit(role, 'ChangeLedger', ['dynamodb:PutItem'], [this.table()], this.items('ledger'));
        return;
      case 'signals':
        permit(role, 'ReadSignals', ['dynamodb:GetItem'], [this.table()], this.items('signals'));
        return;
      case 'signals-write':
        permit(role, 'KeepSignals', ['dynamodb:GetItem', 'dynamodb:PutItem'], [this.table()], this.items('signals'));
        permit(role, 'Measure', ['cloudwatch:PutMetricData'], ['*'], {
          StringEquals: { 'cloudwatch:namespace': 'Understudy' },
        });
        return;
      case 'control-plane': {
        const clusters = Object.values(pair.clusters).flatMap((cluster) => cluster.msk_arn ?? []);
        permit(role, 'AskAboutClusters', ['kafka:DescribeCluster'], clusters);
        return;
      }
      case 'kafka':
        logIn(role, side.region, secretsOf(document));
        this.kafka(role);
        return;
      case 'writers-login':
        logIn(role, side.region, writersSecretsOf(document), 'AsWriter');
        return;
      case 'tails':
        this.tails(role);
        return;
      case 'flow-state':
        this.flowState(role);
        return;
      case 'workers': {
        const services = pair.flows.flatMap((flow) => {
          const region = pair.clusters[flow.target]?.region ?? side.region;
          return flow.service === undefined ? [] : [this.service(region, flow.service)];
        });
        permit(role, 'SetWorkers', ['ecs:UpdateService'], services);
        return;
      }
      case 'stop-clients':
        this.clients(role, ['ecs:UpdateService']);
        return;
      case 'move-clients': {
        this.clients(role, ['ecs:UpdateService', 'ecs:DescribeServices']);
        const pointers = adaptersOf(pair, 'ssm-parameter').map((it) => this.parameter(it.parameter));
        permit(role, 'Point', ['ssm:GetParameter', 'ssm:PutParameter'], pointers);
        const zones = adaptersOf(pair, 'route53-record');
        const arns = zones.map((it) => `arn:${Stack.of(this).partition}:route53:::hostedzone/${it.zone}`);
        permit(role, 'SetRecords', ['route53:ChangeResourceRecordSets'], arns, {
          'ForAllValues:StringEquals': {
            'route53:ChangeResourceRecordSetsNormalizedRecordNames': zones.map((it) => it.record.replace(/\.$/, '')),
            'route53:ChangeResourceRecordSetsRecordTypes': ['CNAME'],
          },
        });
        const secrets = adaptersOf(pair, 'secret');
        const read = secrets.flatMap((it) => [it.secret, ...Object.values(it.values)]);
        permit(role, 'ReadSecrets', ['secretsmanager:GetSecretValue'], read);
        permit(role, 'SetSecrets', ['secretsmanager:PutSecretValue'], secrets.map((it) => it.secret));
        return;
      }
      case 'people':
        permit(role, 'TellPeople', ['sns:Publish'], [people.topicArn, ...(pair.notify ?? [])]);
        return;
      case 'start-machines': {
        const machines = this.props.machines.map((name) => names.machineArn(Stack.of(this), side.region, name));
        permit(role, 'StartMachines', ['states:StartExecution'], machines);
        return;
      }
      case 'look-at-machines': {
        const executions = this.props.machines.flatMap((name) =>
          regions.map((region) => `${names.machineArn(Stack.of(this), region, name).replace(':stateMachine:', ':execution:')}:*`),
        );
        permit(role, 'LookAtMachines', ['states:DescribeExecution'], executions);
        for (const execution of executions) {
          acknowledge(role, `Resource::${shown(execution)}`, 'Executions are named by the ledger; they do not exist yet');
        }
        return;
      }
      case 'answer-machines': {
        const machines = this.props.machines.map((name) => names.machineArn(Stack.of(this), side.region, name));
        permit(role, 'AnswerMachines', ['states:SendTaskSuccess'], machines);
        return;
      }
    }
  }

  /** Leaving events that could not be handled in a queue. */
  leaveUndelivered(role: iam.Role, queue: sqs.IQueue): void {
    permit(role, 'LeaveUndelivered', ['sqs:SendMessage'], [queue.queueArn]);
  }

  /** Stopping and moving what runs in ECS and what Lambda polls. */
  private clients(role: iam.Role, ecs: string[]): void {
    const { pair } = this.props.document;
    const regionOf = (alias: string) => pair.clusters[alias]?.region ?? this.props.side.region;
    const services = adaptersOf(pair, 'ecs-service').flatMap((it) =>
      Object.entries(it.services).map(([alias, service]) => this.service(regionOf(alias), service)),
    );
    permit(role, 'MoveServices', ecs, services);
    const mappings = adaptersOf(pair, 'lambda-event-source').flatMap((it) =>
      Object.entries(it.mappings).map(([alias, mapping]) =>
        this.arn(regionOf(alias), 'lambda', 'event-source-mapping', mapping, ArnFormat.COLON_RESOURCE_NAME),
      ),
    );
    permit(role, 'MoveMappings', ['lambda:UpdateEventSourceMapping'], mappings);
  }

  /** MSK's own permissions: what a recovery does on clusters that are logged in to by IAM. */
  private kafka(role: iam.Role): void {
    if (!this.props.kafkaIam) {
      return;
    }
    const arns = Object.values(this.props.document.pair.clusters).flatMap((cluster) => cluster.msk_arn ?? []);
    const below = (kind: string, name: string) => arns.map((arn) => `${arn.replace(':cluster/', `:${kind}/`)}/${name}`);
    permit(role, 'Connect', ['kafka-cluster:Connect', 'kafka-cluster:DescribeCluster', 'kafka-cluster:WriteDataIdempotently'], arns);
    const topics = below('topic', '*');
    permit(role, 'ReadTopics', ['kafka-cluster:DescribeTopic', 'kafka-cluster:ReadData'], topics);
    const state = below('topic', 'understudy.*');
    permit(role, 'WriteState', ['kafka-cluster:WriteData'], state);
    const groups = below('group', '*');
    permit(role, 'PlaceGroups', ['kafka-cluster:DescribeGroup', 'kafka-cluster:AlterGroup'], groups);
    const ids = below('transactional-id', 'understudy-*');
    permit(role, 'Fence', ['kafka-cluster:DescribeTransactionalId', 'kafka-cluster:AlterTransactionalId'], ids);
    for (const arn of [...topics, ...state, ...groups, ...ids]) {
      acknowledge(role, `Resource::${arn}`, 'Topics and groups are the applications’ own and come and go');
    }
  }

  /** Topics for records that only a cluster that came back holds, where clusters are logged in to by IAM. */
  private tails(role: iam.Role): void {
    if (!this.props.kafkaIam) {
      return;
    }
    const arns = Object.values(this.props.document.pair.clusters).flatMap((cluster) => cluster.msk_arn ?? []);
    const below = (name: string) => arns.map((arn) => `${arn.replace(':cluster/', ':topic/')}/${name}`);
    const tails = below('*.tail.e*');
    permit(role, 'PutAside', ['kafka-cluster:CreateTopic', 'kafka-cluster:AlterTopic', 'kafka-cluster:WriteData'], tails);
    const state = below('understudy.*');
    permit(role, 'MakeState', ['kafka-cluster:CreateTopic'], state);
    // Which topics are compacted; and keys of those that are, put right on the cluster that came back.
    const all = below('*');
    permit(role, 'RenewKeys', ['kafka-cluster:DescribeTopicDynamicConfiguration', 'kafka-cluster:WriteData'], all);
    for (const arn of new Set([...tails, ...state, ...all])) {
      acknowledge(role, `Resource::${arn}`, 'Topics are the applications’ own and come and go');
    }
  }

  /** Topics that a flow's state lies in, where clusters are logged in to by IAM. */
  private flowState(role: iam.Role): void {
    if (!this.props.kafkaIam) {
      return;
    }
    const arns = Object.values(this.props.document.pair.clusters).flatMap((cluster) => cluster.msk_arn ?? []);
    const topics = arns.map((arn) => `${arn.replace(':cluster/', ':topic/')}/understudy.*`);
    permit(role, 'MakeState', ['kafka-cluster:CreateTopic'], topics);
    for (const arn of topics) {
      acknowledge(role, `Resource::${arn}`, 'Named after flows');
    }
  }

  private table(): string {
    return this.arn(this.props.ledgerRegion, 'dynamodb', 'table', this.props.names.ledgerTable, ArnFormat.SLASH_RESOURCE_NAME);
  }

  /** Only this pair's items of a kind. */
  private items(kind: 'ledger' | 'signals'): iam.Conditions {
    const { name, clusters } = this.props.document.pair;
    const keys =
      kind === 'ledger'
        ? [`ledger#${name}`]
        : Object.keys(clusters).flatMap((alias) =>
            ['standby', 'active', 'control-plane'].map((vantage) => `signals#${name}#${alias}#${vantage}`),
          );
    return { 'ForAllValues:StringEquals': { 'dynamodb:LeadingKeys': keys } };
  }

  private parameter(name: string): string {
    return this.arn(this.props.side.region, 'ssm', 'parameter', name.replace(/^\//, ''), ArnFormat.SLASH_RESOURCE_NAME);
  }

  private service(region: string, service: string): string {
    return this.arn(region, 'ecs', 'service', service, ArnFormat.SLASH_RESOURCE_NAME);
  }

  private arn(region: string, service: string, resource: string, resourceName: string, arnFormat: ArnFormat): string {
    return Stack.of(this).formatArn({ region, service, resource, resourceName, arnFormat });
  }
}

/** Reading secrets, and having them decrypted, whichever key they are under; none but those. */
export function logIn(role: iam.Role, region: string, secrets: string[], as = ''): void {
  permit(role, `LogIn${as}`, ['secretsmanager:GetSecretValue'], secrets);
  if (secrets.length > 0) {
    const keys = Stack.of(role).formatArn({ region, service: 'kms', resource: 'key', resourceName: '*' });
    permit(role, `DecryptLogins${as}`, ['kms:Decrypt'], [keys], {
      StringEquals: { 'kms:EncryptionContext:SecretARN': secrets, 'kms:ViaService': `secretsmanager.${region}.amazonaws.com` },
    });
    acknowledge(role, `Resource::${shown(keys)}`, 'Secrets are under keys of their owners; the condition names the secrets');
  }
}

/** A statement of its own, so that a reader of the template sees what it is for. Nothing to act on is no statement. */
export function permit(role: iam.Role, sid: string, actions: string[], resources: string[], conditions?: iam.Conditions): void {
  const each = [...new Set(resources)];
  if (each.length > 0) {
    role.addToPolicy(new iam.PolicyStatement({ sid, actions, resources: each, ...(conditions === undefined ? {} : { conditions }) }));
  }
}

export function acknowledge(role: iam.Role, finding: string, reason: string): void {
  Validations.of(role).acknowledge({ id: `AwsSolutions-IAM5[${finding}]`, reason });
}

/** An ARN as cdk-nag shows it, with tokens in angle brackets. */
export function shown(arn: string): string {
  return arn.replace(/\$\{Token\[AWS\.Partition\.\d+\]\}/, '<AWS::Partition>');
}

function bucketLogicalId(bucket: s3.IBucket): string {
  const stack = Stack.of(bucket);
  const child = bucket.node.defaultChild;
  return child === undefined ? '' : stack.getLogicalId(child as never);
}
