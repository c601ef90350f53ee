/** Filters over events: what they match, the same as everywhere; and which handlers and topics they make. */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { Dispatch } from "../src/dispatch.js";
import { type Where, where } from "../src/filter.js";
import { Listeners } from "../src/listeners.js";
import { Subscriptions } from "../src/subscriptions.js";
import { topicOf, toWire } from "../src/topics.js";

const golden = JSON.parse(readFileSync(new URL("../../../tests/wire/filters.json", import.meta.url), "utf8"));

describe("what a filter matches", () => {
  test.each<any>(golden.fields)("$name", ({ where: wanted, fields, matches }) => {
    expect(where(wanted).matches([fields])).toBe(matches);
  });

  test.each<any>(golden.args)("$name", ({ where: wanted, args, matches }) => {
    expect(where(wanted).matches(args)).toBe(matches);
  });

  test.each<any>(golden.nested)("$name", ({ where: wanted, levels, then, matches }) => {
    for (const around of [(value: unknown) => [value], (value: unknown) => ({ a: value })]) {
      for (const depth of [levels, 5000]) {
        let deep: unknown = "a";
        for (let level = 0; level < depth; level++) deep = around(deep);
        expect(where(wanted).matches([{ deep, ...then }])).toBe(matches);
      }
    }
  });

  test("numbers that JSON has no form for are as good as null, and large ones of MessagePack are numbers", () => {
    for (const x of [Number.NaN, Number.POSITIVE_INFINITY, undefined]) {
      expect(where({ x__is: null }).matches([{ x }])).toBe(true);
    }
    expect(where({ x__ge: 3 }).matches([{ x: 4n }])).toBe(true);
  });

  test("what is no filter matches nothing", () => {
    expect(where({ x__gte: 1 }).matches([{ x: 1 }])).toBe(false);
    expect(where({ x__toString: 1 }).matches([{ x: 1 }])).toBe(false);
    expect(where({ x__has: 1 }).matches([{ x: ["a"] }])).toBe(false);
  });

  test("a filter is a copy of what it was made from", () => {
    const zones = [1];
    const filter = where({ zone__in: zones });
    zones.push(2);
    expect(filter.matches([{ zone: 2 }])).toBe(false);
    expect(filter.where).toEqual({ zone__in: [1] });
  });
});

test("a topic is a name, or more than any name", () => {
  const name = "😀".repeat(128);
  expect(toWire(topicOf(name))).toBe(name);
  expect(toWire(topicOf("a", { b: 1 }))).toEqual(["a", { b: 1 }]);
  expect(topicOf("a", { b: 1 }).length).toBeGreaterThan(name.length);
  expect(topicOf("a", { b: 1, c: 2 })).not.toBe(topicOf("a", { c: 2, b: 1 }));
});

function listening() {
  const told: unknown[] = [];
  const listeners = new Listeners((kind, topic) =>
    told.push([kind === "subscribe" ? "+" : "-", toWire(topic)]),
  );
  const subscriptions = new Subscriptions();
  return { told, listeners, subscriptions, dispatch: new Dispatch(listeners, subscriptions) };
}

test("each filter of a name is told of once, and taken back with its last handler", () => {
  const { told, listeners } = listening();
  const zone = (number: number) => ({ filter: where({ zone: number }) });
  const handler = () => {};
  const first = listeners.add("moved", handler, zone(1));
  const second = listeners.add("moved", handler, zone(1));
  listeners.add("moved", handler, zone(2));
  listeners.add("moved", handler);
  expect(listeners.topics().map(toWire)).toEqual([["moved", { zone: 1 }], ["moved", { zone: 2 }], "moved"]);
  first();
  second();
  listeners.off("moved");
  expect(told).toEqual([
    ["+", ["moved", { zone: 1 }]],
    ["+", ["moved", { zone: 2 }]],
    ["+", "moved"],
    ["-", ["moved", { zone: 1 }]],
    ["-", ["moved", { zone: 2 }]],
    ["-", "moved"],
  ]);
});

test("each handler gets what it asked for, `once` for the first event that matches", () => {
  const { listeners, dispatch } = listening();
  const got: Record<string, unknown[]> = { one: [], once: [], all: [] };
  const add = (name: string, wanted?: Where, once = false) =>
    listeners.add("moved", (event) => got[name]?.push(event.at), { filter: wanted && where(wanted), once });
  add("one", { zone: 1 });
  add("once", { zone__ge: 2 }, true);
  add("all");
  for (const [at, zone] of [1, 2, 3, 1].entries()) dispatch.deliver("moved", { at, zone });
  expect(got).toEqual({ one: [0, 3], once: [1], all: [0, 1, 2, 3] });
});

test("a filter that begins anew gets nothing from before, another of the same name does", () => {
  const { listeners, subscriptions, dispatch } = listening();
  const got: string[] = [];
  const anew = where({ zone: 1 });
  listeners.add("moved", () => got.push("anew"), { filter: anew });
  listeners.add("moved", () => got.push("kept"));
  const topic = topicOf("moved", anew.where);
  subscriptions.begin(["moved"], ["moved", topic]);
  subscriptions.leave(topic);
  dispatch.deliver("moved", { zone: 1 });
  const request = { kind: "subscribe", name: topic, settle: () => {} } as const;
  subscriptions.ask(request);
  subscriptions.answer(request, false);
  dispatch.deliver("moved", { zone: 1 });
  expect(got).toEqual(["kept", "anew", "kept"]);
});

test("a number that is not finite is no value of a filter", () => {
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, [1, Number.NEGATIVE_INFINITY]]) {
    expect(() => where({ zone: value })).toThrow(RangeError);
  }
});

test("half of a character is no text of a filter", () => {
  const love = "I love 😀";
  for (const fields of [
    { name__prefix: love.slice(0, 8) },
    { name: love.slice(8) },
    { name__in: ["a", "\ud83d"] },
    { "name\udc00": 1 },
  ]) {
    expect(() => where(fields as Record<string, unknown>)).toThrow(/whole characters/);
  }
  expect(where({ name__prefix: love }).matches([{ name: `${love}!` }])).toBe(true);
  expect(where({ "name😀": "\uffff" }).where).toEqual({ "name😀": "\uffff" });
});

test("what a connection listens for is bounded, so that it can be said when it comes back", () => {
  const { listeners } = listening();
  const add = (n: number) =>
    listeners.add("moved", () => {}, { filter: where({ x: `${n}${"x".repeat(4000)}` }) });
  for (let n = 0; n < 4; n += 1) add(n);
  expect(() => add(4)).toThrow(RangeError);
  // Another handler of one that is there, and another one in its place.
  add(0);
  listeners.off("moved");
  add(4);
  expect(listeners.topics().length).toBe(1);
});
