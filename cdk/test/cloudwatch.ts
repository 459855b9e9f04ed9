import type { Template } from 'aws-cdk-lib/assertions';
import { evaluate, type Series } from './metric-math.js';
import { resources } from './templates.js';

/** What an alarm says. */
export type State = 'OK' | 'ALARM';

/** What a minute of a metric holds: each value that somebody put, or nothing. */
export type Minute = readonly number[];

/** A metric, as whoever writes it names it. */
export interface Named {
  readonly namespace: string;
  readonly name: string;
  readonly dimensions: Readonly<Record<string, string>>;
}

/** What was put into metrics, by the minute, oldest first. Whoever names other dimensions has put another metric. */
export class Metrics {
  private readonly kept = new Map<string, readonly Minute[]>();

  /** Puts a metric's last minutes. */
  put(metric: Named, minutes: readonly Minute[]): this {
    this.kept.set(key(metric), minutes);
    return this;
  }

  /** Its last `periods` of so many seconds; what was never put is missing. */
  read(metric: Named, statistic: string, seconds: number, periods: number): Series {
    const minutes = this.kept.get(key(metric)) ?? [];
    const each = seconds / 60;
    return Array.from({ length: periods }, (_, index) => {
      const end = minutes.length - (periods - 1 - index) * each;
      return statisticOf(statistic, minutes.slice(Math.max(end - each, 0), Math.max(end, 0)).flat());
    });
  }
}

interface Query {
  readonly Id: string;
  readonly Expression?: string;
  readonly MetricStat?: { readonly Metric: MetricProperties; readonly Stat: string; readonly Period: number };
  readonly ReturnData?: boolean;
}

interface MetricProperties {
  readonly Namespace: string;
  readonly MetricName: string;
  readonly Dimensions?: readonly { readonly Name: string; readonly Value: unknown }[];
}

interface Properties extends MetricProperties {
  readonly AlarmName: string;
  readonly ComparisonOperator?: string;
  readonly Threshold?: number;
  readonly EvaluationPeriods?: number;
  readonly DatapointsToAlarm?: number;
  readonly TreatMissingData?: string;
  readonly Period?: number;
  readonly Statistic?: string;
  readonly Metrics?: readonly Query[];
  readonly AlarmRule?: unknown;
  readonly AlarmActions?: readonly unknown[];
}

/** How many periods CloudWatch asks for beyond those that it evaluates, by the tables of its user guide. */
const BEYOND = 2;

/**
 * How CloudWatch reads the alarms of a template, as its user guide says ("how alarm state is evaluated when data is
 * missing"). It asks for somewhat more periods than it evaluates. If as many of those as it evaluates have a datapoint, the
 * newest of these count and missing ones do not; otherwise as many missing ones as lack are filled in as the alarm says. A
 * rule stands on other alarms.
 */
export class CloudWatch {
  private readonly alarms: ReadonlyMap<string, Properties>;
  /** Names of alarms by their logical ids, by which rules refer to them. */
  private readonly names: ReadonlyMap<string, string>;

  constructor(template: Template) {
    const all = ['AWS::CloudWatch::Alarm', 'AWS::CloudWatch::CompositeAlarm'].flatMap((type) => resources(template, type));
    const named = all.map(([id, it]) => [id, it.Properties as unknown as Properties] as const);
    this.names = new Map(named.map(([id, it]) => [id, it.AlarmName]));
    this.alarms = new Map(named.map(([, it]) => [it.AlarmName, it]));
  }

  /** An alarm's state, by what was put into metrics. */
  state(name: string, metrics: Metrics): State {
    const alarm = this.alarm(name);
    if (alarm.AlarmRule !== undefined) {
      return new Rule(this.ruleOf(alarm), (it) => this.state(it, metrics) === 'ALARM').holds() ? 'ALARM' : 'OK';
    }
    const periods = alarm.EvaluationPeriods ?? 1;
    const told = series(alarm, metrics, periods + BEYOND).filter((it) => it !== undefined);
    const bad = told.slice(-periods).filter((value) => breaches(alarm, value)).length;
    const lacking = Math.max(periods - told.length, 0);
    const filled = alarm.TreatMissingData === 'breaching' ? lacking : 0;
    return bad + filled >= (alarm.DatapointsToAlarm ?? periods) ? 'ALARM' : 'OK';
  }

