/**
 * Keeps the site, so that it opens without a network.
 *
 * The build writes FILES before this: the digest of each file by its name, and LARGE: the names of those that are kept
 * when the page of the first visit asks for them, so that they are not fetched twice. A file is kept under its digest, so a
 * new version of the site fetches what has changed, all of it, and nothing else. It takes over when the pages of the old one
 * are closed. A file of another version, as a server has some while a new one is copied to it, is not kept.
 *
 * What it gives is isolated from other sites, by headers that a plain server does not send: the runtime has threads from
 * the second visit on.
 */

const NAME = `genre-classifier ${registration.scope}`; // other sites of this host have caches too
const ISOLATED = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

const key = (name) => `${registration.scope}${name}?${FILES[name]}`;

addEventListener("install", (event) => event.waitUntil(keep()));
addEventListener("activate", (event) => event.waitUntil(forget()));
addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  const [address] = url.split(/[?#]/);
  if (method !== "GET" || !address.startsWith(registration.scope)) return;
  const name = address.slice(registration.scope.length) || "index.html";
  if (Object.hasOwn(FILES, name)) event.respondWith(answer(event, name));
});

async function keep() {
  const cache = await caches.open(NAME);
  const wanted = Object.keys(FILES).filter((name) => registration.active || !LARGE.includes(name));
  await Promise.all(wanted.map(async (name) => (await cache.match(key(name))) ?? put(cache, name, await fetched(name))));
}

/** Keep none but this version's files, and take over the page of the first visit. */
async function forget() {
  const cache = await caches.open(NAME);
  const wanted = new Set(Object.keys(FILES).map(key));
  for (const request of await cache.keys()) if (!wanted.has(request.url)) await cache.delete(request);
  await clients.claim();
}

async function answer(event, name) {
  const cache = await caches.open(NAME);
  let response = await cache.match(key(name));
  if (!response) {
    response = await fetched(name);
    event.waitUntil(put(cache, name, response.clone()));
  }
  const headers = new Headers(response.headers);
  for (const [header, value] of Object.entries(ISOLATED)) headers.set(header, value); // a server may send them too
  return new Response(response.body, { headers });
}

async function fetched(name) {
  const response = await fetch(name, { cache: "no-cache" });
  if (!response.ok) throw new Error(`${name} is not there.`);
  return response;
}

/** Keep a file, if it is this version's. */
async function put(cache, name, response) {
  const content = await response.clone().arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (!hex.startsWith(FILES[name])) throw new Error(`${name} is of another version.`);
  await cache.put(key(name), response);
}
