// node proxy.js LISTEN TO: a reverse proxy as one writes it with Node's own http and pipeline, and connections that are kept.
// With CERTIFICATE and KEY in the environment, for TLS.
import fs from "node:fs";
import http from "node:http";
import https from "node:https";
import { pipeline } from "node:stream";

const [host, port] = process.argv[2].split(":");
const [upstream, upstreamPort] = process.argv[3].split(":");
const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity, maxFreeSockets: 1024 });
const hopByHop = new Set(["connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection"]);

function endToEnd(headers) {
  const kept = {};
  for (const name in headers) if (!hopByHop.has(name)) kept[name] = headers[name];
  return kept;
}

function serve(request, response) {
  const { method, url, headers } = request;
  const out = http.request({ agent, host: upstream, port: upstreamPort, method, path: url, headers: endToEnd(headers) });
  out.on("response", (answer) => {
    response.writeHead(answer.statusCode, endToEnd(answer.headers));
    pipeline(answer, response, () => {});
  });
  out.on("error", () => (response.headersSent ? response.destroy() : response.writeHead(502).end()));
  response.on("close", () => out.destroy());
  if (headers["content-length"] || headers["transfer-encoding"]) pipeline(request, out, () => {});
  else out.end();
}

const options = { keepAliveTimeout: 300_000, requestTimeout: 0, noDelay: true };
const server = process.env.CERTIFICATE
  ? https.createServer({ ...options, cert: fs.readFileSync(process.env.CERTIFICATE), key: fs.readFileSync(process.env.KEY) }, serve)
  : http.createServer(options, serve);
server.listen(port, host);
