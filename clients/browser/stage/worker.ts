/** A worker with a client of its own: the page tells it whom to connect to and what to call, and hears what it hears. */

import { type ClientOptions, createClient } from "@ringcast/client";

export type Begin = { options: Partial<ClientOptions> & { url: string }; key: string[] };
export type Call = { action: string; args: unknown[] };

self.onmessage = ({ data: { options, key } }: MessageEvent<Begin>) => {
  const connection = createClient(options).actor("door").getOrCreate(key).connect();
  const tell = (said: unknown) => self.postMessage(said);
  for (const name of ["connected", "disconnected", "reconnected"]) connection.on(name, () => tell(name));
  connection.on("replayed", (count) => tell(`${count} missed`));
  connection.on("item", tell);
  self.onmessage = ({ data: { action, args } }: MessageEvent<Call>) => void connection.call(action, args);
};
