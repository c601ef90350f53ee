/** The browser's WebSockets, counted: how many the page has opened, and how many of them are not closed. */

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
