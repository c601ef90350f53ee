/** What tests of the page share: a real `ringcast demo`, and visitors who each have the page and a network. */

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cleanup, render, within } from "@testing-library/react";
import { afterAll, afterEach, beforeAll, expect, vi } from "vitest";
import { WebSocket } from "ws";
import { App } from "../../src/app.js";
import { createWorld, type World, WorldContext } from "../../src/world.js";

const PROJECT = join(dirname(fileURLToPath(import.meta.url)), "../../../..");
const VENV_PYTHON = join(PROJECT, ".venv/bin/python");
/** The interpreter that has Ringcast. */
const PYTHON = process.env.RINGCAST_PYTHON ?? (existsSync(VENV_PYTHON) ? VENV_PYTHON : "python3");
const START_MS = 20_000;

/** One page, as its visitor sees it. */
export interface Visitor {
  name: string;
  world: World;
  page: ReturnType<typeof within>;
}

/** Start a server for the tests of a file; return how somebody opens the page. */
export function useDemo(): (name: string) => Visitor {
  let server: ChildProcess;
  let url = "";
  const worlds: World[] = [];
  beforeAll(async () => {
    server = spawn(PYTHON, ["-m", "ringcast", "demo", "--port", "0", "--speed", "50"], {
      env: { ...process.env, PYTHONUNBUFFERED: "1" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    url = await new Promise<string>((resolve, reject) => {
      let output = "";
      const timer = setTimeout(() => reject(new Error(`no server came up:\n${output}`)), START_MS);
      const onOutput = (chunk: Buffer) => {
        output += chunk;
        const address = /http:\/\/127\.0\.0\.1:\d+/.exec(output);
        if (!address) return;
        clearTimeout(timer);
        resolve(address[0]);
      };
      server.stdout?.on("data", onOutput);
      server.stderr?.on("data", onOutput);
      server.once("exit", () => reject(new Error(`the server has ended:\n${output}`)));
    });
  });
  afterEach(async () => {
    cleanup();
    await Promise.all(worlds.splice(0).map((world) => world.close()));
  });
  afterAll(async () => {
    const ended = new Promise((resolve) => server.once("exit", resolve));
    server.kill("SIGTERM");
    await ended;
  });
  return (name) => {
    const world = createWorld({ url, WebSocket, slowMs: 300, startAt: () => ({ x: 0, y: 0 }) });
    worlds.push(world);
    const { container } = render(
      <WorldContext value={world}>
        <App initialName={name} />
      </WorldContext>,
    );
    return { name, world, page: within(container) };
  };
}

/** Wait until `check` throws nothing. */
export async function eventually(check: () => void): Promise<void> {
  await vi.waitFor(check, { timeout: 20_000, interval: 20 });
}

/** Wait until all connections of a page are there. */
export async function connected({ page }: Visitor): Promise<void> {
  await eventually(() => {
    for (const of of ["the ticker", "general", "the field"]) {
      expect(page.getByRole("status", { name: `Connection to ${of}` }).textContent).toBe("live");
    }
  });
}
