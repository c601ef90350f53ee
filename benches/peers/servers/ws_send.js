// ws: one `send` for each client, without compression. The message is encoded once; `send` writes its header anew.
//
// With --framed there is one ready-made frame for every client, the way in which Engine.IO sends a broadcast of Socket.IO
// through ws: `Sender.frame` once, and `sendFrame` of each client's sender. The latter is not part of the documented
// interface.
"use strict";

const { WebSocketServer, Sender } = require("ws");
const { Control } = require("./control.js");

const TEXT = { fin: true, rsv1: false, opcode: 1, mask: false, readOnly: true };

const control = new Control((counter, atNs) => {
  const message = Buffer.from(control.text(counter, atNs));
  if (control.options.framed) {
    const frame = [Buffer.concat(Sender.frame(message, TEXT))];
    for (const client of server.clients) client._sender.sendFrame(frame);
  } else {
    for (const client of server.clients) client.send(message, { binary: false });
  }
});
const server = new WebSocketServer({
  host: "127.0.0.1",
  port: control.options.port,
  backlog: 4096,
  perMessageDeflate: false,
});
server.on("connection", () => control.connect());
server.on("listening", () => control.obey());
