/**
 * A thousand components that come and go leave nothing behind: no socket, no listener, no timer, no object.
 */

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { render } from "@testing-library/react";
import { expect, test } from "vitest";
import { until, useApps } from "./support/app.js";

const world = useApps();

/** Count what is set and not cleared, by a function of the global object and the one that takes it back. */
function counting(begin: "setTimeout" | "addEventListener", end: "clearTimeout" | "removeEventListener") {
  const target = globalThis as any;
  const originals = [target[begin], target[end]];
  const alive = new Set<unknown>();
  target[begin] = (first: any, second: any, ...rest: any[]) => {
    if (begin === "addEventListener") {
      alive.add(second);
      return originals[0].call(target, first, second, ...rest);
    }
    const run = () => {
      alive.delete(timer);
      first(...rest);
    };
    const timer = originals[0].call(target, run, second);
    alive.add(timer);
    return timer;
  };
  target[end] = (first: any, ...rest: any[]) => {
    alive.delete(begin === "addEventListener" ? rest[0] : first);
    return originals[1].call(target, first, ...rest);
  };
  return {
    alive: () => alive.size,
    restore: () => void ([target[begin], target[end]] = originals),
  };
}

test("1,000 components that come and go", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const app = world.app();
  const made: WeakRef<object>[] = [];
  const known = new WeakSet<object>();
  function Guest({ number }: { number: number }) {
    // A few share; half of them come back to a connection that was closed.
    const { connection, status, useEvent, useSnapshot } = app.useActor({
      name: "door",
      key: world.key,
      params: { number: number % 500 },
    });
    useEvent("item", () => {});
    useSnapshot();
    if (connection && !known.has(connection)) {
      known.add(connection);
      made.push(new WeakRef(connection));
    }
    return <p>{status}</p>;
  }
  const listeners = counting("addEventListener", "removeEventListener");
  const timers = counting("setTimeout", "clearTimeout");
  try {
    for (let number = 0; number < 1_000; number += 1) {
      const { container, unmount } = render(
        <>
          <Guest number={number} />
          <Guest number={number} />
        </>,
        { reactStrictMode: true },
      );
      // Some stay until they are connected, some until a socket is opened.
      if (number % 20 === 0) await until(() => container.textContent === "connected".repeat(2));
      else if (number % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
      unmount();
    }
    await until(() => app.open() === 0 && timers.alive() === 0);
    expect(listeners.alive()).toBe(0);
  } finally {
    listeners.restore();
    timers.restore();
  }
  expect(made.length).toBeGreaterThanOrEqual(1_000);
  await until(() => {
    collect();
    return made.every((connection) => connection.deref() === undefined);
  });
  const door = await world.door();
  await until(async () => (await door.counts()).here.length === 0);
  const { connects, left } = await door.counts();
  expect(connects).toBe(left.length + 1);
  expect(left.length).toBeGreaterThanOrEqual(50);
});
