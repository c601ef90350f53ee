/** What a client connects with, counted: WebSockets, opened and not yet closed, and requests that are not answered. */

import { Alive } from "./alive.js";

class CountedSocket extends WebSocket {
  constructor(url: string, protocols: string[]) {
    super(url, protocols);
    sockets.opened += 1;
    sockets.open += 1;
    sockets.alive.note(this);
    this.addEventListener("close", () => (sockets.open -= 1));
  }
}

export const sockets = { opened: 0, open: 0, alive: new Alive(), WebSocket: CountedSocket };

async function countedFetch(...request: Parameters<typeof fetch>): Promise<Response> {
  requests.open += 1;
  try {
    return await fetch(...request);
  } finally {
    requests.open -= 1;
  }
}

export const requests = { open: 0, fetch: countedFetch };
