/** The parts that need no network: backing off, signs of life, positions, listeners, requests, sessions, addresses. */

import { decode, encode } from "@msgpack/msgpack";
import { describe, expect, test } from "vitest";
import { Backoff } from "../src/backoff.js";
import { json, type Payload } from "../src/codec.js";
import { configFrom } from "../src/config.js";
import { Dispatch } from "../src/dispatch.js";
import { baseUrl } from "../src/endpoint.js";
import { createClient, RingcastError } from "../src/index.js";
import { Listeners } from "../src/listeners.js";
import { Liveness } from "../src/liveness.js";
import { msgpack } from "../src/msgpack.js";
import { Position } from "../src/position.js";
import { type Request, Requests } from "../src/requests.js";
import { Session } from "../src/session.js";
import { Subscriptions } from "../src/subscriptions.js";

const config = (options = {}) => configFrom({ url: "http://x", ...options });

describe("the back-off", () => {
  const settings = { reconnectFirstMs: 500, reconnectBaseMs: 1000, reconnectMaxMs: 30_000 };
  /** The server has not said when to come. */
  const UNTOLD = Number.NaN;
  const bounds = (backoff: Backoff, count: number) =>
    Array.from({ length: count }, () => backoff.nextDelayMs(UNTOLD));

  test("has a short first bound, then one that doubles up to the longest, also after thousands of tries", () => {
    const backoff = new Backoff(config({ ...settings, random: () => 1 }));
    expect(bounds(backoff, 8)).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    expect(bounds(backoff, 5000).at(-1)).toBe(30_000);
    backoff.reset();
    expect(backoff.nextDelayMs(UNTOLD)).toBe(500);
  });

  test("draws from zero up", () => {
    expect(bounds(new Backoff(config({ ...settings, random: () => 0 })), 3)).toEqual([0, 0, 0]);
    expect(bounds(new Backoff(config({ ...settings, random: () => 0.5 })), 3)).toEqual([250, 500, 1000]);
  });

  test("has no bound below what the server advertised, the first one included", () => {
    const backoff = new Backoff(config({ ...settings, random: () => 1 }));
    backoff.spreadMs = 5000;
    expect(bounds(backoff, 5)).toEqual([5000, 5000, 5000, 5000, 8000]);
    // Neither by this client's own bound, but for an hour.
    backoff.spreadMs = 125_000;
    expect(backoff.nextDelayMs(UNTOLD)).toBe(125_000);
    backoff.spreadMs = 1e9;
    expect(backoff.nextDelayMs(UNTOLD)).toBe(3_600_000);
  });

  test("does not grow when the server has said when to come", () => {
    const backoff = new Backoff(config({ ...settings, random: () => 0.5 }));
    expect(backoff.nextDelayMs(1250)).toBe(1500);
    expect(backoff.nextDelayMs(UNTOLD)).toBe(250);
    // A broken server's time, or none, is no time.
    expect([1e9, -1].map((toldMs) => backoff.nextDelayMs(toldMs))).toEqual([500, 1000]);
  });
});

describe("liveness", () => {
  function afterTicks(liveness: Liveness, count: number) {
    return Array.from({ length: count }, () => liveness.tick(false, false));
  }

  test("a server that promised heartbeats is asked a little after the first, given up after the second", () => {
    const liveness = new Liveness(config(), 15);
    const steps = afterTicks(liveness, 40);
    expect(steps.indexOf("ask") + 1).toBe(Math.ceil(20_000 / liveness.tickMs));
    expect((steps.indexOf("give up") + 1) * liveness.tickMs).toBeLessThanOrEqual(30_000 + liveness.tickMs);
    expect(steps.filter((step) => step === "ask")).toHaveLength(1);
  });

  test("one that promised none is asked all the same", () => {
    const steps = afterTicks(new Liveness(config({ askIdleMs: 8, askReplyMs: 4 }), null), 12);
    expect([steps.indexOf("ask") + 1, steps.indexOf("give up") + 1]).toEqual([8, 12]);
  });

  test("whatever comes begins the count anew", () => {
    const liveness = new Liveness(config({ askIdleMs: 8, askReplyMs: 4 }), null);
    afterTicks(liveness, 11);
    expect(liveness.tick(true, false)).toBe(null);
    expect(afterTicks(liveness, 12).indexOf("give up")).toBe(11);
  });

  test("after a sleep the server is asked at once, not blamed", () => {
    const liveness = new Liveness(config(), 15);
    expect(liveness.tick(false, true)).toBe("ask");
    expect(liveness.tick(true, false)).toBe(null);
  });
});

