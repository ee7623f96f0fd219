// Runs in Prism's process before Prism, and keeps it alive and answering (Prism 5.16).
import { AsyncLocalStorage } from "node:async_hooks";
import { IncomingMessage, Server, ServerResponse } from "node:http";

// A parent that is killed can't stop Prism, but the pipe between them closes.
process.stdin.on("end", () => process.exit()).on("error", () => process.exit()).resume();

// After a body that is not JSON, Prism waits for the end of the request, which is over. Without this it never answers.
const { once } = IncomingMessage.prototype;
IncomingMessage.prototype.once = function (event, listener) {
  if (event === "end" && this.readableEnded) process.nextTick(listener);
  return once.call(this, event, listener);
};

// Prism writes keys and values of the request into the header sl-violations, where Node allows Latin-1 only. The header is
// JSON, and so may escape them.
const { setHeader } = ServerResponse.prototype;
ServerResponse.prototype.setHeader = function (name, value) {
  const escape = (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return setHeader.call(this, name, typeof value === "string" ? value.replace(/[^\t\x20-\xff]|\x7f/g, escape) : value);
};

// Any other request that Prism fails on gets a 400. Without this it ends the process.
const responses = new AsyncLocalStorage();
const { emit } = Server.prototype;
Server.prototype.emit = function (event, request, response, ...rest) {
  const proceed = () => emit.call(this, event, request, response, ...rest);
  return event === "request" ? responses.run(response, proceed) : proceed();
};
process.on("unhandledRejection", (error) => {
  const response = responses.getStore();
  if (!response) throw error;
  if (response.headersSent) return response.destroy();
  response.writeHead(400, { "Content-Type": "application/problem+json" });
  response.end(JSON.stringify({ type: "about:blank", title: "Prism cannot read the request", status: 400, detail: `${error}` }));
});
