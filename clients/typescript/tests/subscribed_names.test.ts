/** What a client knows of its subscriptions, and what it says of them when it comes back. */

import { expect, test } from "vitest";
import { Dispatch } from "../src/dispatch.js";
import { type Filter, where } from "../src/filter.js";
import { Listeners } from "../src/listeners.js";
import type { Request } from "../src/requests.js";
import { Subscriptions } from "../src/subscriptions.js";
import { topicOf } from "../src/topics.js";

const request = (kind: Request["kind"], name = "a"): Request => ({ kind, name, settle() {} });
const on = (name?: string) => request("subscribe", name);
const off = (name?: string) => request("unsubscribe", name);
const isConfirmed = (names: Subscriptions, name = "a") => !names.unconfirmed([name]).length;

test("what a connect message carried is confirmed by its answer", () => {
  const names = new Subscriptions();
  expect(names.unconfirmed(["a", "b"])).toEqual(["a", "b"]);
  names.begin(["a"], ["a", "b"]);
  expect(names.unconfirmed(["b", "a"])).toEqual(["b"]);
  // As in a new session: what it does not carry is not there.
  names.begin(["b"], ["a", "b"]);
  expect(names.unconfirmed(["a", "b"])).toEqual(["a"]);
});

test("a request is confirmed by its answer, and a refusal is not", () => {
  const names = new Subscriptions();
  const [accepted, refused] = [on("a"), on("b")];
  names.ask(accepted);
  names.ask(refused);
  expect(names.unconfirmed(["a", "b"])).toEqual(["a", "b"]);
  names.answer(accepted, false);
  names.answer(refused, true);
  expect(names.unconfirmed(["a", "b"])).toEqual(["b"]);
});

test("an answer confirms nothing while a later request is on its way", () => {
  const names = new Subscriptions();
  const requests = [on(), off(), on()];
  for (const each of requests) names.ask(each);
  const confirmed = requests.map((each) => {
    names.answer(each, false);
    return isConfirmed(names);
  });
  expect(confirmed).toEqual([false, false, true]);
});

test("a name that is left is confirmed no more", () => {
  const names = new Subscriptions();
  names.begin(["a", "b"], ["a", "b"]);
  names.ask(off("a"));
  names.leave("b");
  expect(names.unconfirmed(["a", "b"])).toEqual(["a", "b"]);
});

test("a name that was left without a network begins anew, until the answer to whoever asks for it", () => {
  const names = new Subscriptions();
  names.begin(["a"], ["a"]);
  names.lost();
  names.leave("a");
  expect(names.anew.has("a")).toBe(true);
  names.begin([], ["a"]);
  const asked = on();
  names.ask(asked);
  expect(names.anew.has("a")).toBe(true);
  names.answer(asked, false);
  expect(names.anew.has("a")).toBe(false);
});

test("a name that nobody wants any more does not begin", () => {
  const names = new Subscriptions();
  names.leave("a");
  names.begin([], []);
  expect(names.anew.has("a")).toBe(false);
});

test.each([
  [off(), true],
  [on(), false],
])("of requests that the network took along the last one counts: %o", (last, beginsAnew) => {
  const names = new Subscriptions();
  names.begin(["a"], ["a"]);
  for (const each of [off(), on(), last]) names.ask(each);
  names.lost();
  expect(names.anew.has("a")).toBe(beginsAnew);
  expect(isConfirmed(names)).toBe(false);
});

test("an unsubscribe that was answered leaves nothing behind", () => {
  const names = new Subscriptions();
  names.begin(["a"], ["a"]);
  const left = off();
  names.ask(left);
  names.answer(left, false);
  names.lost();
  expect([names.anew.has("a"), isConfirmed(names)]).toEqual([false, false]);
});

test("a name that was refused stays as long as somebody listens for it, and no longer", () => {
  const names = new Subscriptions();
  names.begin([], []);
  for (let count = 0; count < 1000; count += 1) {
    const [refused, left] = [on(`${count}`), off(`${count}`)];
    names.ask(refused);
    names.answer(refused, true);
    names.leave(`${count}`);
    names.ask(left);
    if (count === 1) continue;
    names.answer(left);
  }
  // Of this one the server has not answered yet.
  expect([...names.anew]).toEqual(["1"]);
  const again = on("1");
  names.ask(again);
  names.answer(off("1"));
  expect(names.anew.has("1")).toBe(true);
  names.answer(again);
  expect(names.anew.size).toBe(0);
});

test("an event is not for handlers whose subscription is refused or has not begun", () => {
  const subscriptions = new Subscriptions();
  const listeners = new Listeners(() => {});
  const dispatch = new Dispatch(listeners, subscriptions);
  const got: string[] = [];
  const on = (label: string, filter: Filter) => {
    listeners.add("moved", ({ at }) => got.push(`${label} ${at}`), { filter });
    return topicOf("moved", filter.where);
  };
  const moved = (at: number, zone = 1) => dispatch.deliver("moved", { at, zone });
  const zone = on("zone", where({ zone: 1 }));
  const later = on("later", where({ at__ge: 0 }));
  // Sent to this connection by itself: no subscription of its name is confirmed.
  moved(1);
  subscriptions.begin([zone], [zone, later]);
  moved(2);
  moved(3, 2);
  subscriptions.begin([zone, later], [zone, later]);
  moved(4);
  subscriptions.leave(zone, true);
  moved(5);
  expect(got).toEqual(["zone 1", "later 1", "zone 2", "later 3", "zone 4", "later 4", "later 5"]);
});
