import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** What the deployment has to know of a pair. The functions check the rest (`Pair::check`). */
export interface Pair {
  readonly name: string;
  readonly home: string;
  readonly clusters: Readonly<Record<string, { readonly region: string; readonly msk_arn?: string }>>;
  readonly flows: readonly { readonly source: string; readonly target: string; readonly file: string; readonly service?: string }[];
  readonly applications?: readonly { readonly name: string; readonly adapters: readonly Adapter[] }[];
  readonly notify?: readonly string[];
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

/** The secrets that flow files refer to, as ARNs, each once. */
export function secretsOf(document: PairDocument): string[] {
  const texts = Object.values(document.flows).join('\n');
  const found = [...texts.matchAll(/\$\{secretsmanager:(arn:[^}]*?:secret:[^:}]+)/g)];
  return [...new Set(found.map((match) => match[1] ?? ''))].sort();
}

/** Every adapter of a kind. */
export function adaptersOf<K extends Adapter['kind']>(pair: Pair, kind: K): Extract<Adapter, { kind: K }>[] {
  const all = (pair.applications ?? []).flatMap((application) => application.adapters);
  return all.filter((adapter): adapter is Extract<Adapter, { kind: K }> => adapter.kind === kind);
}
