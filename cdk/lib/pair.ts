import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** What the deployment has to know of a pair. The functions check the rest (`Pair::check`). */
export interface Pair {
  readonly name: string;
  readonly home: string;
  readonly clusters: Readonly<Record<string, { readonly region: string; readonly msk_arn?: string }>>;
  readonly flows: readonly FlowOfPair[];
  readonly fencing?: { readonly proof?: Readonly<Record<string, Readonly<Record<string, string>>>> };
  readonly applications?: readonly { readonly name: string; readonly adapters: readonly Adapter[] }[];
  readonly notify?: readonly string[];
}

/** One direction between the clusters of a pair. */
export interface FlowOfPair {
  readonly source: string;
  readonly target: string;
  readonly file: string;
  readonly service?: string;
  readonly workers?: number;
}

/** How an application is moved. */
export type Adapter =
  | { readonly kind: 'ssm-parameter'; readonly parameter: string }
  | { readonly kind: 'ecs-service'; readonly services: Readonly<Record<string, string>>; readonly desired: number }
  | { readonly kind: 'lambda-event-source'; readonly mappings: Readonly<Record<string, string>> }
  | { readonly kind: 'route53-record'; readonly zone: string; readonly record: string }
  | { readonly kind: 'secret'; readonly secret: string; readonly values: Readonly<Record<string, string>> }
  | { readonly kind: 'notify' | 'file' | 'command' };

/** A pair and the texts of its flow files: what the pair's parameter holds. */
export interface PairDocument {
  readonly pair: Pair;
  readonly flows: Readonly<Record<string, string>>;
}

/** Reads a pair's file and, beside it, its flow files. */
export function readPair(path: string): PairDocument {
  const pair = JSON.parse(readFileSync(path, 'utf8')) as Pair;
  if (Object.keys(pair.clusters).length !== 2) {
    throw new Error(`${path}: a pair has two clusters`);
  }
  const texts = pair.flows.map((flow) => [flow.file, readFileSync(join(dirname(path), flow.file), 'utf8')] as const);
  return { pair, flows: Object.fromEntries(texts) };
}

/** A cluster's alias, with the one beside it. */
export interface Side {
  readonly alias: string;
  readonly region: string;
  readonly other: { readonly alias: string; readonly region: string };
}

/** The two sides of a pair. */
export function sidesOf(pair: Pair): Side[] {
  const ends = Object.entries(pair.clusters).map(([alias, cluster]) => ({ alias, region: cluster.region }));
  return ends.map((end) => {
    const other = ends.find((it) => it.alias !== end.alias);
    if (other === undefined) {
      throw new Error(`pair ${pair.name} has no cluster beside ${end.alias}`);
    }
    return { ...end, other };
  });
}

/**
 * The pair as a Region reads it: each secret that its flow files and its logins of writers name is that Region's own, or
 * its replica there, which has the same ARN but for the Region. So nothing that stands in one Region needs the other one's
 * Secrets Manager to log in, and least of all a recovery when that Region is lost.
 */
export function readIn(document: PairDocument, region: string): PairDocument {
  const there = (text: string): string => text.replaceAll(/(\$\{secretsmanager:arn:[^:}]*:secretsmanager:)[^:}]*(?=:)/g, `$1${region}`);
  const flows = Object.entries(document.flows).map(([file, text]) => [file, there(text)] as const);
  return { pair: JSON.parse(there(JSON.stringify(document.pair))) as Pair, flows: Object.fromEntries(flows) };
}

/** The secrets that flow files refer to, as ARNs, each once. */
export function secretsOf(document: PairDocument): string[] {
  return secretsIn(Object.values(document.flows).join('\n')).sort();
}

/** The secrets with which a write is tried as one of the writers, as ARNs, each once. */
export function writersSecretsOf(document: PairDocument): string[] {
  return secretsIn(JSON.stringify(document.pair.fencing?.proof ?? {})).sort();
}

/** The secrets that a flow file refers to, in its order, each once. */
export function secretsIn(text: string): string[] {
  const found = [...text.matchAll(/\$\{secretsmanager:(arn:[^}]*?:secret:[^:}]+)/g)];
  return [...new Set(found.map((match) => match[1] ?? ''))];
}

/** Every adapter of a kind. */
export function adaptersOf<K extends Adapter['kind']>(pair: Pair, kind: K): Extract<Adapter, { kind: K }>[] {
  const all = (pair.applications ?? []).flatMap((application) => application.adapters);
  return all.filter((adapter): adapter is Extract<Adapter, { kind: K }> => adapter.kind === kind);
}

/** The applications that follow a pointer, each with its parameters. */
export function pointersOf(pair: Pair): [string, string[]][] {
  return (pair.applications ?? []).flatMap((application) => {
    const parameters = application.adapters.flatMap((adapter) => (adapter.kind === 'ssm-parameter' ? adapter.parameter : []));
    return parameters.length === 0 ? [] : [[application.name, parameters] as [string, string[]]];
  });
}
