import assert from 'node:assert/strict';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { CONFIG_KEYS, DEFAULTS, readConfig } from '../lib/config.js';
import { EXAMPLES, FROM_SCRATCH, PACKAGE, scratch } from './templates.js';

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly default?: unknown;
  readonly oneOf?: readonly Schema[];
  readonly additionalProperties?: Schema | boolean;
}

const folder = join(PACKAGE, 'config');
const schema = JSON.parse(readFileSync(join(folder, 'schema.json'), 'utf8')) as Schema;
const validate = new Ajv2020({ allErrors: true, strict: true, strictRequired: false, strictTypes: false }).compile(schema);
const payments = JSON.parse(readFileSync(join(folder, 'payments.json'), 'utf8')) as Record<string, unknown>;

test('the schema of a configuration knows the keys that are read, and the defaults that hold', () => {
  assert.deepEqual(Object.keys(schema.properties ?? {}).sort(), [...CONFIG_KEYS].sort());
  const defaults = (of: Schema | undefined) => Object.fromEntries(Object.entries(of?.properties ?? {}).map(([key, it]) => [key, it.default]));
  assert.deepEqual(defaults(schema.properties?.['kafka']?.properties?.['create']), { ...DEFAULTS.kafka });
  assert.deepEqual(defaults(schema.properties?.['workers']), { ...DEFAULTS.workers });
  const networks = schema.properties?.['networks']?.additionalProperties as Schema;
  assert.equal(networks.oneOf?.[1]?.properties?.['natGateways']?.default, DEFAULTS.natGateways);
});

test('every example is as the schema says', () => {
  assert.deepEqual([...EXAMPLES.keys()].sort(), ['orders', 'payments']);
  for (const name of EXAMPLES.keys()) {
    const text = readFileSync(join(folder, `${name}.json`), 'utf8');
    assert.ok(validate(JSON.parse(text)), `${name}: ${JSON.stringify(validate.errors)}`);
  }
});

test('what is left out is as the defaults say', () => {
  const config = read({ ...payments, kafka: { create: {} }, workers: {}, networks: { 'us-east-1': { cidr: '10.1.0.0/16' }, 'us-west-2': { cidr: '10.2.0.0/16' } } });
  assert.deepEqual(config.kafka, { create: DEFAULTS.kafka });
  assert.deepEqual(config.workers, DEFAULTS.workers);
  assert.deepEqual(config.networks['us-west-2'], { cidr: '10.2.0.0/16', zones: ['us-west-2a', 'us-west-2b', 'us-west-2c'], natGateways: 1 });
  assert.deepEqual([config.architecture, config.logDays, config.kafkaIam], ['arm64', 90, false]);
  assert.equal(FROM_SCRATCH.local, undefined);
});

for (const [what, change, expected] of [
  ['a key that nobody knows', { colour: 'red' }, /colour is not known; keys are/],
  ['one further down', { workers: { size: 3 } }, /workers\.size is not known/],
  ['an account that is no account', { account: '1' }, /account must be 12 digits/],
  ['a ledger somewhere else', { ledger: { region: 'eu-west-1' } }, /ledger\.region is eu-west-1; it is one of the pair's/],
  ['a witness that is no third', { ledger: { region: 'us-east-1', witness: 'us-west-2' } }, /it must be a third one/],
  ['networks made on one side', { networks: { ...(payments['networks'] as object), 'us-west-2': { vpc: 'v', subnets: ['a', 'b'], securityGroups: ['g'] } } }, /in both Regions or in none/],
  ['the same addresses twice', { networks: { 'us-east-1': { cidr: '10.1.0.0/16' }, 'us-west-2': { cidr: '10.1.0.0/16' } } }, /cannot be peered/],
  ['a network that is too small', { networks: { 'us-east-1': { cidr: '10.1.0.0/24' }, 'us-west-2': { cidr: '10.2.0.0/16' } } }, /a cidr of \/16 to \/20/],
  ['workers without a network', { networks: {}, kafka: { existing: { brokers: 3 } } }, /need networks of both Regions/],
  ['clusters both made and there', { kafka: { create: {}, existing: { brokers: 3 } } }, /either create or existing/],
  ['a Region that is not of the pair', { networks: { 'eu-west-1': { cidr: '10.1.0.0/16' } } }, /is no Region of the pair/],
] as const) {
  test(`refused, and by name: ${what}`, () => {
    assert.throws(() => read({ ...payments, ...change }), expected);
  });
}

test('refused, and by name: a pair whose names would be too long or not taken', () => {
  const pair = JSON.parse(readFileSync(join(folder, 'payments.pair.json'), 'utf8')) as Record<string, unknown>;
  const named = (name: string) => {
    const there = scratch();
    cpSync(join(folder, 'flows'), join(there, 'flows'), { recursive: true });
    writeFileSync(join(there, 'pair.json'), JSON.stringify({ ...pair, name }));
    writeFileSync(join(there, 'config.json'), JSON.stringify({ ...payments, pair: 'pair.json' }));
    return () => readConfig(join(there, 'config.json'));
  };
  assert.doesNotThrow(named('a-name-that-is-long-as-24'.slice(0, 24)));
  for (const name of ['a-name-that-is-long-as-25', 'Payments', 'pay_ments', '-payments']) {
    assert.throws(named(name), /up to 24 lower-case letters, digits and -, beginning and ending with a letter or digit/, name);
  }
});

test('refused, and by name: a pair whose questions reach nobody', () => {
  const there = scratch();
  const pair = JSON.parse(readFileSync(join(folder, 'payments.pair.json'), 'utf8')) as Record<string, unknown>;
  cpSync(join(folder, 'flows'), join(there, 'flows'), { recursive: true });
  writeFileSync(join(there, 'config.json'), JSON.stringify({ ...payments, pair: 'pair.json' }));
  const topics = pair['notify'] as string[];
  for (const notify of [[], ...topics.map((topic) => [topic])]) {
    writeFileSync(join(there, 'pair.json'), JSON.stringify({ ...pair, notify }));
    assert.throws(() => readConfig(join(there, 'config.json')), /pair payments tells nobody what its recoveries ask.*understudy-payments-people/);
  }
});

function read(file: Record<string, unknown>) {
  const path = join(scratch(), 'config.json');
  writeFileSync(path, JSON.stringify({ ...file, pair: join(folder, 'payments.pair.json') }));
  return readConfig(path);
}

test('every file of the folder is an example, or one of an example', () => {
  const known = [...EXAMPLES.keys()].flatMap((name) => [`${name}.json`, `${name}.pair.json`]);
  assert.deepEqual(readdirSync(folder).filter((file) => file.endsWith('.json')).sort(), [...known, 'schema.json'].sort());
});
