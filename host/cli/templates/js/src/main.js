// Answers `GET /?name=Ada` with a greeting.

import { greeting } from "./greeting.js";

addEventListener("fetch", (event) => event.respondWith(handle(event.request)));

async function handle(request) {
  const url = new URL(request.url);
  if (request.method !== "GET" || url.pathname !== "/") {
    return new Response("try GET /?name=Ada\n", { status: 404 });
  }
  const text = greeting(url.searchParams.get("name") ?? "world");
  // What is printed becomes a log record of the request's trace.
  console.log(text);
  return new Response(`${text}\n`);
}
