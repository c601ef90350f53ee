/** What the page is connected through: its network, a client with its hooks, and a client that reads slowly. */

import { type Client, createClient, type WebSocketConstructor } from "@ringcast/client";
import { createRingcast, type Ringcast } from "@ringcast/react";
import { createContext, useContext, useSyncExternalStore } from "react";
import type { Place, Registry } from "../../../python/ringcast/demo/registry.js";
import { Network } from "./network.js";

export type {
  Message,
  Move,
  Place,
  Quote,
  Whisper,
} from "../../../python/ringcast/demo/registry.js";

/** The ticker that `ringcast demo` names in its lines for a terminal. */
export const TICKER = ["stocks"];
/** How many events may wait for the slow reader: few, so that one need not wait long to see it. */
export const SLOW_READER_HOLDS = 12;

export interface World {
  network: Network;
  useActor: Ringcast<Registry>["useActor"];
  /** A client of its own, so that nobody else waits for its handlers. */
  slow: Client<Registry>;
  /** How long the slow reader takes over one price. */
  slowMs: number;
  /** Where a visitor comes into the field. */
  startAt(): Place;
  close(): Promise<void>;
}

export interface WorldOptions {
  url: string;
  WebSocket?: WebSocketConstructor;
  slowMs?: number;
  startAt?: () => Place;
}

export function createWorld({ url, WebSocket, slowMs = 1000, startAt = anywhere }: WorldOptions): World {
  const network = new Network(WebSocket);
  const options = { url, WebSocket: network.WebSocket, fetch: network.fetch };
  const client = createClient<Registry>(options);
  const slow = createClient<Registry>({ ...options, maxUnhandledEvents: SLOW_READER_HOLDS });
  const { useActor } = createRingcast<Registry>(client);
  const close = async () => {
    await Promise.all([client.close(), slow.close()]);
  };
  return { network, useActor, slow, slowMs, startAt, close };
}

/** Apart from others, and from the edge. */
function anywhere(): Place {
  return { x: 10 + 70 * Math.random(), y: 15 + 60 * Math.random() };
}

export const WorldContext = createContext<World | null>(null);

export function useWorld(): World {
  const world = useContext(WorldContext);
  if (!world) throw new Error("there is no WorldContext around this component");
  return world;
}

/** Return when the network comes back, null while there is one. */
export function useCut(): number | null {
  const { network } = useWorld();
  return useSyncExternalStore(
    (watcher) => network.watch(watcher),
    () => network.backAt,
  );
}
