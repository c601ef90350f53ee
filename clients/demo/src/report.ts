/** What became of one cut of the network: how much was missed, and how it came in. Pure. */

import type { Gap } from "@ringcast/client";
import type { Quote } from "./world.js";

export interface Report {
  /** By `Date.now`. */
  cutAt: number;
  /** The last price that came before; null if none had. */
  lastBefore: number | null;
  /** How many events the server replays; null until it has said so. */
  missed: number | null;
  /** Those that have come, in the order in which they came. */
  arrived: Quote[];
  /** Whether each of them was the next one: none left out, none twice. */
  inOrder: boolean;
  gaps: Gap[];
}

export type Step =
  | { kind: "cut"; at: number; lastBefore: number | null }
  | { kind: "replayed"; count: number }
  | { kind: "arrived"; quote: Quote }
  | { kind: "gap"; gap: Gap };

export function report(state: Report | null, step: Step): Report | null {
  if (step.kind === "cut") {
    const { at, lastBefore } = step;
    return { cutAt: at, lastBefore, missed: null, arrived: [], inOrder: true, gaps: [] };
  }
  // A network that was really lost, not cut here: it has no report.
  if (!state) return null;
  switch (step.kind) {
    case "replayed":
      return { ...state, missed: step.count };
    case "gap":
      return { ...state, gaps: [...state.gaps, step.gap] };
    case "arrived": {
      const before = state.arrived.at(-1)?.number ?? state.lastBefore;
      const isNext = before === null || step.quote.number === before + 1;
      return { ...state, arrived: [...state.arrived, step.quote], inOrder: state.inOrder && isNext };
    }
  }
}

/** Say in one sentence where it stands. */
export function summary(state: Report, isCut: boolean): string {
  const { missed, arrived, inOrder, gaps } = state;
  if (missed === null && gaps.length === 0) {
    return isCut ? "Cut. The ticker plays on without you." : "The network is back; the client connects.";
  }
  if (gaps.length > 0) return `Some events are gone for good: ${gaps.map((gap) => gap.reason).join(", ")}.`;
  if (missed === 0) return "Nothing was missed.";
  if (arrived.length < (missed ?? 0)) return `${missed} missed, ${arrived.length} have come in.`;
  const order = inOrder ? "in order, each exactly once" : "but not in order";
  return `${missed} missed, ${arrived.length} replayed ${order}.`;
}