test("a position moves as a pair, and never back within an epoch", () => {
  const position = new Position();
  position.begin("a", 41);
  for (const offset of [42, 42, 45]) position.skip(offset);
  position.begin("a", 40);
  position.skip(null);
  position.skip(30);
  expect(position.offset).toBe(45);
  position.skip(50);
  expect(position.offset).toBe(50);
  position.begin("b", 3);
  expect([position.epoch, position.offset]).toEqual(["b", 3]);
});

describe("listeners", () => {
  test("tell of the first and the last of a name, never of lifecycle names", () => {
    const told: string[] = [];
    const listeners = new Listeners((kind, topic) => told.push(`${kind} ${topic}`));
    const handler = () => {};
    const first = listeners.add("x", handler);
    listeners.add("x", handler);
    listeners.add("connected", handler);
    first();
    first();
    listeners.off("x", () => {});
    expect(told).toEqual(["subscribe x"]);
    listeners.off();
    expect(told).toEqual(["subscribe x", "unsubscribe x"]);
  });

  test("that are removed while an event is handled do not run; a name may be taken up again", async () => {
    const told: string[] = [];
    const listeners = new Listeners((kind, topic) => told.push(`${kind} ${topic}`));
    const dispatch = new Dispatch(listeners, new Subscriptions());
    listeners.add("x", () => {
      listeners.off("x");
      listeners.add("x", () => told.push("new"));
    });
    listeners.add("x", () => told.push("old"));
    dispatch.deliver("x");
    dispatch.deliver("x");
    expect(told).toEqual(["subscribe x", "unsubscribe x", "subscribe x", "new"]);
  });
});

