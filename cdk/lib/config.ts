import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type PairDocument, readPair, sidesOf } from './pair.js';

/** What is deployed. Read from a file that `config/schema.json` describes. */
export interface Config {
  /** The AWS account of both Regions. */
  readonly account: string;
  /** The pair and its flow files. */
  readonly document: PairDocument;
  /** The ledger's table. */
  readonly ledger: Ledger;
  /** Where whatever connects to a cluster runs, by Region; left out where clusters are reached without a VPC. */
  readonly networks: Readonly<Record<string, Network>>;
  /** The MSK clusters, alike in both Regions; left out where they are somebody else's and no alarm is wanted on them. */
  readonly kafka?: Kafka;
  /** The flows' workers, alike in both Regions; left out where somebody else runs them. */
  readonly workers?: Workers;
  /** Whether clusters are logged in to by IAM. */
  readonly kafkaIam: boolean;
  /** Which processors functions and workers are built for. */
  readonly architecture: 'arm64' | 'x86_64';
  /** How long logs are kept, in days. */
  readonly logDays: number;
  /** Set where stand-ins play AWS. */
  readonly local?: Local;
}

/** The ledger's table. */
export interface Ledger {
  /** The Region in which its stack is deployed; the peering is asked for from there too. */
  readonly region: string;
  /** The Region that only votes, so that one of the pair's two may be lost. */
  readonly witness?: string;
}

/** A Region's network: one that is there, or one that is made. */
export type Network = ExistingNetwork | NewNetwork;

/** A network that is there, with a way to both clusters and to AWS. */
export interface ExistingNetwork {
  readonly vpc: string;
  readonly subnets: readonly string[];
  readonly securityGroups: readonly string[];
}

/** A network that is made. */
export interface NewNetwork {
  /** Its addresses; a /16 to /20 that overlaps with nothing that is peered. */
  readonly cidr: string;
  /** Three availability zones by name: MSK and Fargate have to be in each. */
  readonly zones: readonly string[];
  /** How many NAT gateways: the way to the other Region that is not the peering. */
  readonly natGateways: number;
}

/** The MSK clusters: made, or there already. */
export type Kafka = { readonly create: NewKafka } | { readonly existing: ExistingKafka };

/** An MSK cluster that is made. */
export interface NewKafka {
  /** As MSK spells it. */
  readonly version: string;
  /** The brokers' instance type. */
  readonly instance: string;
  /** Brokers in each of three zones. */
  readonly brokersPerZone: number;
  /** The storage of a broker at first. */
  readonly volumeGiB: number;
  /** What it may grow to. */
  readonly volumeMaxGiB: number;
}

/** An MSK cluster that is there: what its alarms have to know. */
export interface ExistingKafka {
  /** How many brokers it has. */
  readonly brokers: number;
}

/** The flows' workers. */
export interface Workers {
  /** Processor units of a task; 1024 are one processor. */
  readonly cpu: number;
  /** Its memory. */
  readonly memoryMiB: number;
  /** How many a flow may have when it lags; never more than it has slots. */
  readonly most: number;
  /** The recovery point, in seconds, beyond which people are told. */
  readonly recoveryPointSeconds: number;
}

/** What differs where stand-ins play AWS: they have no composite alarms and no global tables. */
export interface Local {
  /** Variables that functions get beside their own, by Region. */
  readonly environment: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** The bucket that assets are uploaded to. */
  readonly assets: string;
}

const KEYS = ['$schema', 'account', 'pair', 'ledger', 'networks', 'kafka', 'workers', 'kafkaIam', 'architecture', 'logDays', 'local'];

/** The keys that a file may have. */
export const CONFIG_KEYS: readonly string[] = KEYS;

/** What holds where a file does not say otherwise. */
export const DEFAULTS = {
  natGateways: 1,
  kafka: { version: '4.1.x.kraft', instance: 'kafka.m7g.large', brokersPerZone: 1, volumeGiB: 250, volumeMaxGiB: 1000 },
  workers: { cpu: 1024, memoryMiB: 2048, most: 4, recoveryPointSeconds: 60 },
} as const;

/** Reads a file; a key that is not known is refused. */
export function readConfig(path: string): Config {
  const file = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  known(path, '', file, KEYS);
  const account = must<string>(path, file, 'account');
  if (!/^\d{12}$/.test(account)) {
    throw new Error(`${path}: account must be 12 digits in quotes`);
  }
  const document = readPair(resolve(dirname(path), must<string>(path, file, 'pair')));
  const networks = (file['networks'] as Record<string, Record<string, unknown>> | undefined) ?? {};
  const made = Object.entries(networks).map(([region, it]) => [region, network(path, region, it)] as const);
  const config: Config = {
    account,
    document,
    ledger: must<Ledger>(path, file, 'ledger'),
    networks: Object.fromEntries(made),
    ...(file['kafka'] === undefined ? {} : { kafka: kafka(path, file['kafka'] as Record<string, object>) }),
    ...(file['workers'] === undefined ? {} : { workers: workers(path, file['workers'] as object) }),
    kafkaIam: (file['kafkaIam'] as boolean | undefined) ?? false,
    architecture: (file['architecture'] as Config['architecture'] | undefined) ?? 'arm64',
    logDays: (file['logDays'] as number | undefined) ?? 90,
    ...(file['local'] === undefined ? {} : { local: file['local'] as Local }),
  };
  check(path, config);
  return config;
}

