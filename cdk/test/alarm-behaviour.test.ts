import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { CloudWatch, type Minute, Metrics, type Named } from './cloudwatch.js';
import { FROM_SCRATCH, PACKAGE, stackOf } from './templates.js';

// Stand-ins for AWS do not know composite alarms, dimensions, M of N, metric math or silence; so what CloudWatch makes of the
// templates is said here, from metrics as their writers name them, and from the notification on it is run
// (tests/tests/local_aws.rs).
const control = new CloudWatch(stackOf(FROM_SCRATCH, 'us-west-2'));
const observed = new CloudWatch(stackOf(FROM_SCRATCH, 'us-west-2', 'Observability'));

const UNHEALTHY = 'understudy-payments-use1-unhealthy';

/** Minutes, oldest first: a number is one value that was put, `-` is nothing. */
const minutes = (text: string): Minute[] => text.split(' ').map((it) => (it === '-' ? [] : [Number(it)]));
const often = (value: number, times = 40): Minute[] => Array.from({ length: times }, () => [value]);

const ours = (name: string, dimensions: Record<string, string>): Named => ({ namespace: 'Understudy', name, dimensions });
/** As `functions/aws/src/signals.rs` names it. */
const probe = (name: string, vantage: string, layer?: string): Named =>
  ours(name, { Pair: 'payments', Cluster: 'use1', Vantage: vantage, ...(layer === undefined ? {} : { Layer: layer }) });
/** As `replicator/service/src/emf.rs` does. */
const worker = (name: string): Named => ours(name, { pair: 'payments', flow: 'use1-usw2' });
const WANTED: Named = {
  namespace: 'ECS/ContainerInsights',
  name: 'DesiredTaskCount',
  dimensions: { ClusterName: 'understudy-payments', ServiceName: 'use1-usw2' },
};

/** What the alarm that leads to a recovery says of what both lookers saw. */
const seen = (active: string, standby: string) =>
  control.state(UNHEALTHY, new Metrics().put(probe('ProbeSuccess', 'active'), minutes(active)).put(probe('ProbeSuccess', 'standby'), minutes(standby)));

const WELL = '1 1 1 1 1';
const ILL = '1 1 1 0 0';
const SILENT = '- - - - -';

test('a cluster that both lookers find ill for two of three minutes is unhealthy, and nothing less is', () => {
  assert.equal(seen(WELL, WELL), 'OK');
  assert.equal(seen(ILL, ILL), 'ALARM');
  assert.equal(seen('1 1 1 0 0', '1 1 0 1 0'), 'ALARM');
  assert.equal(seen('1 1 1 1 0', ILL), 'OK', 'one bad minute of one looker');
  assert.equal(seen(ILL, WELL), 'OK', 'the cluster is well, and something beside it is not');
  assert.equal(seen(WELL, ILL), 'OK', 'the peering is cut');
});

test('a Region that is gone tells nothing: four minutes of that are as bad as an ill cluster, and take both lookers too', () => {
  // docs/alarms.md says how long it takes, from this.
  assert.equal(seen('1 1 1 - -', ILL), 'OK');
  assert.equal(seen('1 1 - - -', ILL), 'OK');
  assert.equal(seen('1 - - - -', ILL), 'ALARM', 'the prober beside it went with it');
  assert.equal(seen(SILENT, SILENT), 'ALARM', 'nobody looks any more');
  assert.equal(seen(SILENT, WELL), 'OK', 'a prober that stopped is no outage');
  assert.equal(seen(WELL, SILENT), 'OK');
  assert.equal(seen('1 1 1 - 1', '1 1 1 - 1'), 'OK', 'a late datapoint');
  assert.equal(seen('1 - - 0 -', ILL), 'ALARM', 'a bad look and silence count together');
});

test('looks at another cluster, of another pair or from elsewhere do not count', () => {
  for (const dimensions of [
    { Pair: 'payments', Cluster: 'usw2' },
    { Pair: 'orders', Cluster: 'use1' },
  ]) {
    const metrics = new Metrics();
    for (const vantage of ['active', 'standby']) {
      metrics.put(probe('ProbeSuccess', vantage), minutes(WELL));
      metrics.put(ours('ProbeSuccess', { ...dimensions, Vantage: vantage }), minutes('0 0 0 0 0'));
    }
    assert.equal(control.state(UNHEALTHY, metrics), 'OK');
  }
});

test('the one alarm that leads to a recovery goes to the trigger, and all others go to people', () => {
  const trigger = [...control.acting()].filter(([, topics]) => topics.includes('NoticesAlarms'));
  assert.deepEqual(trigger.map(([name]) => name), [UNHEALTHY]);
  for (const cloudWatch of [control, observed]) {
    for (const [name, topics] of cloudWatch.acting()) {
      assert.ok(name === UNHEALTHY || /people|People/.test(topics), `${name} goes to ${topics}`);
    }
  }
});

