/** The prices of one round, by share; and where they are in a chart. Pure. */

import type { Quote } from "./world.js";

export const SYMBOLS = ["AAPL", "AMZN", "GOOG", "IBM", "MSFT"] as const;
export type ShareSymbol = (typeof SYMBOLS)[number];

/** A quote, and whether it was replayed. */
export interface Point extends Quote {
  replayed: boolean;
}

export interface Series {
  round: number;
  /** By number, so that what comes twice, live and in an answer, is there once. */
  points: ReadonlyMap<number, Point>;
  newest: Point | null;
}

export const EMPTY: Series = { round: 0, points: new Map(), newest: null };

/** Add quotes; a new round begins an empty chart. */
export function add(series: Series, quotes: readonly Quote[], replayed = false): Series {
  let { round, newest } = series;
  let points = new Map(series.points);
  for (const quote of quotes) {
    if (quote.round < round) continue;
    if (quote.round > round) {
      round = quote.round;
      points = new Map();
    }
    if (points.has(quote.number)) continue;
    const point = { ...quote, replayed };
    points.set(quote.number, point);
    if (!newest || point.number > newest.number) newest = point;
  }
  return { round, points, newest };
}

/** The points of a share, oldest first. */
export function pointsOf(series: Series, symbol: string): Point[] {
  return [...series.points.values()]
    .filter((point) => point.symbol === symbol)
    .sort((a, b) => a.number - b.number);
}

const FIRST_DAY = Date.UTC(2000, 0, 1);
const LAST_DAY = Date.UTC(2010, 2, 1);
const LEAST_PRICE = 5;
const MOST_PRICE = 800;

/** Where a day is, from 0 at the left to 100. */
export function xOf(date: string): number {
  return (100 * (Date.parse(date) - FIRST_DAY)) / (LAST_DAY - FIRST_DAY);
}

/** Where a price is, from 0 at the top to 100, by its logarithm: a doubling is as high everywhere. */
export function yOf(price: number): number {
  const share = Math.log(price / LEAST_PRICE) / Math.log(MOST_PRICE / LEAST_PRICE);
  return 100 * (1 - share);
}
