"""Authlib, as a web application would use it."""

import os
import urllib.parse

import person
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.jose import JsonWebKey, jwt
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import OpenIDProviderMetadata

import requests

HOST, TENANT = os.environ["HOST"], os.environ["TENANT"]
CALLBACK = "https://rp.test/callback"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

issuer = f"https://{HOST}/{TENANT}/v2.0"
document = requests.get(f"{issuer}/.well-known/openid-configuration", timeout=10).json()
metadata = OpenIDProviderMetadata(document)
metadata.validate()
assert metadata["issuer"] == issuer
keys = JsonWebKey.import_key_set(requests.get(metadata["jwks_uri"], timeout=10).json())


def check(token, client_id, nonce=None, access_token=None):
    options = {
        "iss": {"essential": True, "value": issuer},
        "aud": {"essential": True, "value": client_id},
    }
    params = {"client_id": client_id, "nonce": nonce, "access_token": access_token}
    claims = jwt.decode(
        token, keys, claims_cls=CodeIDToken, claims_options=options, claims_params=params
    )
    claims.validate(leeway=60)
    return claims


def begin(session, somebody, **more):
    uri, state = session.create_authorization_url(
        metadata["authorization_endpoint"], code_verifier=VERIFIER, **more
    )
    back = somebody.visit(uri)
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(back).query))
    assert query["state"] == state
    return back


dora = person.Person("dora@cloud.example", step=-1)
native = OAuth2Session(
    "native",
    scope="openid profile email offline_access",
    redirect_uri=CALLBACK,
    code_challenge_method="S256",
    token_endpoint_auth_method="none",
)
back = begin(native, dora, nonce="n-1")
endpoint = metadata["token_endpoint"]
token = native.fetch_token(endpoint, authorization_response=back, code_verifier=VERIFIER)
claims = check(token["id_token"], "native", "n-1", token["access_token"])
assert claims["amr"] == ["pwd", "mfa", "ngcmfa"], claims
info = native.get(metadata["userinfo_endpoint"]).json()
assert info["sub"] == claims["sub"], info

refreshed = native.refresh_token(endpoint, refresh_token=token["refresh_token"])
assert check(refreshed["id_token"], "native")["sub"] == claims["sub"]
assert refreshed["refresh_token"] != token["refresh_token"]
for stale in (token["refresh_token"], refreshed["refresh_token"]):
    try:
        native.refresh_token(endpoint, refresh_token=stale)
        raise SystemExit("a refresh token was taken twice, or outlived that")
    except OAuthError as error:
        assert error.error == "invalid_grant", error

# A code is good once; the page did not need to ask again.
back = begin(native, dora, nonce="n-2", prompt="none")
native.fetch_token(endpoint, authorization_response=back, code_verifier=VERIFIER)
try:
    native.fetch_token(endpoint, authorization_response=back, code_verifier=VERIFIER)
    raise SystemExit("a code was taken twice")
except OAuthError as error:
    assert error.error == "invalid_grant", error

# An application that proves itself by its key, for a person and for itself.
with open("web.key") as key:
    private_key = key.read()
web = OAuth2Session(
    "web",
    private_key,
    scope="openid",
    redirect_uri=CALLBACK,
    code_challenge_method="S256",
    token_endpoint_auth_method=PrivateKeyJWT(endpoint),
)
back = begin(web, dora, nonce="n-3")
token = web.fetch_token(endpoint, authorization_response=back, code_verifier=VERIFIER)
check(token["id_token"], "web", "n-3", token["access_token"])
own = OAuth2Session(
    "web", private_key, token_endpoint_auth_method=PrivateKeyJWT(endpoint)
)
token = own.fetch_token(
    endpoint,
    grant_type="client_credentials",
    scope="https://graph.microsoft.com/.default",
)
claims = jwt.decode(token["access_token"], keys)
assert claims["idtyp"] == "app" and claims["appid"] == "web", claims
assert create_s256_code_challenge(VERIFIER)
print("authlib: done")
