/** What tests of the hooks share: a real server, and hooks whose client can be looked into. */

import type { ClientOptions } from "@ringcast/client";
import { cleanup } from "@testing-library/react";
import { afterEach, vi } from "vitest";
import { IMPATIENT, useWorld, type World } from "../../../typescript/tests/support/world.js";
import { createRingcast, type Ringcast } from "../../src/index.js";

export { failure, until } from "../../../typescript/tests/support/world.js";

/** What `Door` of `served.py` has counted; the connection that asks is among its `connects`. */
export interface Counts {
  connects: number;
  here: string[];
  left: string[];
  asked: string[];
}

/** Hooks, with what their client has done. */
export interface App extends Ringcast {
  /** How many sockets it has opened. */
  opened(): number;
  /** How many of them are not closed. */
  open(): number;
  close(): Promise<void>;
}

/** The world of the other client's tests, and applications in it. */
export interface AppWorld extends World {
  /** Return hooks whose client's network can be lost. */
  app(options?: Partial<ClientOptions>): App;
  /** Connect to the `Door` of this test, and return how to ask what it has counted and to have it emit. */
  door(): Promise<{ counts(): Promise<Counts>; emit(count: number): Promise<void> }>;
}

/** Start a server for the tests of a file, and take what each of them has rendered off the screen. */
export function useApps(): AppWorld {
  const world = useWorld() as AppWorld;
  world.app = (options) => {
    let opened = 0;
    const open = new Set<object>();
    class Counted extends IMPATIENT.WebSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols);
        opened += 1;
        open.add(this);
        this.on("close", () => open.delete(this));
      }
    }
    const client = world.far({ WebSocket: Counted, ...options });
    return {
      ...createRingcast(client),
      opened: () => opened,
      open: () => open.size,
      close: () => client.close(),
    };
  };
  world.door = async () => {
    const connection = world.near().actor("door").getOrCreate(world.key).connect();
    await connection.ready();
    return { counts: () => connection.counts(), emit: (count) => connection.emit(count) };
  };
  // After the test, before the world closes its clients.
  afterEach(() => {
    vi.useRealTimers();
    cleanup();
  });
  return world;
}
