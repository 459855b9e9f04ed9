import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App, type Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { type Config, readConfig } from '../lib/config.js';
import { type Understudy, understudy } from '../lib/understudy.js';

/** Where this package is. */
export const PACKAGE = join(import.meta.dirname, '..', '..');

/** Every example that is committed, by name. */
export const EXAMPLES: ReadonlyMap<string, Config> = new Map(
  readdirSync(join(PACKAGE, 'config'))
    .filter((file) => file.endsWith('.json') && !file.endsWith('.pair.json') && file !== 'schema.json')
    .map((file) => [file.replace('.json', ''), readConfig(join(PACKAGE, 'config', file))]),
);

/** The example in which networks and clusters are there already. */
export const EXAMPLE: Config = example('orders');

/** The example in which everything is made. */
export const FROM_SCRATCH: Config = example('payments');

/** What the control plane is permitted that has no resources in IAM, or none beforehand. */
export const WITHOUT_RESOURCES = new Set([
  'cloudwatch:PutMetricData',
  'ec2:AssignPrivateIpAddresses',
  'ec2:CreateNetworkInterface',
  'ec2:DeleteNetworkInterface',
  'ec2:DescribeNetworkInterfaces',
  'ec2:DescribeSubnets',
  'ec2:UnassignPrivateIpAddresses',
  'logs:CreateLogDelivery',
  'logs:DeleteLogDelivery',
  'logs:DescribeLogGroups',
  'logs:DescribeResourcePolicies',
  'logs:GetLogDelivery',
  'logs:ListLogDeliveries',
  'logs:PutResourcePolicy',
  'logs:UpdateLogDelivery',
  'xray:GetSamplingRules',
  'xray:GetSamplingTargets',
  'xray:PutTelemetryRecords',
  'xray:PutTraceSegments',
]);

/** A resource of a template. */
export interface Resource {
  readonly Type: string;
  readonly Properties: Record<string, unknown>;
}

/** A pair's templates. */
export interface Templates {
  readonly ledger: Template;
  /** Control planes, by Region. */
  readonly regions: ReadonlyMap<string, Template>;
  /** Every stack's, by its name. */
  readonly all: ReadonlyMap<string, Template>;
  /** The stacks themselves. */
  readonly made: Understudy;
}

const kept = new Map<Config, Templates>();

/** Synthesises a pair; nothing is built or looked up. */
export function templates(config: Config = EXAMPLE): Templates {
  const known = kept.get(config);
  if (known !== undefined) {
    return known;
  }
  const app = newApp();
  const made = understudy(app, config, join(PACKAGE, 'test', 'stub'));
  const all = new Map(stacksOf(made).map((stack) => [stack.stackName, Template.fromStack(stack)]));
  const of = (stack: Stack) => all.get(stack.stackName) as Template;
  const result: Templates = {
    ledger: of(made.ledger),
    regions: new Map(made.regions.map((it) => [it.side.region, of(it.controlPlane)])),
    all,
    made,
  };
  kept.set(config, result);
  return result;
}

/** A folder that is gone when the tests are done. */
export function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-cdk-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** An app as the CLI makes it. */
export function newApp(): App {
  const { context } = JSON.parse(readFileSync(join(PACKAGE, 'cdk.json'), 'utf8')) as { context: Record<string, unknown> };
  return new App({ outdir: scratch(), context });
}

/** Every stack of a pair. */
export function stacksOf(made: Understudy): Stack[] {
  const regional = made.regions.flatMap((it) => [it.network, it.kafka, it.controlPlane, it.clients, it.replicator, it.observability]);
  return [made.ledger, ...made.mesh, ...regional].filter((stack) => stack !== undefined);
}

/** A stack's template by what follows the Region in its name: `Network`; none for the control plane. */
export function stackOf(config: Config, region: string, part = ''): Template {
  const name = `Understudy-${config.document.pair.name}-${region}${part === '' ? '' : `-${part}`}`;
  const found = templates(config).all.get(name);
  if (found === undefined) {
    throw new Error(`there is no stack ${name}`);
  }
  return found;
}

/** The example, as it is deployed where stand-ins play AWS. */
export function local(): Config {
  const { witness: _witness, ...ledger } = EXAMPLE.ledger;
  const { workers: _workers, kafka: _kafka, ...example } = EXAMPLE;
  return { ...example, ledger, networks: {}, local: { assets: 'cdk-assets', environment: { 'us-west-2': { UNDERSTUDY_ENDPOINT_URLS: 'x=http://y' } } } };
}

/** Every resource of a type, by logical id. */
export function resources(template: Template, type: string): [string, Resource][] {
  return Object.entries(template.findResources(type)) as [string, Resource][];
}

/** Every resource, by logical id. */
export function everything(template: Template): [string, Resource][] {
  return Object.entries((template.toJSON() as { Resources: Record<string, Resource> }).Resources);
}

/** A statement of a policy. */
export interface Statement {
  readonly Sid?: string;
  readonly Effect?: string;
  readonly Action: string | string[];
  readonly Resource: unknown;
  readonly Principal?: unknown;
  readonly Condition?: unknown;
}

/** The statements of every role's policies, with the policy's logical id. */
export function statements(template: Template): { policy: string; statement: Statement }[] {
  return ['AWS::IAM::Policy', 'AWS::IAM::ManagedPolicy'].flatMap((type) =>
    resources(template, type).flatMap(([policy, resource]) => {
      const document = resource.Properties['PolicyDocument'] as { Statement: Statement[] };
      return document.Statement.map((statement) => ({ policy, statement }));
    }),
  );
}

/** One or several, as a list. */
export function list<T>(value: T | readonly T[]): readonly T[] {
  return Array.isArray(value) ? (value as readonly T[]) : [value as T];
}

/** Lists in some order of their own, so that order tells nothing. */
export function sorted(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(sorted).sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)));
  }
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).map(([key, it]) => [key, sorted(it)] as const);
    return Object.fromEntries(entries.sort(([a], [b]) => a.localeCompare(b)));
  }
  return value;
}

/** A file of the repository. */
export function repositoryFile(...path: string[]): string {
  return readFileSync(join(PACKAGE, '..', ...path), 'utf8');
}

function example(name: string): Config {
  return EXAMPLES.get(name) as Config;
}
