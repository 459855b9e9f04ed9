import type { Template } from 'aws-cdk-lib/assertions';
import { resources } from './templates.js';

/** What an alarm says. */
export type State = 'OK' | 'ALARM';

/** A metric's last minutes, oldest first; a minute without a datapoint is `undefined`. */
export type Minutes = readonly (number | undefined)[];

interface Properties {
  readonly AlarmName: string;
  readonly ComparisonOperator?: string;
  readonly Threshold?: number;
  readonly EvaluationPeriods?: number;
  readonly DatapointsToAlarm?: number;
  readonly TreatMissingData?: string;
  readonly Period?: number;
  readonly MetricName?: string;
  readonly Dimensions?: readonly { readonly Name: string; readonly Value: string }[];
  readonly Metrics?: readonly unknown[];
  readonly AlarmRule?: unknown;
  readonly AlarmActions?: readonly unknown[];
}

/**
 * How CloudWatch reads the alarms of a template, as its user guide says: the last `EvaluationPeriods` are looked at, a
 * missing one counts as `TreatMissingData` has it, and `DatapointsToAlarm` of them make an alarm. A rule stands on others.
 *
 * CloudWatch also looks at a few periods before those, so it may come to ALARM later than this where data goes missing; it
 * comes to nothing else.
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

  /** An alarm's state. `metric` tells the last minutes of what an alarm that stands on a metric looks at. */
  state(name: string, metric: (alarm: string) => Minutes): State {
    const alarm = this.alarm(name);
    if (alarm.AlarmRule !== undefined) {
      return new Rule(this.ruleOf(alarm), (it) => this.state(it, metric) === 'ALARM').holds() ? 'ALARM' : 'OK';
    }
    const periods = alarm.EvaluationPeriods ?? 1;
    const given = metric(name);
    const looked = Array.from({ length: periods }, (_, index) => given[given.length - periods + index]);
    const bad = looked.filter((value) => (value === undefined ? alarm.TreatMissingData === 'breaching' : breaches(alarm, value)));
    return bad.length >= (alarm.DatapointsToAlarm ?? periods) ? 'ALARM' : 'OK';
  }

  /** Every alarm that does something, with the name of its topic. */
  acting(): ReadonlyMap<string, string> {
    const acting = [...this.alarms.values()].filter((it) => (it.AlarmActions ?? []).length > 0);
    return new Map(acting.map((it) => [it.AlarmName, JSON.stringify(it.AlarmActions)]));
  }

  /** Every alarm that stands on a metric. */
  watching(): readonly string[] {
    return [...this.alarms.values()].filter((it) => it.AlarmRule === undefined).map((it) => it.AlarmName);
  }

  /** What silence means to an alarm on a metric. */
  silence(name: string): string | undefined {
    return this.alarm(name).TreatMissingData;
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
