import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CloudWatch, type Minutes } from './cloudwatch.js';
import { FROM_SCRATCH, stackOf } from './templates.js';

// Stand-ins for AWS do not know composite alarms, dimensions, M of N or silence; so what CloudWatch makes of the templates
// is said here, and from the notification on it is run (tests/tests/local_aws.rs).
const control = new CloudWatch(stackOf(FROM_SCRATCH, 'us-west-2'));
const observed = new CloudWatch(stackOf(FROM_SCRATCH, 'us-west-2', 'Observability'));

const UNHEALTHY = 'understudy-payments-use1-unhealthy';
const WELL: Minutes = [1, 1, 1];
const ILL: Minutes = [0, 0, 0];
const SILENT: Minutes = [undefined, undefined, undefined];

/** What the alarm that leads to a recovery says of what both lookers saw. */
const seen = (active: Minutes, standby: Minutes) =>
  control.state(UNHEALTHY, (alarm) => (alarm.endsWith('-seen-from-active') ? active : standby));

test('a cluster that both lookers find ill for two of three minutes is unhealthy, and nothing less is', () => {
  assert.equal(seen(WELL, WELL), 'OK');
  assert.equal(seen(ILL, ILL), 'ALARM');
  assert.equal(seen([1, 0, 0], [0, 1, 0]), 'ALARM');
  assert.equal(seen([1, 1, 0], [0, 0, 0]), 'OK', 'one bad minute of one looker');
  assert.equal(seen(ILL, WELL), 'OK', 'the cluster is well, and something beside it is not');
  assert.equal(seen(WELL, ILL), 'OK', 'the peering is cut');
});

test('a Region that is gone tells nothing: that is as bad as an ill cluster, and takes both lookers too', () => {
  assert.equal(seen(SILENT, ILL), 'ALARM', 'the prober beside it went with it');
  assert.equal(seen(SILENT, SILENT), 'ALARM', 'nobody looks any more');
  assert.equal(seen([1, undefined, undefined], [1, undefined, 0]), 'ALARM');
  assert.equal(seen(SILENT, WELL), 'OK', 'a prober that stopped is no outage');
  assert.equal(seen(WELL, SILENT), 'OK');
  assert.equal(seen([1, undefined, 1], [1, undefined, 1]), 'OK', 'a late datapoint');
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

/** Which alarms tell people while everything that is measured says `metric` of an alarm. */
function told(cloudWatch: CloudWatch, metric: (alarm: string) => Minutes): string[] {
  return [...cloudWatch.acting().keys()].filter((name) => cloudWatch.state(name, metric) === 'ALARM').sort();
}

const often = (value: number | undefined): Minutes => Array.from({ length: 15 }, () => value);

test('where nothing is measured and the flow is to run, exactly what takes silence for bad tells people', () => {
  const silent = told(observed, (alarm) => often(alarm.endsWith('-rests') ? 2 : undefined));
  assert.deepEqual(silent, [
    'understudy-payments-secret-age',
    'understudy-payments-use1-usw2-recovery-point',
    'understudy-payments-use1-usw2-slots-unheld',
    'understudy-payments-use1-usw2-source-unseen',
    'understudy-payments-use1-usw2-workers-silent',
    'understudy-payments-usw2-controller',
  ]);
  assert.deepEqual(told(control, () => often(undefined)), [UNHEALTHY]);
});

test('a flow that rests is silent, and nobody is told; where ECS does not tell, it is taken to be wanted', () => {
  const about = (wanted: number | undefined) =>
    told(observed, (alarm) => often(alarm.endsWith('-rests') ? wanted : undefined)).filter((name) => name.includes('-use1-usw2-'));
  assert.deepEqual(about(0), []);
  assert.equal(about(1).length, 4);
  assert.equal(about(undefined).length, 4);
});

test('each of the flow’s alarms stands on its own metric', () => {
  // What is well of each, and what is not.
  const measures: Readonly<Record<string, readonly [number, number]>> = {
    'workers-heard': [2, 0],
    'recovery-point-seen': [1, 3600],
    'source-seen': [1, 600],
    'slots-held': [8, 0],
    'partitions-halted': [0, 1],
    gaps: [0, 1],
    'open-transaction': [0, 900],
    'places-unknown': [0, 3],
    'not-ready': [1, 0],
  };
  const telling: Readonly<Record<string, string>> = {
    'workers-heard': 'workers-silent',
    'recovery-point-seen': 'recovery-point',
    'source-seen': 'source-unseen',
    'slots-held': 'slots-unheld',
  };
  const prefix = 'understudy-payments-use1-usw2-';
  const of = (ill: string | undefined) => (alarm: string) => {
    const name = alarm.replace(prefix, '');
    const [well, bad] = measures[name] ?? [2, 2];
    return often(name === ill ? bad : well);
  };
  const flows = (ill: string | undefined) => told(observed, of(ill)).filter((name) => name.startsWith(prefix) && measures[untold(name)] !== undefined);
  const untold = (name: string) => Object.entries(telling).find(([, it]) => prefix + it === name)?.[0] ?? name.replace(prefix, '');
  assert.deepEqual(flows(undefined), []);
  for (const name of Object.keys(measures)) {
    assert.deepEqual(flows(name), [prefix + (telling[name] ?? name)]);
  }
});
