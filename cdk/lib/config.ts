import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type PairDocument, readPair } from './pair.js';

/** What is deployed. Read from a file that `config/schema.json` describes. */
export interface Config {
  /** The AWS account of both Regions. */
  readonly account: string;
  /** The pair and its flow files. */
  readonly document: PairDocument;
  /** The ledger's table. */
  readonly ledger: Ledger;
  /** Where functions that connect to a cluster run, by Region; left out where clusters are reached without a VPC. */
  readonly networks: Readonly<Record<string, Network>>;
  /** Whether clusters are logged in to by IAM. */
  readonly kafkaIam: boolean;
  /** Which processors functions are built for. */
  readonly architecture: 'arm64' | 'x86_64';
  /** How long logs are kept, in days. */
  readonly logDays: number;
  /** Set where stand-ins play AWS. */
  readonly local?: Local;
}

/** The ledger's table. */
export interface Ledger {
  /** The Region in which its stack is deployed. */
  readonly region: string;
  /** The Region that only votes, so that one of the pair's two may be lost. */
  readonly witness?: string;
}

/** Where functions run that connect to a cluster. */
export interface Network {
  readonly vpc: string;
  readonly subnets: readonly string[];
  readonly securityGroups: readonly string[];
}

/** What differs where stand-ins play AWS: they have no composite alarms and no global tables. */
export interface Local {
  /** Variables that functions get beside their own, by Region. */
  readonly environment: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** The bucket that assets are uploaded to. */
  readonly assets: string;
}

const KEYS = ['$schema', 'account', 'pair', 'ledger', 'networks', 'kafkaIam', 'architecture', 'logDays', 'local'];

/** The keys that a file may have. */
export const CONFIG_KEYS: readonly string[] = KEYS;

/** Reads a file; a key that is not known is refused. */
export function readConfig(path: string): Config {
  const file = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  const unknown = Object.keys(file).filter((key) => !KEYS.includes(key));
  if (unknown.length > 0) {
    throw new Error(`${path}: ${unknown.join(', ')} is not known; keys are ${KEYS.join(', ')}`);
  }
  const account = must<string>(path, file, 'account');
  if (!/^\d{12}$/.test(account)) {
    throw new Error(`${path}: account must be 12 digits in quotes`);
  }
  return {
    account,
    document: readPair(resolve(dirname(path), must<string>(path, file, 'pair'))),
    ledger: must<Ledger>(path, file, 'ledger'),
    networks: (file['networks'] as Config['networks'] | undefined) ?? {},
    kafkaIam: (file['kafkaIam'] as boolean | undefined) ?? false,
    architecture: (file['architecture'] as Config['architecture'] | undefined) ?? 'arm64',
    logDays: (file['logDays'] as number | undefined) ?? 90,
    ...(file['local'] === undefined ? {} : { local: file['local'] as Local }),
  };
}

function must<T>(path: string, file: Record<string, unknown>, key: string): T {
  const value = file[key];
  if (value === undefined) {
    throw new Error(`${path}: ${key} is missing; see config/schema.json`);
  }
  return value as T;
}
