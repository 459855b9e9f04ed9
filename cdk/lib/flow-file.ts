import type { FlowOfPair, PairDocument } from './pair.js';

/** Where a task finds it. */
export const FLOW_FOLDER = '/run/understudy';

/** Slots of a flow that does not say how many it has. */
const SLOTS = 4;

/**
 * The text of a flow's file as its workers run it: what the pair's file says, and metrics for CloudWatch, which the
 * alarms stand on. The page stays on the loopback: a file that opens it is refused.
 */
export function flowFile(document: PairDocument, flow: FlowOfPair): string {
  const text = document.flows[flow.file];
  if (text === undefined) {
    throw new Error(`${flow.file} is not there`);
  }
  const listen = /^\s*listen\s*=\s*"(.*)"/m.exec(text)?.[1];
  if (listen !== undefined && listen !== '127.0.0.1:8080') {
    throw new Error(`${flow.file}: http.listen is ${listen}; where tasks run it is 127.0.0.1:8080, which their health is asked at`);
  }
  const pair = `pair = "${document.pair.name}"`;
  if (!/^\s*\[metrics\]/m.test(text)) {
    return `${text.trimEnd()}\n\n[metrics]\nemf = true\n${pair}\n`;
  }
  if (!/^\s*emf\s*=\s*true\b/m.test(text)) {
    throw new Error(`${flow.file}: metrics.emf must be true: the alarms stand on it`);
  }
  // Whatever else `pair` may be a key of, it is none of another section.
  if (/^\s*pair\s*=/m.test(text)) {
    throw new Error(`${flow.file}: leave metrics.pair out; it is set to the pair's name`);
  }
  return text.replace(/^\s*\[metrics\].*$/m, (section) => `${section}\n${pair}`);
}

/** How many slots a flow has: more workers than that do nothing. */
export function slotsOf(document: PairDocument, flow: FlowOfPair): number {
  return Number(/^\s*slots\s*=\s*(\d+)/m.exec(document.flows[flow.file] ?? '')?.[1] ?? SLOTS);
}

/** What the file says that the flow is called, as its metrics do: after its ends unless given. */
export function nameOf(document: PairDocument, flow: FlowOfPair): string {
  const head = (document.flows[flow.file] ?? '').split(/^\s*\[/m)[0] ?? '';
  return /^\s*name\s*=\s*"([^"]*)"/m.exec(head)?.[1] ?? `${flow.source}-${flow.target}`;
}
