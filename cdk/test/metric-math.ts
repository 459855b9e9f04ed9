/** A value for each period, oldest first; a period without a datapoint is `undefined`. */
export type Series = readonly (number | undefined)[];

type Value = Series | readonly Series[] | number;

/**
 * Evaluates an expression of CloudWatch's metric math, as far as alarms of this app use it: arithmetic, comparisons, `AND`,
 * `MIN`, `MAX`, `IF` and `FILL`. A period in which an operand has no datapoint has none; `MIN` and `MAX` of a list take those
 * that there are.
 */
export function evaluate(expression: string, named: (id: string) => Series): Series {
  const value = new Parser(expression, named).all();
  if (typeof value === 'number' || isList(value)) {
    throw new Error(`${expression} is no time series`);
  }
  return value;
}

const isList = (value: Value): value is readonly Series[] => Array.isArray(value) && Array.isArray(value[0]);

class Parser {
  private readonly words: string[];
  private readonly named: (id: string) => Series;

  constructor(text: string, named: (id: string) => Series) {
    this.words = text.match(/[A-Za-z_][A-Za-z0-9_]*|[0-9.]+|[-+*/<>(),[\]]/g) ?? [];
    this.named = named;
  }

  all(): Value {
    const value = this.either();
    if (this.words.length > 0) {
      throw new Error(`metric math says ${this.words[0]}, which is not known here`);
    }
    return value;
  }

  private either(): Value {
    return this.binary(['AND'], () => this.binary(['<', '>'], () => this.binary(['+', '-'], () => this.binary(['*', '/'], () => this.one()))));
  }

  private binary(operators: readonly string[], below: () => Value): Value {
    let left = below();
    while (operators.includes(this.words[0] ?? '')) {
      const operator = this.words.shift() ?? '';
      left = pairwise(operator, left, below());
    }
    return left;
  }

  private one(): Value {
    const word = this.words.shift() ?? '';
    if (word === '(') {
      return this.until(')')[0] as Value;
    }
    if (word === '[') {
      return this.until(']') as readonly Series[];
    }
    if (/^[0-9.]+$/.test(word)) {
      return Number(word);
    }
    if (this.words[0] === '(') {
      this.words.shift();
      return call(word, this.until(')'));
    }
    return this.named(word);
  }

  private until(end: string): Value[] {
    const values = [this.either()];
    while (this.words[0] === ',') {
      this.words.shift();
      values.push(this.either());
    }
    if (this.words.shift() !== end) {
      throw new Error(`metric math lacks a ${end}`);
    }
    return values;
  }
}

function call(name: string, given: readonly Value[]): Value {
  const [first, second, third] = given;
  switch (name) {
    case 'MIN':
    case 'MAX': {
      const all = first as readonly Series[];
      const told = (index: number) => all.map((it) => it[index]).filter((it) => it !== undefined);
      const best = name === 'MIN' ? Math.min : Math.max;
      return (all[0] ?? []).map((_, index) => (told(index).length === 0 ? undefined : best(...told(index))));
    }
    case 'IF':
      return zipped([first, second, third] as Value[], ([holds, yes, no]) => (holds === 0 ? no : yes));
    case 'FILL': {
      const series = first as Series;
      // Of what never told anything nothing is made.
      return series.every((it) => it === undefined) ? series : series.map((it) => it ?? (second as number));
    }
    default:
      throw new Error(`${name} is not known here`);
  }
}

function pairwise(operator: string, left: Value, right: Value): Value {
  const of: Readonly<Record<string, (a: number, b: number) => number>> = {
    '+': (a, b) => a + b,
    '-': (a, b) => a - b,
    '*': (a, b) => a * b,
    '/': (a, b) => a / b,
    '<': (a, b) => Number(a < b),
    '>': (a, b) => Number(a > b),
    AND: (a, b) => Number(a !== 0 && b !== 0),
  };
  return zipped([left, right], ([a, b]) => (of[operator] as (a: number, b: number) => number)(a as number, b as number));
}

/** Period by period; none where an operand has none. */
function zipped(values: readonly Value[], of: (each: number[]) => number | undefined): Series {
  const length = Math.max(...values.map((it) => (typeof it === 'number' ? 0 : it.length)));
  return Array.from({ length }, (_, index) => {
    const each = values.map((it) => (typeof it === 'number' ? it : (it as Series)[index]));
    return each.some((it) => it === undefined) ? undefined : of(each as number[]);
  });
}
