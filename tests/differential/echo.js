// Node's own HTTP server: says in its answer what it took the request for. Usage: node echo.js SOCKET
"use strict";

const http = require("http");

const server = http.createServer((request, response) => {
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => response.end(request.method + " " + Buffer.concat(pieces).toString("hex")));
});
server.listen(process.argv[2]);
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
