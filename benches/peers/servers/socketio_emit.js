// Socket.IO: `emit` to a room, with its default engine (ws), without compression.
"use strict";

const http = require("node:http");
const { Server } = require("socket.io");
const { Control } = require("./control.js");

const ROOM = "all";

const control = new Control((counter, atNs) => io.to(ROOM).emit("tick", counter, atNs, control.padding));
const server = http.createServer();
const io = new Server(server, { transports: ["websocket"], perMessageDeflate: false, serveClient: false });
io.on("connection", (socket) => {
  socket.join(ROOM);
  control.connect();
  // The documentation on memory says to let go of it.
  socket.conn.request = null;
});
server.listen({ host: "127.0.0.1", port: control.options.port, backlog: 4096 }, () => control.obey());
