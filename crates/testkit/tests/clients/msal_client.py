"""MSAL for Python, as its users call it."""

import os
import urllib.parse

import msal
import person

HOST, TENANT = os.environ["HOST"], os.environ["TENANT"]
GRAPH = ["https://graph.microsoft.com/User.Read"]
CALLBACK = "https://rp.test/callback"


def good(result):
    assert "access_token" in result, result
    return result


def by_code(client, somebody):
    flow = client.initiate_auth_code_flow(GRAPH, redirect_uri=CALLBACK)
    back = somebody.visit(flow["auth_uri"])
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(back).query))
    return good(client.acquire_token_by_auth_code_flow(flow, query))


def public(client_id, **how):
    return msal.PublicClientApplication(client_id, **how)


emil = person.Person("emil@cloud.example")
authorities = [
    {"authority": f"https://{HOST}/{TENANT}", "instance_discovery": False},
    {"authority": f"https://{HOST}/{TENANT}"},
    {"oidc_authority": f"https://{HOST}/{TENANT}/v2.0"},
]
for how in authorities:
    client = public("native", **how)
    result = by_code(client, emil)
    claims = result["id_token_claims"]
    assert claims["preferred_username"] == emil.name, claims
    assert claims["iss"] == f"https://{HOST}/{TENANT}/v2.0", claims
    (account,) = client.get_accounts()
    assert account["username"] == emil.name, account
    silent = client.acquire_token_silent_with_error(GRAPH, account, force_refresh=True)
    assert good(silent)["access_token"] != result["access_token"]
    # And once more: the refresh token has rotated.
    good(client.acquire_token_silent_with_error(GRAPH, account, force_refresh=True))

lenient = public("lenient", authority=f"https://{HOST}/{TENANT}", instance_discovery=False)
password = os.environ["PASSWORD"]
good(lenient.acquire_token_by_username_password(emil.name, password, GRAPH))
wrong = lenient.acquire_token_by_username_password(emil.name, "wrong", GRAPH)
assert wrong["error"] == "invalid_grant" and wrong["error_codes"] == [50126], wrong
refused = public(
    "native", authority=f"https://{HOST}/{TENANT}", instance_discovery=False
).acquire_token_by_username_password(emil.name, password, GRAPH)
assert refused["error"] == "unauthorized_client", refused

flow = lenient.initiate_device_flow(GRAPH)
emil.type_code(flow["verification_uri"], flow["user_code"])
result = good(lenient.acquire_token_by_device_flow(flow))
assert result["id_token_claims"]["preferred_username"] == emil.name

with open("web.key") as key, open("web.pem") as certificate:
    credential = {"private_key": key.read(), "public_certificate": certificate.read()}
web = msal.ConfidentialClientApplication(
    "web-by-pss",
    authority=f"https://{HOST}/{TENANT}",
    instance_discovery=False,
    client_credential=credential,
)
good(web.acquire_token_for_client(["https://graph.microsoft.com/.default"]))
by_code(web, emil)
print("msal: done")
