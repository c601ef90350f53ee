/** A page of components that use the hooks, under StrictMode; a test brings them on and takes them off. */

import { type ClientOptions, createClient, type WebSocketConstructor } from "@ringcast/client";
import { createRingcast, type Ringcast } from "@ringcast/react";
import { StrictMode, useEffect, useState } from "react";
import { flushSync } from "react-dom";
import { createRoot, type Root } from "react-dom/client";
import { Alive } from "./alive.js";
import { requests, sockets } from "./sockets.js";
import type { Begin, Call } from "./worker.js";

/** A component: which connection it wants, and which event it listens for. */
export interface Guest {
  name: string;
  key: string[];
  params?: unknown;
  enabled?: boolean;
  event?: string;
}

/** As much of a client's options as a test can hand over to a page. */
export type StageOptions = Partial<Omit<ClientOptions, "random">> & {
  /** What a client draws its delays with: this number in the place of every random one. */
  drawn?: number;
};

/** How often the effects of components have begun and ended: more often than components under StrictMode. */
const effects = { begun: 0, ended: 0 };
/** The connections that components have had. */
const connections = new Alive();

let useActor: Ringcast["useActor"];
let root: Root | null = null;
/** The way of the component that was rendered last to call an action. */
let call: ((action: string, args: unknown[]) => Promise<unknown>) | undefined;

function Shown({ guest: { event = "item", ...options } }: { guest: Guest }) {
  const actor = useActor(options);
  const [items, setItems] = useState<unknown[]>([]);
  actor.useEvent(event, (item) => setItems((all) => [...all, item]));
  actor.useEvent("replayed", (count) => setItems((all) => [...all, `${count} missed`]));
  useEffect(() => {
    effects.begun += 1;
    return () => void (effects.ended += 1);
  }, []);
  call = async (action, args) => actor.connection?.call(action, args);
  const { status, error, connection } = actor;
  if (connection) connections.note(connection);
  const code = (error as { code?: string } | null)?.code;
  return <li data-id={connection?.id ?? undefined}>{[status, code, ...items].filter(Boolean).join(" ")}</li>;
}

let worker: Worker | undefined;
/** What the worker has heard. */
const heard: unknown[] = [];

const stage = {
  heard,
  effects,
  sockets,
  requests,
  connections,
  /** Make the hooks; before anything else. */
  begin({ drawn, ...options }: StageOptions = {}) {
    const random = drawn === undefined ? undefined : () => drawn;
    const WebSocket = sockets.WebSocket as unknown as WebSocketConstructor;
    const { fetch } = requests;
    const client = createClient({ url: window.location.origin, WebSocket, fetch, random, ...options });
    ({ useActor } = createRingcast(client));
  },
  /** Have these components on the page, and no others. */
  show(guests: Guest[]) {
    root ??= createRoot(document.getElementById("guests") as HTMLElement);
    const list = guests.map((guest, index) => <Shown key={index} guest={guest} />);
    flushSync(() => root?.render(<StrictMode>{list}</StrictMode>));
  },
  /** Take the whole application off the page. */
  unmount() {
    root?.unmount();
    root = null;
    // It holds on to a connection.
    call = undefined;
  },
  call: (action: string, ...args: unknown[]) => call?.(action, args),
  /** Have a worker connect, without any component. */
  work(key: string[], options: StageOptions) {
    worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    worker.onmessage = ({ data }) => heard.push(data);
    worker.postMessage({ key, options: { ...options, url: window.location.origin } } satisfies Begin);
  },
  callFromWorker: (action: string, ...args: unknown[]) =>
    worker?.postMessage({ action, args } satisfies Call),
};

export type Stage = typeof stage;

declare global {
  interface Window {
    stage: Stage;
  }
}

window.stage = stage;
