/** The prices of one round as lines, one of them in colour; what was replayed has a dot. */

import { memo } from "react";
import { type Point, pointsOf, type Series, SYMBOLS, xOf, yOf } from "./series.js";

const PRICES = [10, 30, 100, 300];
const YEARS = [2000, 2002, 2004, 2006, 2008, 2010];

export const Chart = memo(function Chart({ series, chosen }: { series: Series; chosen: string }) {
  // The one in colour is drawn last, over the others.
  const symbols = SYMBOLS.toSorted((a, b) => Number(a === chosen) - Number(b === chosen));
  const label = `Monthly prices of ${SYMBOLS.join(", ")} in dollars, ${chosen} in colour, ${until(series)}`;
  return (
    <figure className="chart">
      <svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label={label}>
        {PRICES.map((price) => (
          <path key={price} className="grid" d={`M0 ${yOf(price)}H100`} />
        ))}
        {symbols.map((symbol) => (
          <Line key={symbol} points={pointsOf(series, symbol)} chosen={symbol === chosen} />
        ))}
      </svg>
      <div className="axes" aria-hidden="true">
        {PRICES.map((price) => (
          <span key={price} className="y" style={{ top: `${yOf(price)}%` }}>
            {price}
          </span>
        ))}
        {YEARS.map((year) => (
          <span key={year} className="x" style={{ left: `${xOf(`${year}-01-01`)}%` }}>
            {year}
          </span>
        ))}
      </div>
      <figcaption>
        US dollars, logarithmic <span className="until">{until(series)}</span>
      </figcaption>
    </figure>
  );
});

function Line({ points, chosen }: { points: Point[]; chosen: boolean }) {
  const places = points.map((point) => `${xOf(point.date).toFixed(2)} ${yOf(point.price).toFixed(2)}`);
  // A line of no length with a round end is a dot, however the chart is stretched.
  const dots = points.flatMap((point, index) => (point.replayed ? [`M${places[index]}h0.001`] : []));
  return (
    <g className={chosen ? "line chosen" : "line"}>
      {places.length > 0 && <path className="price" d={`M${places.join("L")}`} />}
      {dots.length > 0 && <path className="replayed" d={dots.join("")} />}
    </g>
  );
}

const MONTH = new Intl.DateTimeFormat("en", { month: "long", year: "numeric", timeZone: "UTC" });

function until({ newest }: Series): string {
  return newest ? `until ${MONTH.format(Date.parse(newest.date))}` : "no price yet";
}