describe("requests", () => {
  function call(name: string, settled: string[], args: unknown[] = []): Request {
    return {
      kind: "call",
      name,
      args,
      settle: (error, value) => settled.push(`${name} ${error?.code ?? value}`),
    };
  }

  test("that were sent are sent again as they were; answers for nobody are ignored", () => {
    const settled: string[] = [];
    const requests = new Requests(config());
    requests.send(call("a", settled));
    requests.send({ kind: "subscribe", name: "x", settle: () => settled.push("x") });
    requests.send(call("b", settled));
    requests.answer(1, null, "done", 1);
    requests.answer(1, null, "twice", 1);
    requests.lost();
    expect(requests.unanswered()).toEqual([3]);
    expect(requests.resend()).toEqual(['["call",3,"b",[]]']);
    requests.reset();
    expect(settled).toEqual(["a done", "b outcome_unknown"]);
    expect(requests.send(call("c", settled))).toEqual(['["call",1,"c",[]]']);
  });

  test("have ids, of which the highest that was answered is known as long as the session goes on", () => {
    const requests = new Requests(config());
    for (const name of ["a", "b", "c"]) requests.send(call(name, []));
    const answered = [3, 1, 99].map((id) => {
      requests.answer(id, null, null, 1);
      return requests.answered;
    });
    // No request has had the last of these ids.
    expect(answered).toEqual([3, 3, 3]);
    requests.lost();
    expect(requests.answered).toBe(3);
    requests.reset();
    expect(requests.answered).toBe(0);
  });

  test("that are about names alone are dropped when the connection ends, without a word", () => {
    const settled: string[] = [];
    const requests = new Requests(config());
    requests.send({ kind: "subscribe", name: "x", settle: () => settled.push("x") });
    requests.send(call("a", settled));
    expect(requests.submit(call("b", settled), true)).toEqual([]);
    requests.end(new RingcastError("connection_closed", "over"));
    expect(settled).toEqual(["a outcome_unknown", "b connection_closed"]);
  });

  test("whose callers have gone take a place until they are answered", () => {
    const settled: string[] = [];
    const requests = new Requests(config({ maxUnansweredCalls: 1 }));
    const gone = call("a", settled);
    requests.send(gone);
    requests.abandon(gone);
    expect(requests.submit(call("b", settled), false)).toEqual([]);
    expect(requests.sendQueued()).toEqual([]);
    requests.answer(1, null, "late", 1);
    expect(requests.sendQueued()).toEqual(['["call",2,"b",[]]']);
    expect(settled).toEqual([]);
  });

  test("that have not reached the server are settled, and are none that it has answered", () => {
    const settled: string[] = [];
    const requests = new Requests(config());
    requests.send(call("a", settled));
    requests.answer(1, new RingcastError("message_too_big", "no"), null, 0);
    expect(settled).toEqual(["a message_too_big"]);
    expect([requests.answered, requests.unanswered()]).toEqual([0, []]);
    requests.send(call("b", settled));
    requests.answer(2, null, "done", 1);
    expect(requests.answered).toBe(2);
  });

  test("that are refused on the way have run or not, if an earlier link may have sent them", () => {
    const settled: string[] = [];
    const requests = new Requests(config());
    const refuse = (id: number) => requests.answer(id, new RingcastError("forbidden", "no"), null, 0);
    requests.send(call("a", settled));
    requests.send(call("b", settled));
    requests.lost();
    requests.unanswered();
    expect(requests.resend()).toHaveLength(2);
    requests.send(call("c", settled));
    refuse(1);
    refuse(3);
    // In another session it is another one that has its id.
    requests.reset();
    requests.resend();
    requests.send(call("d", settled));
    refuse(1);
    expect(settled).toEqual(["a outcome_unknown", "c forbidden", "b outcome_unknown", "d forbidden"]);
    expect(requests.answered).toBe(0);
  });

  test("whose answers nobody wants are acknowledged like others, not too many at a time", () => {
    const requests = new Requests(config());
    const calls = Array.from({ length: 40 }, (_, index) => call(`${index}`, []));
    for (const each of calls) requests.send(each);
    requests.answer(1, null, "done", 1);
    requests.abandon(calls[1] as Request);
    expect(requests.unanswered()[0]).toBe(3);
    requests.abandon(calls[2] as Request);
    expect(requests.resend()).toHaveLength(37);
    expect(requests.received()).toEqual([]);
    for (let id = 4; id <= 40; id += 1) requests.answer(id, new RingcastError("forbidden", "no"), null, 0);
    const [first, second] = [requests.received(), requests.received()];
    expect(JSON.parse(first[0] as string)[1]).toEqual(Array.from({ length: 32 }, (_, index) => index + 1));
    expect(second).toEqual([]);
    requests.reset();
    for (let id = 1; id <= 31; id += 1) requests.answer(id, null, null, 1);
    expect(requests.received()).toEqual([]);
  });

  test.each([json, msgpack({ encode, decode })])(
    "that are longer than the server takes fail, and take no id: $protocols.0",
    (codec) => {
      const settled: string[] = [];
      const requests = new Requests(config({ codec }));
      const text = "ü".repeat(300);
      requests.submit(call("waited", settled, [text]), true);
      requests.submit(call("small", settled), true);
      requests.maxBytes = 500;
      expect(requests.sendQueued()).toEqual([codec.encode(["call", 1, "small", []])]);
      const whole = codec.encode(["call", 2, "a", [text]]);
      requests.maxBytes = Buffer.from(whole).length - 1;
      expect(requests.submit(call("a", settled, [text]), false)).toEqual([]);
      expect(settled).toEqual(["waited message_too_big", "a message_too_big"]);
      requests.maxBytes += 1;
      expect(requests.submit(call("a", settled, [text]), false)).toEqual([whole]);
      expect(requests.unanswered()).toEqual([1, 2]);
      expect(settled).toHaveLength(2);
    },
  );

  test.each([json, msgpack({ encode, decode })])(
    "that the server no longer takes are not sent again, nor are their answers wanted: $protocols.0",
    (codec) => {
      const settled: string[] = [];
      const requests = new Requests(config({ codec }));
      const [first] = requests.send(call("a", settled, ["ü".repeat(50)]));
      requests.send(call("b", settled, [`${"ü".repeat(50)}x`]));
      const [third] = requests.send(call("c", settled));
      requests.maxBytes = Buffer.from(first as string).length;
      expect(requests.unanswered()).toEqual([1, 2, 3]);
      expect(requests.resend()).toEqual([first, third]);
      expect(settled).toEqual(["b outcome_unknown"]);
      expect(requests.unanswered()).toEqual([1, 3]);
      for (let id = 100; id < 131; id += 1) requests.answer(id, null, null, 1);
      const [kind, ids] = codec.decode(requests.received()[0] as Payload) as [string, number[]];
      expect([kind, ids.length, ids.slice(0, 2)]).toEqual(["received", 32, [2, 100]]);
    },
  );

  test("are acknowledged for every so many answers, or characters of them", () => {
    const requests = new Requests(config());
    for (let id = 1; id < 32; id += 1) requests.answer(id, null, null, 1);
    expect(requests.received()).toEqual([]);
    requests.answer(32, null, null, 1);
    expect(JSON.parse(requests.received()[0] as string)[1]).toHaveLength(32);
    requests.answer(33, null, null, 65_536);
    expect(requests.received()).toEqual(['["received",[33]]']);
    expect(requests.received()).toEqual([]);
  });
});