/** Which alarms tell people of what was put into metrics. */
const told = (cloudWatch: CloudWatch, metrics: Metrics): string[] =>
  [...cloudWatch.acting().keys()].filter((name) => cloudWatch.state(name, metrics) === 'ALARM').sort();

test('where nothing is measured and the flow is to run, exactly what takes silence for bad tells people', () => {
  assert.deepEqual(told(observed, new Metrics().put(WANTED, often(2))), [
    'understudy-payments-secret-age',
    'understudy-payments-stuck',
    'understudy-payments-use1-usw2-recovery-point',
    'understudy-payments-use1-usw2-slots-unheld',
    'understudy-payments-use1-usw2-source-unseen',
    'understudy-payments-use1-usw2-workers-silent',
    'understudy-payments-usw2-controller',
  ]);
  assert.deepEqual(told(control, new Metrics()), [UNHEALTHY]);
});

test('a flow that rests is silent, and nobody is told; where ECS does not tell, it is taken to be wanted', () => {
  const about = (metrics: Metrics) => told(observed, metrics).filter((name) => name.includes('-use1-usw2-'));
  assert.deepEqual(about(new Metrics().put(WANTED, often(0))), []);
  assert.equal(about(new Metrics().put(WANTED, often(1))).length, 4);
  assert.equal(about(new Metrics()).length, 4);
});

/** What each of a flow's metrics says while all is well: two workers that hold four of its eight slots each. */
const workers = (): Map<string, Minute[]> =>
  new Map([
    ['SlotsHeld', Array.from({ length: 40 }, () => [4, 4])],
    ['RecoveryPointSeconds', often(1)],
    ['SourceSeenSeconds', often(1)],
    ['PartitionsHalted', often(0)],
    ['GapsOpen', often(0)],
    ['OpenTransactionSeconds', often(0)],
    ['GroupPlacesUnknown', often(0)],
    ['FailoverPossible', often(1)],
  ]);

/** Which of a flow's alarms tell people while `name` says something else. */
function ofFlow(name?: string, said: Minute[] = []): string[] {
  const all = workers();
  if (name !== undefined) {
    all.set(name, said);
  }
  const metrics = new Metrics().put(WANTED, often(2));
  all.forEach((minutes, metric) => metrics.put(worker(metric), minutes));
  const prefix = 'understudy-payments-use1-usw2-';
  return told(observed, metrics).filter((it) => it.startsWith(prefix)).map((it) => it.replace(prefix, ''));
}

test('each of the flow’s alarms stands on its own metric', () => {
  assert.deepEqual(ofFlow(), []);
  for (const [metric, bad, alarm] of [
    ['RecoveryPointSeconds', 3600, 'recovery-point'],
    ['SourceSeenSeconds', 600, 'source-unseen'],
    ['PartitionsHalted', 1, 'partitions-halted'],
    ['GapsOpen', 1, 'gaps'],
    ['OpenTransactionSeconds', 900, 'open-transaction'],
    ['GroupPlacesUnknown', 3, 'places-unknown'],
    ['FailoverPossible', 0, 'not-ready'],
  ] as const) {
    assert.deepEqual(ofFlow(metric, often(bad)), [alarm]);
  }
});

test('slots are counted over all workers, and a worker that is late is not taken for one that is gone', () => {
  const one = Array.from({ length: 40 }, () => [4]);
  assert.deepEqual(ofFlow('SlotsHeld', one), ['slots-unheld'], 'half of the slots');
  const most = Array.from({ length: 40 }, () => [4, 2]);
  assert.deepEqual(ofFlow('SlotsHeld', most), ['slots-unheld'], 'three quarters of the slots');
  const late = Array.from({ length: 40 }, (_, minute) => (minute === 39 ? [4] : [4, 4]));
  assert.deepEqual(ofFlow('SlotsHeld', late), []);
});

test('silence lasts as long as an alarm says and no longer: three minutes of workers, five of a controller', () => {
  const silentFor = (silent: number) => [...often(4, 40 - silent), ...Array.from({ length: silent }, () => [])];
  assert.ok(!ofFlow('SlotsHeld', silentFor(2)).includes('workers-silent'), 'two minutes may be late');
  assert.ok(ofFlow('SlotsHeld', silentFor(3)).includes('workers-silent'));
  const controller = (silent: number) =>
    observed.state(
      'understudy-payments-usw2-controller',
      new Metrics().put({ namespace: 'AWS/Kafka', name: 'ActiveControllerCount', dimensions: { 'Cluster Name': 'understudy-payments' } }, [
        ...often(1, 40 - silent),
        ...Array.from({ length: silent }, () => []),
      ]),
    );
  assert.deepEqual([controller(4), controller(5)], ['OK', 'ALARM']);
});

