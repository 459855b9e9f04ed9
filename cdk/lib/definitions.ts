import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { placeholderOf, STEPS, type Step } from './steps.js';

/** A state machine's definition, as its file holds it. */
export interface Definition {
  /** The machine's name: `failover`. */
  readonly name: string;
  /** The file's text. */
  readonly text: string;
  /** The steps that it calls. */
  readonly steps: readonly Step[];
}

/** Where the definitions are. */
export const STATE_MACHINES = join(import.meta.dirname, '..', '..', '..', 'statemachines');

/** Every definition, by name in order. */
export function definitions(folder: string = STATE_MACHINES): Definition[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.asl.json'))
    .sort()
    .map((file) => definition(file.replace(/\.asl\.json$/, ''), readFileSync(join(folder, file), 'utf8')));
}

/** What a text names between `${` and `}`, each once. */
export function placeholders(text: string): string[] {
  return [...new Set([...text.matchAll(/\$\{([^}]*)\}/g)].map((match) => match[1] ?? ''))].sort();
}

function definition(name: string, text: string): Definition {
  const named = new Map(STEPS.map((step) => [placeholderOf(step), step]));
  const steps = placeholders(text).map((placeholder) => {
    const step = named.get(placeholder);
    if (step === undefined) {
      throw new Error(`${name}.asl.json names \${${placeholder}}, which is no step's function`);
    }
    return step;
  });
  return { name, text, steps };
}

/**
 * How long a step's function may take, in seconds: one less than the shortest task that calls it, so that the function
 * says by itself, and by name, that its time is over. A task that waits for a token waits for a person, not for this.
 */
export function timeoutOf(step: Step, all: readonly Definition[]): number {
  const limits = all.flatMap((it) => taskTimeouts(JSON.parse(it.text) as unknown, placeholderOf(step)));
  const shortest = limits.length > 0 ? Math.min(...limits) : 31;
  return Math.max(shortest - 1, 3);
}

function taskTimeouts(value: unknown, placeholder: string): number[] {
  if (typeof value !== 'object' || value === null) {
    return [];
  }
  const below = Object.values(value).flatMap((it) => taskTimeouts(it, placeholder));
  const state = value as { Type?: string; Resource?: string; TimeoutSeconds?: unknown; Arguments?: { FunctionName?: string } };
  const calls = state.Type === 'Task' && state.Arguments?.FunctionName === `\${${placeholder}}`;
  const waits = state.Resource?.endsWith('.waitForTaskToken') ?? false;
  return calls && !waits && typeof state.TimeoutSeconds === 'number' ? [state.TimeoutSeconds, ...below] : below;
}
