/**
 * How often a server is asked that does not answer as it should: counted, while the test alone lets time
 * pass.
 */

import { createServer } from "node:http";
import { render } from "@testing-library/react";
import { expect, test, vi } from "vitest";
import { type App, useApps } from "./support/app.js";
import { complaints } from "./support/complaints.js";

const world = useApps();
const { setImmediate } = globalThis;
/** The delays as they are by default, each half of its bound. */
const HALF = { reconnectFirstMs: 500, reconnectBaseMs: 1_000, reconnectMaxMs: 30_000, random: () => 0.5 };
/** Those of them that end within a minute. */
const DELAYS_MS = [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000];
const STEP_MS = 250;
const CONNECTIONS = 2;

/** Ten components that have two connections, and render with every change of them. */
function Crowd({ app }: { app: App }) {
  return Array.from("0123456789", (digit) => <Guest key={digit} app={app} number={Number(digit) % 2} />);
}

function Guest({ app, number }: { app: App; number: number }) {
  const options = { name: "door", key: [world.key], params: { number } };
  const { status, error, useEvent } = app.useActor(options);
  useEvent("item", () => {});
  return <p>{`${status} ${(error as { code?: string } | null)?.code ?? "fine"};`}</p>;
}

/** Stop the clock of timers; sockets, and React, do without them. */
function stopTime(app: App) {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  /**
   * Whether all that can happen has happened: no try is under way, and each connection waits for its next
   * one.
   */
  const isQuiet = () => app.open() === 0 && vi.getTimerCount() === CONNECTIONS;
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
  return {
    async pass(milliseconds: number) {
      for (let passed = 0; passed < milliseconds; passed += STEP_MS) {
        while (!isQuiet()) await turn();
        vi.advanceTimersByTime(STEP_MS);
      }
      while (!isQuiet()) await turn();
    },
    async passUntil(condition: () => boolean) {
      while (!condition()) {
        if (isQuiet()) vi.advanceTimersByTime(STEP_MS);
        await turn();
      }
    },
  };
}

test("a server that is down is tried as the delays say, however many components render, and found when it is back", async () => {
  expect(DELAYS_MS.reduce((sum, delay) => sum + delay)).toBeLessThan(60_000);
  const app = world.app(HALF);
  world.network.cut();
  const clock = stopTime(app);
  const { container } = render(<Crowd app={app} />, { reactStrictMode: true });
  await clock.pass(60_000);
  expect(world.network.tries).toBe(CONNECTIONS * (1 + DELAYS_MS.length));
  // Why the latest try but one has failed.
  expect(container.textContent).toBe("connecting connection_lost;".repeat(10));
  world.network.restore();
  await clock.passUntil(() => container.textContent === "connected fine;".repeat(10));
  expect(world.network.tries).toBe(CONNECTIONS * (2 + DELAYS_MS.length));
});

test("a server that is lost is tried as the delays say, too", async () => {
  const app = world.app(HALF);
  const clock = stopTime(app);
  const { container } = render(<Crowd app={app} />);
  await clock.passUntil(() => container.textContent === "connected fine;".repeat(10));
  world.network.cut();
  await clock.pass(60_000);
  expect(world.network.tries).toBe(CONNECTIONS * (1 + DELAYS_MS.length));
  expect(container.textContent).toBe("reconnecting connection_lost;".repeat(10));
});

test("a server that answers 503 to every upgrade is tried no more often", async () => {
  let upgrades = 0;
  const busy = createServer();
  busy.on("upgrade", (_, socket) => {
    upgrades += 1;
    socket.end("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  });
  await new Promise<void>((resolve) => busy.listen(0, "127.0.0.1", resolve));
  const app = world.app({ ...HALF, url: `http://127.0.0.1:${(busy.address() as { port: number }).port}` });
  const clock = stopTime(app);
  const { unmount } = render(<Crowd app={app} />);
  await clock.pass(60_000);
  expect(upgrades).toBe(CONNECTIONS * (1 + DELAYS_MS.length));
  unmount();
  busy.close();
});

test("a refusal is final: nothing waits for another try", async () => {
  const app = world.app(HALF);
  const clock = stopTime(app);
  function Banned() {
    const { status } = app.useActor({ name: "gameRoom", key: world.key, params: { player_id: "banned" } });
    return <p>{status}</p>;
  }
  const { container } = render(<Banned />);
  await clock.passUntil(() => container.textContent === "closed" && app.open() === 0);
  expect([world.network.tries, vi.getTimerCount()]).toEqual([1, 0]);
  expect(complaints.splice(0)).toMatchObject([["ringcast:", { code: "banned" }]]);
});
