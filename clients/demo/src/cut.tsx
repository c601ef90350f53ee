/** The switch that cuts this page's network, and the report of what was missed. */

import { useEffect, useState } from "react";
import { type Report, summary } from "./report.js";
import { useCut, useWorld } from "./world.js";

const LENGTHS_S = [3, 6, 12];
/** How many marks the tape shows on each side of a cut. */
const MARKS = 8;

export function CutSwitch() {
  const { network } = useWorld();
  const backAt = useCut();
  const [seconds, setSeconds] = useState(6);
  const left = useCountdown(backAt);
  const isCut = backAt !== null;
  return (
    <div className="cut-switch" data-cut={isCut}>
      <button
        type="button"
        className="main"
        aria-pressed={isCut}
        onClick={() => (isCut ? network.restore() : network.cut(seconds))}
      >
        {isCut ? "Restore my network" : "Cut my network"}
      </button>
      {isCut ? (
        <p className="countdown" role="timer" aria-label="Seconds until the network is back">
          back in {left} s
        </p>
      ) : (
        <fieldset className="choice">
          <legend className="unseen">For how long</legend>
          {LENGTHS_S.map((each) => (
            <label key={each}>
              <input
                type="radio"
                name="seconds"
                checked={seconds === each}
                onChange={() => setSeconds(each)}
              />
              <span>{each} s</span>
            </label>
          ))}
        </fieldset>
      )}
    </div>
  );
}

export function CutReport({ report, newest }: { report: Report | null; newest: number | null }) {
  const isCut = useCut() !== null;
  if (!report) {
    return (
      <p className="hint">
        Drops the page's connections as a lost network would. The client comes back by itself, and the server
        replays what was missed, each event once.
      </p>
    );
  }
  return (
    <section className="report" aria-label="What was missed">
      <p role="status" aria-label="Result of the cut">
        {summary(report, isCut)}
      </p>
      <dl>
        <Figure name="Cut at" value={new Date(report.cutAt).toLocaleTimeString("en-GB")} />
        <Figure name="Last before" value={numbered(report.lastBefore)} />
        <Figure name="Missed" value={report.missed ?? "?"} />
        <Figure name="Replayed" value={report.arrived.length} />
        <Figure name="Gaps" value={report.gaps.length} />
      </dl>
      <Tape report={report} newest={newest} />
    </section>
  );
}

function Figure({ name, value }: { name: string; value: string | number }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

/** The events around the cut as marks, in the order in which they came. */
function Tape({ report, newest }: { report: Report; newest: number | null }) {
  const { lastBefore, arrived, missed } = report;
  const before = lastBefore === null ? 0 : Math.min(MARKS, lastBefore);
  const lastReplayed = arrived.at(-1)?.number ?? null;
  const live =
    missed === null || lastReplayed === null ? 0 : Math.min(MARKS, Math.max(0, (newest ?? 0) - lastReplayed));
  return (
    <>
      <ol className="tape" aria-label="Replayed events, in order of arrival">
        {Array.from({ length: before }, (_, index) => (
          <li key={`before ${index}`} className="live" aria-hidden="true" />
        ))}
        {missed === null && <li className="hole" aria-label="missing" />}
        {arrived.map((quote, index) => (
          <li
            // A price that came twice would stand here twice.
            key={index}
            className="replayed"
            title={`${quote.symbol} ${quote.price.toFixed(2)}`}
            style={{ animationDelay: `${Math.min(index * 30, 1500)}ms` }}
          >
            {quote.number}
          </li>
        ))}
        {Array.from({ length: live }, (_, index) => (
          <li key={`live ${index}`} className="live" aria-hidden="true" />
        ))}
      </ol>
      <p className="legend" aria-hidden="true">
        <span className="live">live</span>
        <span className="replayed">replayed, with its number</span>
      </p>
    </>
  );
}

function numbered(number: number | null): string {
  return number === null ? "none" : `#${number}`;
}

/** Return the whole seconds until `at`. */
function useCountdown(at: number | null): number {
  const [, tick] = useState(0);
  useEffect(() => {
    if (at === null) return;
    const timer = setInterval(() => tick((count) => count + 1), 250);
    return () => clearInterval(timer);
  }, [at]);
  return at === null ? 0 : Math.max(0, Math.ceil((at - Date.now()) / 1000));
}
