/** Components that go while their connection is being made: nothing of it is left, on either side. */

import { createServer, type Socket } from "node:net";
import { CLOSED_EARLY } from "../../support/complaints.js";
import { expect, test } from "../../support/stage.js";

/** A server that takes connections and never says a word. It counts those that are asked for something. */
async function silentServer() {
  const all = new Set<Socket>();
  const asked = new Set<Socket>();
  const server = createServer((socket) => {
    all.add(socket);
    // A browser opens some before there is anything to ask for.
    socket.on("data", () => asked.add(socket));
    socket.on("error", () => {}).on("close", () => all.delete(socket) && asked.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    asked,
    close() {
      for (const socket of all) socket.destroy();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

test("a try that nobody answers is given up with its component", async ({ open, allowed, key }) => {
  const silent = await silentServer();
  allowed.push(CLOSED_EARLY);
  // Nor is it given up before.
  const stage = await open({ url: silent.url, connectTimeoutMs: 600_000 });
  await stage.show({ name: "door", key });
  await expect.poll(() => silent.asked.size).toBe(1);
  await expect(stage.guests).toHaveText("connecting");
  await stage.unmount();
  await expect.poll(() => silent.asked.size).toBe(0);
  expect(await stage.sockets()).toMatchObject({ opened: 1, open: 0 });
  await silent.close();
});

test("components that go at any moment leave nobody behind on the server", async ({
  open,
  door,
  key,
  allowed,
}) => {
  allowed.push(CLOSED_EARLY);
  const stage = await open();
  const rounds = await stage.page.evaluate(async (key) => {
    const { stage } = window;
    const status = () => document.querySelector("li")?.textContent;
    const turn = () => new Promise((resolve) => setTimeout(resolve));
    const reached: unknown[] = [];
    for (let round = 0; round < 60; round += 1) {
      stage.show([{ name: "door", key, params: { round } }]);
      // From none at all to enough for every connection.
      if (round % 6 === 5) while (status() !== "connected") await turn();
      else for (let turns = 0; turns < round % 6; turns += 1) await turn();
      reached.push(status());
      stage.unmount();
    }
    return reached;
  }, key);
  expect(new Set(rounds)).toEqual(new Set(["connecting", "connected"]));
  await expect.poll(async () => (await stage.sockets()).open).toBe(0);
  await expect.poll(async () => (await door.counts()).here).toEqual([]);
  const { connects, left } = await door.counts();
  expect(left.length).toBeGreaterThanOrEqual(10);
  expect(connects).toBe(left.length + 1);
});
