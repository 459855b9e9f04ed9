import { join } from 'node:path';
import { App } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { type Config, readConfig } from '../lib/config.js';
import { understudy } from '../lib/understudy.js';

/** Where this package is. */
export const PACKAGE = join(import.meta.dirname, '..', '..');

/** The example that is committed. */
export const EXAMPLE: Config = readConfig(join(PACKAGE, 'config', 'orders.json'));

/** A resource of a template. */
export interface Resource {
  readonly Type: string;
  readonly Properties: Record<string, unknown>;
}

/** A pair's templates: the ledger's, and a control plane's by Region. */
export interface Templates {
  readonly ledger: Template;
  readonly regions: ReadonlyMap<string, Template>;
}

/** Synthesises a pair; nothing is built or looked up. */
export function templates(config: Config = EXAMPLE): Templates {
  const made = understudy(new App(), config, join(PACKAGE, 'test', 'stub'));
  return {
    ledger: Template.fromStack(made.ledger),
    regions: new Map(made.controlPlanes.map((stack) => [stack.region, Template.fromStack(stack)])),
  };
}

/** The example, as it is deployed where stand-ins play AWS. */
export function local(): Config {
  const { witness: _witness, ...ledger } = EXAMPLE.ledger;
  return { ...EXAMPLE, ledger, networks: {}, local: { assets: 'cdk-assets', environment: { 'us-west-2': { UNDERSTUDY_ENDPOINT_URLS: 'x=http://y' } } } };
}

/** Every resource of a type, by logical id. */
export function resources(template: Template, type: string): [string, Resource][] {
  return Object.entries(template.findResources(type)) as [string, Resource][];
}

/** A statement of a policy. */
export interface Statement {
  readonly Sid?: string;
  readonly Action: string | string[];
  readonly Resource: unknown;
  readonly Principal?: unknown;
  readonly Condition?: unknown;
}

/** The statements of every role's policies, with the policy's logical id. */
export function statements(template: Template): { policy: string; statement: Statement }[] {
  return resources(template, 'AWS::IAM::Policy').flatMap(([policy, resource]) => {
    const document = resource.Properties['PolicyDocument'] as { Statement: Statement[] };
    return document.Statement.map((statement) => ({ policy, statement }));
  });
}

/** One or several, as a list. */
export function list<T>(value: T | readonly T[]): readonly T[] {
  return Array.isArray(value) ? (value as readonly T[]) : [value as T];
}
