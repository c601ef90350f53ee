// ws: one ready-made frame for every client, the way in which Engine.IO sends a broadcast of Socket.IO through ws:
// `Sender.frame` once, and `sendFrame` of each client's sender. The latter is not part of the documented interface.
"use strict";

const { WebSocketServer, Sender } = require("ws");
const { Control } = require("./control.js");

const TEXT = { fin: true, rsv1: false, opcode: 1, mask: false, readOnly: true };

const control = new Control((counter, atNs) => {
  const frame = [Buffer.concat(Sender.frame(Buffer.from(control.text(counter, atNs)), TEXT))];
  for (const client of server.clients) client._sender.sendFrame(frame);
});
const server = new WebSocketServer({
  host: "127.0.0.1",
  port: control.options.port,
  backlog: 4096,
  perMessageDeflate: false,
});
server.on("connection", () => control.connect());
server.on("listening", () => control.obey());