test('what is refused by the ledger is told, and told again the next time', () => {
  const name = 'understudy-payments-ledger-conflicts';
  const metric = { namespace: 'AWS/DynamoDB', name: 'ConditionalCheckFailedRequests', dimensions: { TableName: 'understudy-payments-ledger' } };
  const state = (text: string) => observed.state(name, new Metrics().put(metric, minutes(text)));
  assert.equal(state('- - - - - - - - - - 1 2 1 - 1'), 'ALARM');
  // DynamoDB tells nothing of nothing; that has to be over for the next one to be told.
  assert.equal(state('- - - - - 1 2 1 - 1 - - - - -'), 'OK');
});

test('a recovery that is overdue is told after five minutes, and so is that nobody can tell', () => {
  const name = 'understudy-payments-stuck';
  const state = (text: string) => observed.state(name, new Metrics().put(ours('RecoveryOverdueSeconds', { Pair: 'payments' }), minutes(text)));
  assert.equal(state('0 0 0 0 0 0 0'), 'OK');
  assert.equal(state('0 0 0 60 120 180 240'), 'OK');
  assert.equal(state('0 0 60 120 180 240 300'), 'ALARM');
  assert.equal(state('0 0 - - - - -'), 'ALARM');
});

/** What the function that looks at secrets puts into metrics in an hour; of those that it may not look at, `denied`. */
function putAges(secrets: readonly string[], denied: readonly string[]): { Value: number; Dimensions: { Name: string; Value: string }[] }[] {
  const program = `
import datetime, json, sys, types
class Client:
    def describe_secret(self, SecretId):
        if SecretId in ${JSON.stringify(denied)}:
            raise RuntimeError("AccessDenied")
        return {"CreatedDate": datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=10)}
    def put_metric_data(self, Namespace, MetricData):
        print(json.dumps(MetricData))
sys.modules["boto3"] = types.SimpleNamespace(client=lambda name: Client())
import credential_age
try:
    credential_age.handler({}, None)
except RuntimeError as error:
    assert "AccessDenied" in str(error)
`;
  const env = { ...process.env, PYTHONPATH: join(PACKAGE, 'inline'), PYTHONDONTWRITEBYTECODE: '1', PAIR: 'payments', SECRETS: secrets.join(',') };
  return JSON.parse(execFileSync('python3', ['-c', program], { env, encoding: 'utf8' })) as ReturnType<typeof putAges>;
}

test('one secret of which nobody can tell is as bad as an old one, and so is silence about all of them', () => {
  const hours = (days: number) => Array.from({ length: 6 * 60 }, (_, minute): Minute => (minute % 60 === 0 ? [days] : []));
  const age = (secret: string) => ours('SecretAgeDays', { Pair: 'payments', Secret: secret });
  const [first = '', second = ''] = [...new Set(JSON.stringify(stackOf(FROM_SCRATCH, 'us-west-2', 'Observability').toJSON()).match(/AmazonMSK_[A-Za-z0-9_-]+/g))];
  assert.notEqual(second, '');
  const name = 'understudy-payments-secret-age';
  const secrets = (one: Minute[], other: Minute[]) => observed.state(name, new Metrics().put(age(first), one).put(age(second), other));
  assert.equal(secrets(hours(10), hours(20)), 'OK');
  assert.equal(secrets(hours(10), hours(400)), 'ALARM');
  const put = (denied: string[]) => {
    const metrics = new Metrics();
    for (const { Value, Dimensions } of putAges([first, second], denied)) {
      metrics.put(ours('SecretAgeDays', Object.fromEntries(Dimensions.map((it) => [it.Name, it.Value]))), hours(Value));
    }
    return observed.state(name, metrics);
  };
  // Never told, from the first hour on.
  assert.deepEqual([put([]), put([second]), put([first, second])], ['OK', 'ALARM', 'ALARM']);
  const stopped = (silent: number) => [...hours(10), ...hours(10)].map((minute, at, { length }) => (at < length - silent * 60 ? minute : []));
  assert.deepEqual([2, 3, 6, 12].map((silent) => secrets(stopped(silent), stopped(silent))), ['OK', 'ALARM', 'ALARM', 'ALARM']);
});

test('a certificate is told before it ends', () => {
  const certificate = (days: number) => observed.state('understudy-payments-certificate-end', new Metrics().put(probe('CertificateDays', 'standby'), often(days, 60)));
  assert.deepEqual([certificate(300), certificate(20)], ['OK', 'ALARM']);
});

test('a login that one prober is refused is told, also while the other one is not refused', () => {
  const state = (active: number, standby: number) =>
    observed.state(
      'understudy-payments-login-refused',
      new Metrics().put(probe('ProbeSuccess', 'active', 'authenticate'), often(active)).put(probe('ProbeSuccess', 'standby', 'authenticate'), often(standby)),
    );
  assert.deepEqual([state(1, 1), state(0, 1), state(1, 0)], ['OK', 'ALARM', 'ALARM']);
});