test("a new session is a gap, whether or not the server says so", () => {
  const session = new Session(config());
  const answer = {
    stream: 1,
    epoch: "e",
    offset: 5,
    connection: "c",
    session: "s",
    actor_id: "a",
    window_s: 30,
  };
  expect(session.accept(answer)).toBeUndefined();
  expect(session.accept(answer)).toBeUndefined();
  // Offsets that count on in another epoch are the session's own.
  expect(session.accept({ ...answer, epoch: "f", offset: 9 })).toBeUndefined();
  expect(session.accept({ ...answer, session: "t" })).toEqual({ reason: "session_expired" });
  const gap = { reason: "from the future" };
  expect(session.accept({ ...answer, session: "t", gap })).toEqual(gap);
  // Each answer says anew what its server takes.
  session.accept({ ...answer, max_message_bytes: 1000 });
  expect(session.requests.maxBytes).toBe(1000);
  session.accept(answer);
  expect(session.requests.maxBytes).toBe(Infinity);
});

describe("addresses and settings", () => {
  test("a server may be behind a path", () => {
    expect(baseUrl("http://localhost:8080")).toBe("http://localhost:8080");
    expect(baseUrl("https://example.org/realtime/")).toBe("https://example.org/realtime");
    expect(baseUrl(new URL("http://[::1]:1"))).toBe("http://[::1]:1");
  });

  test.each(["ws://x", "x", "http://x/?a=1", "http://x/#a", "http://me@x"])("%s is no address", (url) => {
    expect(() => createClient(url)).toThrow(TypeError);
  });

  test.each([
    { reconnectMaxMs: -1 },
    { connectTimeoutMs: Number.NaN },
    { httpTimeoutMs: Infinity },
    { maxOfflineCalls: 0 },
  ])("%o makes no sense", (options) => {
    expect(() => createClient({ url: "http://x", ...options })).toThrow(RangeError);
  });

  test("keys are strings, few and short", () => {
    const rooms = createClient("http://x").actor("chatRoom");
    expect(rooms.get("a").key).toEqual(["a"]);
    expect(rooms.get().key).toEqual([]);
    expect(() => rooms.get([1 as any])).toThrow(RangeError);
    expect(() => rooms.get("x".repeat(129))).toThrow(RangeError);
    expect(rooms.get("😀".repeat(128)).key).toHaveLength(1);
    expect(() => rooms.get(Array(17).fill(""))).toThrow(RangeError);
    expect(() => createClient("http://x").actor("")).toThrow(RangeError);
  });
});
