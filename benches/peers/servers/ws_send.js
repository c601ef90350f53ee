// ws: one `send` for each client, without compression. The message is encoded once; `send` writes its header anew.
"use strict";

const { WebSocketServer } = require("ws");
const { Control } = require("./control.js");

const control = new Control((counter, atNs) => {
  const message = Buffer.from(control.text(counter, atNs));
  for (const client of server.clients) client.send(message, { binary: false });
});
const server = new WebSocketServer({
  host: "127.0.0.1",
  port: control.options.port,
  backlog: 4096,
  perMessageDeflate: false,
});
server.on("connection", () => control.connect());
server.on("listening", () => control.obey());