/** Whether a network is made by us. */
export function isNew(network: Network): network is NewNetwork {
  return 'cidr' in network;
}

function network(path: string, region: string, it: Record<string, unknown>): Network {
  if (it['cidr'] === undefined) {
    known(path, `networks.${region}.`, it, ['vpc', 'subnets', 'securityGroups']);
    return it as unknown as ExistingNetwork;
  }
  known(path, `networks.${region}.`, it, ['cidr', 'zones', 'natGateways']);
  const zones = ['a', 'b', 'c'].map((letter) => `${region}${letter}`);
  return { zones, natGateways: DEFAULTS.natGateways, ...it } as unknown as NewNetwork;
}

function kafka(path: string, it: Record<string, object>): Kafka {
  known(path, 'kafka.', it, ['create', 'existing']);
  if (it['create'] !== undefined && it['existing'] === undefined) {
    known(path, 'kafka.create.', it['create'], Object.keys(DEFAULTS.kafka));
    return { create: { ...DEFAULTS.kafka, ...it['create'] } };
  }
  if (it['existing'] === undefined || it['create'] !== undefined) {
    throw new Error(`${path}: kafka has either create or existing`);
  }
  known(path, 'kafka.existing.', it['existing'], ['brokers']);
  return { existing: it['existing'] as ExistingKafka };
}

function workers(path: string, it: object): Workers {
  known(path, 'workers.', it, Object.keys(DEFAULTS.workers));
  return { ...DEFAULTS.workers, ...it };
}

/** A pair's name, so that `understudy-<pair>-<account>-<region>` is one that S3 takes in every Region. */
const NAME = /^[a-z0-9](?:[a-z0-9-]{0,22}[a-z0-9])?$/;

/** What must hold between the parts. */
function check(path: string, config: Config): void {
  const { name } = config.document.pair;
  if (!NAME.test(name)) {
    throw new Error(`${path}: pair ${name} is deployed as part of names of buckets and functions: up to 24 lower-case letters, digits and -, beginning and ending with a letter or digit`);
  }
  const regions = sidesOf(config.document.pair).map((side) => side.region);
  const told = (config.document.pair.notify ?? []).map((topic) => topic.split(':')[3]);
  const silent = regions.find((region) => !told.includes(region));
  if (silent !== undefined) {
    throw new Error(`${path}: pair ${name} tells nobody what its recoveries ask while the other Region is lost: notify names no topic in ${silent}, such as arn:aws:sns:${silent}:${config.account}:understudy-${name}-people, which is deployed with it`);
  }
  // A stand-in of its own may play the ledger's table.
  if (config.local === undefined && !regions.includes(config.ledger.region)) {
    throw new Error(`${path}: ledger.region is ${config.ledger.region}; it is one of the pair's, ${regions.join(' or ')}`);
  }
  if (config.ledger.witness !== undefined && regions.includes(config.ledger.witness)) {
    throw new Error(`${path}: ledger.witness is one of the pair's Regions; it must be a third one`);
  }
  const given = regions.map((region) => config.networks[region]);
  const stray = Object.keys(config.networks).find((region) => !regions.includes(region));
  if (stray !== undefined) {
    throw new Error(`${path}: networks.${stray} is no Region of the pair`);
  }
  const needsNetwork = config.workers !== undefined || (config.kafka !== undefined && 'create' in config.kafka);
  if (needsNetwork && given.some((it) => it === undefined)) {
    throw new Error(`${path}: kafka.create and workers need networks of both Regions`);
  }
  const made = given.filter((it) => it !== undefined).map(isNew);
  if (made.includes(true) && (made.includes(false) || made.length < 2)) {
    throw new Error(`${path}: networks are made in both Regions or in none: they are peered with each other`);
  }
  if (made.includes(false) && config.kafka !== undefined && 'create' in config.kafka) {
    throw new Error(`${path}: kafka.create needs networks that are made too; clusters in a network of yours are yours`);
  }
  if (config.workers !== undefined) {
    for (const flow of config.document.pair.flows) {
      if (!/^[^/]+\/[^/]+$/.test(flow.service ?? '')) {
        throw new Error(`${path}: workers are wanted and flow ${flow.file} has no service, written cluster/service`);
      }
    }
  }
  const overlap = new Set(given.map((it) => (it !== undefined && isNew(it) ? it.cidr : '')));
  if (made.includes(true) && overlap.size < 2) {
    throw new Error(`${path}: both networks have the same addresses; they cannot be peered`);
  }
  for (const [region, it] of Object.entries(config.networks)) {
    if (isNew(it) && (!/^\d+\.\d+\.\d+\.\d+\/(1[6-9]|20)$/.test(it.cidr) || it.zones.length !== 3)) {
      throw new Error(`${path}: networks.${region} takes a cidr of /16 to /20 and three zones`);
    }
  }
}

function known(path: string, prefix: string, given: object, keys: readonly string[]): void {
  const unknown = Object.keys(given).filter((key) => !keys.includes(key));
  if (unknown.length > 0) {
    throw new Error(`${path}: ${unknown.map((key) => prefix + key).join(', ')} is not known; keys are ${keys.join(', ')}`);
  }
}

function must<T>(path: string, file: Record<string, unknown>, key: string): T {
  const value = file[key];
  if (value === undefined) {
    throw new Error(`${path}: ${key} is missing; see config/schema.json`);
  }
  return value as T;
}
