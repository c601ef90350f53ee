/** A second reader of the ticker that takes too long over each price, and what becomes of it. */

import { type Connection, RingcastError } from "@ringcast/client";
import { useEffect, useReducer, useState } from "react";
import type { Registry } from "../../../python/ringcast/demo/registry.js";
import { type Quote, SLOW_READER_HOLDS, TICKER, useWorld, type World } from "./world.js";

const WAYS = {
  handler: "skip: a handler is told of a gap",
  stream: "end: a stream stops with an error",
} as const;
type Way = keyof typeof WAYS;

interface Reading {
  read: number;
  last: number | null;
  lost: number;
  gaps: string[];
  ended: string | null;
}

type Step = { kind: "begin" } | { kind: "read"; quote: Quote } | { kind: "gap" | "ended"; reason: string };

const NOTHING: Reading = { read: 0, last: null, lost: 0, gaps: [], ended: null };

function reading(state: Reading, step: Step): Reading {
  switch (step.kind) {
    case "begin":
      return NOTHING;
    case "gap":
      return { ...state, gaps: [...state.gaps, step.reason] };
    case "ended":
      return { ...state, ended: step.reason };
    case "read": {
      const { number } = step.quote;
      const lost = state.last === null ? 0 : number - state.last - 1;
      return { ...state, read: state.read + 1, last: number, lost: state.lost + lost };
    }
  }
}

export function SlowReader() {
  const world = useWorld();
  const [isOn, setOn] = useState(false);
  const [way, setWay] = useState<Way>("handler");
  const [state, note] = useReducer(reading, NOTHING);

  useEffect(() => {
    if (!isOn) return;
    note({ kind: "begin" });
    return read(world, way, note);
  }, [isOn, way, world]);

  return (
    <section className="slow" aria-labelledby="slow-title">
      <div className="title">
        <h2 id="slow-title">Slow reader</h2>
        <label className="switch">
          <input
            type="checkbox"
            role="switch"
            aria-checked={isOn}
            checked={isOn}
            onChange={() => setOn(!isOn)}
          />
          <span>Read slowly</span>
        </label>
      </div>
      <fieldset className="ways">
        <legend>When {SLOW_READER_HOLDS} prices wait</legend>
        {Object.entries(WAYS).map(([each, text]) => (
          <label key={each}>
            <input type="radio" name="way" checked={way === each} onChange={() => setWay(each as Way)} />
            <span>{text}</span>
          </label>
        ))}
      </fieldset>
      <dl>
        <div>
          <dt>Read</dt>
          <dd>{state.read}</dd>
        </div>
        <div>
          <dt>Let go</dt>
          <dd>{state.lost}</dd>
        </div>
        <div>
          <dt>Gaps told</dt>
          <dd>{state.gaps.length}</dd>
        </div>
      </dl>
      <p role="status" aria-label="Slow reader">
        {said(state, isOn, world.slowMs)}
      </p>
    </section>
  );
}

function said({ read, gaps, ended }: Reading, isOn: boolean, slowMs: number): string {
  if (ended) return `The stream has ended: ${ended}. Nothing was lost in silence.`;
  if (gaps.length > 0) return `Told of a gap: ${gaps.at(-1)}. It reads on after it.`;
  if (!isOn) return "A connection of its own to the same ticker; the chart above does not wait for it.";
  return read === 0 ? "It connects." : `It takes ${slowMs / 1000} s for each price and falls behind.`;
}

/** Read the ticker slowly; return a function that ends this. */
function read(world: World, way: Way, note: (step: Step) => void): () => void {
  const connection = world.slow.ticker.getOrCreate(TICKER).connect();
  const takeTime = async (quote: Quote) => {
    note({ kind: "read", quote });
    await new Promise((resolve) => setTimeout(resolve, world.slowMs));
  };
  connection.on("gap", ({ reason }) => note({ kind: "gap", reason }));
  connection.on("error", (error) => note({ kind: "ended", reason: String(error) }));
  if (way === "handler") connection.on("price", takeTime);
  else void readStream(connection, takeTime, note);
  return () => void connection.close();
}

async function readStream(
  connection: Connection<Registry["ticker"]>,
  takeTime: (quote: Quote) => Promise<void>,
  note: (step: Step) => void,
): Promise<void> {
  try {
    for await (const quote of connection.stream("price")) await takeTime(quote);
  } catch (error) {
    const { code, metadata } = error instanceof RingcastError ? error : {};
    const reason = (metadata as { reason?: string } | undefined)?.reason;
    note({
      kind: "ended",
      reason: [code ?? String(error), reason && `(${reason})`].filter(Boolean).join(" "),
    });
  }
}
