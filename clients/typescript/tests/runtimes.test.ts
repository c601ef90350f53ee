/** What is built, in the runtimes beside Node: events, calls, a lost network and what was missed, with their own sockets. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, test } from "vitest";
import { until, useWorld } from "./support/world.js";

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
const PROGRAM = path("support/elsewhere.mjs");
const RUNTIMES = {
  deno: [path("../node_modules/.bin/deno"), "run", "--no-config", "--no-lock", "--allow-net", "--allow-read"],
  bun: [path("../node_modules/.bin/bun"), "--no-install"],
};

const world = useWorld();
const running: ReturnType<typeof spawn>[] = [];
afterEach(() => {
  for (const program of running.splice(0)) program.kill("SIGKILL");
});

describe.each(Object.entries(RUNTIMES))("%s", (_, [command, ...options]) => {
  test.each(["websocket", "sse"])("over %s", async (transport) => {
    const program = spawn(command as string, [...options, PROGRAM, world.network.url, world.key, transport]);
    running.push(program);
    let [out, err] = ["", ""];
    program.stdout.on("data", (data) => (out += data));
    program.stderr.on("data", (data) => (err += data));
    const lines = (...expected: string[]) =>
      until(() => out.split("\n").slice(0, -1).length >= expected.length || program.exitCode !== null).then(
        () => expect([out.split("\n").slice(0, expected.length), err]).toEqual([expected, ""]),
      );
    const before = ["connected", "first 1", "item 1", "item 2", "called 1"];
    await lines(...before);
    world.network.cut();
    await lines(...before, "disconnected");
    await world.near().actor("feed").get(world.key).emit(2);
    const closed = once(program, "close");
    world.network.restore();
    const missed = [...before, "disconnected", "reconnected", "2 missed", "item 3", "item 4"];
    await lines(...missed);
    await world.near().actor("feed").get(world.key).emit(1);
    await lines(...missed, "item 5", "over HTTP 3", "closed");
    expect(await closed).toEqual([0, null]);
  });
});
