/** What is decided without a server: the report of a cut, and the series of a round. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type Report, report, type Step, summary } from "../src/report.js";
import { add, EMPTY, pointsOf, xOf, yOf } from "../src/series.js";

const quote = (number: number, round = 1) => ({
  symbol: "MSFT",
  date: "2000-01-01",
  price: 40,
  round,
  number,
});

function after(...steps: Step[]): Report {
  return steps.reduce(report, null as Report | null) as Report;
}

const CUT: Step = { kind: "cut", at: 0, lastBefore: 7 };
const arrived = (number: number): Step => ({ kind: "arrived", quote: quote(number) });

test("a report says what was missed, and whether it came in order", () => {
  expect(summary(after(CUT), true)).toBe("Cut. The ticker plays on without you.");
  const missed: Step = { kind: "replayed", count: 2 };
  expect(summary(after(CUT, missed, arrived(8)), false)).toBe("2 missed, 1 have come in.");
  expect(summary(after(CUT, missed, arrived(8), arrived(9)), false)).toBe(
    "2 missed, 2 replayed in order, each exactly once.",
  );
  for (const wrong of [
    [9, 8],
    [8, 8],
    [9, 10],
  ] as const) {
    const state = after(CUT, missed, arrived(wrong[0]), arrived(wrong[1]));
    expect(summary(state, false)).toBe("2 missed, 2 replayed but not in order.");
  }
  expect(summary(after(CUT, { kind: "replayed", count: 0 }), false)).toBe("Nothing was missed.");
  expect(summary(after(CUT, { kind: "gap", gap: { reason: "session_expired" } }), false)).toContain(
    "session_expired",
  );
});

test("the lock names no addresses to download from", () => {
  const { packages } = JSON.parse(readFileSync("package-lock.json", "utf8"));
  const resolved = Object.values<{ resolved?: string }>(packages).flatMap((entry) => entry.resolved ?? []);
  expect(resolved.sort()).toEqual(["../react", "../typescript"]);
});

test("without a cut there is no report", () => {
  expect(report(null, { kind: "replayed", count: 2 })).toBeNull();
});

test("a series has each quote once, and a new round begins anew", () => {
  let series = add(EMPTY, [quote(2), quote(3)]);
  series = add(series, [quote(1), quote(2), quote(3)]);
  expect(pointsOf(series, "MSFT").map((point) => point.number)).toEqual([1, 2, 3]);
  series = add(series, [quote(4, 2)], true);
  expect(pointsOf(series, "MSFT")).toEqual([{ ...quote(4, 2), replayed: true }]);
  expect(add(series, [quote(3)]).points.size).toBe(1);
});

test("the chart has its series from edge to edge", () => {
  expect([xOf("2000-01-01"), xOf("2010-03-01")]).toEqual([0, 100]);
  expect(yOf(10) - yOf(20)).toBeCloseTo(yOf(100) - yOf(200));
});
