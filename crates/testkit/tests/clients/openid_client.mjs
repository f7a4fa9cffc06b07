// openid-client, with every check that it has switched on.

import assert from "node:assert/strict";
import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import * as client from "openid-client";
import { Person } from "./person.mjs";

const { HOST, TENANT } = process.env;
const issuer = new URL(`https://${HOST}/${TENANT}/v2.0`);
const callback = "https://rp.test/callback";
const emil = new Person("emil@cloud.example");

const strict = { execute: [client.enableNonRepudiationChecks] };
const discover = (id, proof) => client.discovery(issuer, id, undefined, proof, strict);

async function signIn(config, more = {}) {
  const verifier = client.randomPKCECodeVerifier();
  const state = client.randomState();
  const nonce = client.randomNonce();
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri: callback,
    scope: "openid profile offline_access",
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state,
    nonce,
    ...more,
  });
  const back = await emil.visit(url);
  const checks = {
    pkceCodeVerifier: verifier,
    expectedState: state,
    expectedNonce: nonce,
    maxAge: 3600,
    idTokenExpected: true,
  };
  const tokens = await client.authorizationCodeGrant(config, back, checks);
  return { tokens, back, checks };
}

const native = await discover("native", client.None());
assert.equal(native.serverMetadata().issuer, issuer.href);
const { tokens, back, checks } = await signIn(native);
const claims = tokens.claims();
assert.equal(claims.preferred_username, emil.name);
const info = await client.fetchUserInfo(native, tokens.access_token, claims.sub);
assert.equal(info.sub, claims.sub);

const refreshed = await client.refreshTokenGrant(native, tokens.refresh_token);
assert.equal(refreshed.claims().sub, claims.sub);
assert.notEqual(refreshed.refresh_token, tokens.refresh_token);
const refused = (error) => error.error === "invalid_grant";
await assert.rejects(client.refreshTokenGrant(native, tokens.refresh_token), refused);
await assert.rejects(client.refreshTokenGrant(native, refreshed.refresh_token), refused);
await assert.rejects(client.authorizationCodeGrant(native, back, checks), refused);
await signIn(native, { prompt: "none" });

// The older generation has an issuer of its own.
const older = await client.discovery(
  new URL(`https://${HOST}/${TENANT}/.well-known/openid-configuration`),
  "native",
  undefined,
  client.None(),
  strict,
);
await signIn(older);

const pem = createPrivateKey(readFileSync("web.key"));
const key = await crypto.subtle.importKey(
  "pkcs8",
  pem.export({ type: "pkcs8", format: "der" }),
  { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
  false,
  ["sign"],
);
const web = await discover("web", client.PrivateKeyJwt(key));
await signIn(web);
const own = await client.clientCredentialsGrant(web, {
  scope: "https://graph.microsoft.com/.default",
});
assert.ok(own.access_token);

const lenient = await discover("lenient", client.None());
const begun = await client.initiateDeviceAuthorization(lenient, { scope: "openid" });
await emil.typeCode(begun.verification_uri, begun.user_code);
const granted = await client.pollDeviceAuthorizationGrant(lenient, begun);
assert.equal(granted.claims().sub, claims.sub);
console.log("openid-client: done");