  /** Every alarm that does something, with the name of its topic. */
  acting(): ReadonlyMap<string, string> {
    const acting = [...this.alarms.values()].filter((it) => (it.AlarmActions ?? []).length > 0);
    return new Map(acting.map((it) => [it.AlarmName, JSON.stringify(it.AlarmActions)]));
  }

  private alarm(name: string): Properties {
    const found = this.alarms.get(name);
    if (found === undefined) {
      throw new Error(`there is no alarm ${name}`);
    }
    return found;
  }

  /** A rule's text, with the names of the alarms that it refers to. */
  private ruleOf(alarm: Properties): string {
    const joined = alarm.AlarmRule as { 'Fn::Join'?: [string, unknown[]] } | string;
    if (typeof joined === 'string') {
      return joined;
    }
    const parts = (joined['Fn::Join']?.[1] ?? []).map((part) => {
      const id = (part as { 'Fn::GetAtt'?: [string, string] })['Fn::GetAtt']?.[0];
      return id === undefined ? String(part) : (this.names.get(id) ?? id);
    });
    return parts.join('');
  }
}

/** What an alarm looks at, over so many periods. */
function series(alarm: Properties, metrics: Metrics, periods: number): Series {
  const { Metrics: queries } = alarm;
  if (queries === undefined) {
    return metrics.read(named(alarm), alarm.Statistic ?? '', alarm.Period ?? 60, periods);
  }
  const of = (query: Query | undefined): Series => {
    if (query?.MetricStat !== undefined) {
      const { Metric, Stat, Period } = query.MetricStat;
      return metrics.read(named(Metric), Stat, Period, periods);
    }
    if (query?.Expression === undefined) {
      throw new Error(`${alarm.AlarmName} looks at something that is not there`);
    }
    return evaluate(query.Expression, (id) => of(queries.find((it) => it.Id === id)));
  };
  return of(queries.find((it) => it.ReturnData !== false));
}

function named({ Namespace, MetricName, Dimensions }: MetricProperties): Named {
  const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));
  return { namespace: Namespace, name: MetricName, dimensions: Object.fromEntries((Dimensions ?? []).map((it) => [it.Name, text(it.Value)])) };
}

function key({ namespace, name, dimensions }: Named): string {
  const sorted = Object.entries(dimensions).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([namespace, name, sorted]);
}

function statisticOf(statistic: string, values: readonly number[]): number | undefined {
  if (values.length === 0) {
    return undefined;
  }
  const sum = values.reduce((all, it) => all + it, 0);
  switch (statistic) {
    case 'Maximum':
      return Math.max(...values);
    case 'Minimum':
      return Math.min(...values);
    case 'Sum':
      return sum;
    case 'Average':
      return sum / values.length;
    case 'SampleCount':
      return values.length;
    default:
      throw new Error(`${statistic} is not known here`);
  }
}

function breaches({ ComparisonOperator, Threshold = 0 }: Properties, value: number): boolean {
  switch (ComparisonOperator) {
    case 'GreaterThanThreshold':
      return value > Threshold;
    case 'GreaterThanOrEqualToThreshold':
      return value >= Threshold;
    case 'LessThanThreshold':
      return value < Threshold;
    default:
      throw new Error(`${ComparisonOperator} is not known here`);
  }
}

/** A composite alarm's rule: `(ALARM("a") AND (NOT (ALARM("b"))))`. */
class Rule {
  private readonly words: string[];
  private readonly fires: (alarm: string) => boolean;

  constructor(text: string, fires: (alarm: string) => boolean) {
    this.words = text.match(/[A-Z]+|"[^"]*"|[()]/g) ?? [];
    this.fires = fires;
  }

  holds(): boolean {
    let value = this.one();
    while (this.words[0] === 'AND' || this.words[0] === 'OR') {
      const and = this.words.shift() === 'AND';
      const next = this.one();
      value = and ? value && next : value || next;
    }
    return value;
  }

  private one(): boolean {
    const word = this.words.shift();
    if (word === 'NOT') {
      return !this.one();
    }
    if (word === '(') {
      const value = this.holds();
      this.words.shift();
      return value;
    }
    if (word === 'ALARM') {
      const [, name = ''] = this.words.splice(0, 3);
      return this.fires(name.slice(1, -1));
    }
    throw new Error(`a rule says ${word}, which is not known here`);
  }
}
