/** The ticker: its prices as a chart, the network's switch, and what was missed while it was cut. */

import { useEffect, useReducer, useRef, useState } from "react";
import { Chart } from "./chart.js";
import { CutReport, CutSwitch } from "./cut.js";
import { useReplay } from "./replay.js";
import { report } from "./report.js";
import { add, EMPTY, type Series, type ShareSymbol, SYMBOLS } from "./series.js";
import { StatusMark } from "./status.js";
import { type Quote, TICKER, useWorld } from "./world.js";

interface Addition {
  quotes: Quote[];
  replayed?: boolean;
  /** Whether these are all that there is to show: what was shown before may be another server's. */
  afresh?: boolean;
}

/** What was played could not be had: the chart begins with the next price then; why is what the status says. */
const CHART_IS_LATE = () => {};

export function Prices() {
  const { network, useActor } = useWorld();
  const ticker = useActor({ name: "ticker", key: TICKER });
  const [series, addTo] = useReducer(
    (state: Series, { quotes, replayed, afresh }: Addition) => add(afresh ? EMPTY : state, quotes, replayed),
    EMPTY,
  );
  const [cut, note] = useReducer(report, null);
  const [chosen, setChosen] = useState<ShareSymbol>("AAPL");
  const newest = useRef<number | null>(null);

  const isReplayed = useReplay(ticker, (count) => note({ kind: "replayed", count }));
  ticker.useEvent("gap", (gap) => {
    note({ kind: "gap", gap });
    // The server may be another one now, which counts rounds and prices from one again.
    ticker.connection?.played().then((quotes) => addTo({ quotes, afresh: true }), CHART_IS_LATE);
  });
  ticker.useEvent("price", (quote) => {
    const replayed = isReplayed();
    newest.current = quote.number;
    addTo({ quotes: [quote], replayed });
    if (replayed) note({ kind: "arrived", quote });
  });

  const { connection } = ticker;
  useEffect(() => {
    let wanted = true;
    connection?.played().then((quotes) => wanted && addTo({ quotes }), CHART_IS_LATE);
    return () => {
      wanted = false;
    };
  }, [connection]);

  useEffect(
    () =>
      network.watch(() => {
        if (network.cutAt !== null) note({ kind: "cut", at: network.cutAt, lastBefore: newest.current });
      }),
    [network],
  );

  return (
    <section id="prices" className="prices" aria-labelledby="prices-title" tabIndex={-1}>
      <div className="title">
        <h2 id="prices-title">Prices</h2>
        <StatusMark status={ticker.status} of="the ticker" />
      </div>
      <Chart series={series} chosen={chosen} />
      <fieldset className="shares">
        <legend className="unseen">Share to show in colour</legend>
        {SYMBOLS.map((symbol) => (
          <Share
            key={symbol}
            symbol={symbol}
            series={series}
            chosen={chosen === symbol}
            onChoose={() => setChosen(symbol)}
          />
        ))}
      </fieldset>
      <CutSwitch />
      <CutReport report={cut} newest={series.newest?.number ?? null} />
    </section>
  );
}

interface ShareProps {
  symbol: ShareSymbol;
  series: Series;
  chosen: boolean;
  onChoose(): void;
}

function Share({ symbol, series, chosen, onChoose }: ShareProps) {
  let latest: Quote | null = null;
  for (const point of series.points.values()) {
    if (point.symbol === symbol && (!latest || point.number > latest.number)) latest = point;
  }
  return (
    <label>
      <input type="radio" name="share" checked={chosen} onChange={onChoose} />
      <span className="symbol">{symbol}</span>
      <span className="price">{latest ? latest.price.toFixed(2) : "–"}</span>
    </label>
  );
}
