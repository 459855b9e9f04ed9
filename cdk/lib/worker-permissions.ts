import * as iam from 'aws-cdk-lib/aws-iam';
import type { FlowOfPair, Pair } from './pair.js';
import { acknowledge, logIn, permit } from './permissions.js';

/** What workers are permitted for. */
export interface WorkerPermissionsProps {
  /** The pair. */
  readonly pair: Pair;
  /** The flow. */
  readonly flow: FlowOfPair;
  /** The secrets that its file names, in this Region. */
  readonly secrets: string[];
  /** The Region in which the workers run. */
  readonly region: string;
  /** Whether clusters are logged in to by IAM. */
  readonly kafkaIam: boolean;
  /** What the statements' names end in, where a role has those of several flows. */
  readonly suffix?: string;
}

/**
 * Permits workers what a flow needs and nothing else: to read their secrets and, where clusters are logged in to by IAM,
 * what `docs/permissions.md` lists. The source is only read.
 */
export function permitWorkers(role: iam.Role, props: WorkerPermissionsProps): void {
  logIn(role, props.region, props.secrets);
  if (!props.kafkaIam) {
    return;
  }
  const { flow, pair } = props;
  const source = pair.clusters[flow.source]?.msk_arn;
  const target = pair.clusters[flow.target]?.msk_arn;
  if (source === undefined || target === undefined) {
    throw new Error(`flow ${flow.file} logs in by IAM, and one of its clusters has no msk_arn`);
  }
  const below = (cluster: string, kind: string, name: string) => `${cluster.replace(':cluster/', `:${kind}/`)}/${name}`;
  const kafka = (sid: string, actions: string[], resource: string) => {
    permit(role, `${sid}${props.suffix ?? ''}`, actions.map((it) => `kafka-cluster:${it}`), [resource]);
    if (resource.endsWith('*')) {
      acknowledge(role, `Resource::${resource}`, 'Topics and groups are the applications’ own and come and go');
    }
  };
  kafka('ConnectSource', ['Connect', 'DescribeCluster'], source);
  kafka('ReadSource', ['DescribeTopic', 'DescribeTopicDynamicConfiguration', 'ReadData'], below(source, 'topic', '*'));
  kafka('ReadPlaces', ['DescribeGroup'], below(source, 'group', '*'));
  kafka('ConnectTarget', ['Connect', 'DescribeCluster', 'WriteDataIdempotently'], target);
  kafka(
    'WriteCopies',
    [
      'AlterTopic',
      'AlterTopicDynamicConfiguration',
      'CreateTopic',
      'DescribeTopic',
      'DescribeTopicDynamicConfiguration',
      'ReadData',
      'WriteData',
    ],
    below(target, 'topic', '*'),
  );
  kafka('KeepPlaces', ['AlterGroup', 'DescribeGroup'], below(target, 'group', '*'));
  kafka('Commit', ['AlterTransactionalId', 'DescribeTransactionalId'], below(target, 'transactional-id', 'understudy-*'));
}
