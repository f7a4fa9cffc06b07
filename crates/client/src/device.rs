//! A workstation's calls: discovery, join, tokens, keys.
//!
//! What a device signs (compact JWS) is made by the caller, in its TPM, and handed over as text.

use api::{
    agent::{self, AgentEnroll, AgentEnrolled},
    attestation::{ATTESTATION_PATH, AttestationStatus, ChallengeReply},
    device::{
        Discovery, JoinAnswer, JoinRequest, KEY_PATH, KEYS_PATH, KeyAnswer, KeyList, KeyRequest,
        KeyState, KeyStatus, device_path, discover_path, key_path,
    },
    join::{CERTIFICATE_PATH, RenewalRequest},
    lockout::{LOCKOUT_PATH, LockoutCode, LockoutValue},
    oauth::{
        ChallengeAnswer, ChallengeForm, DEVICE_CREDENTIAL_HEADER, GRANT_JWT_BEARER, NonceAnswer,
        OAuthError, PrimaryAnswer, TokenAnswer, challenge_path, token_path,
    },
    policies::{POLICIES_PATH, POLICY_STATUS_PATH, Policies, PolicyStatus},
    recovery::{LIMIT_PATH, LimitRequest, Permission, RecoveryRequest, recovery_path},
};
use http::Method;
use model::{Guid, Sid};

use crate::{
    Client, Error,
    form::Form,
    http::{Body, Call},
};

/// Where a native sign-in stands.
pub enum Challenge {
    /// Everything was right.
    Approved(ChallengeAnswer),
    /// A factor is asked, or was wrong; the error says which and whether to go on.
    Asked {
        /// The HTTP status.
        status: u16,
        /// The server's words.
        error: OAuthError,
    },
}

/// The exchange of an authorization code for a token.
pub struct CodeExchange<'a> {
    /// The client that asked for the code.
    pub client_id: &'a str,
    /// The code.
    pub code: &'a str,
    /// Proves that the exchange is made by who began the sign-in (RFC 7636).
    pub code_verifier: &'a str,
}

impl Client {
    /// Where everything is.
    pub async fn discover(&self, tenant: &str) -> Result<Discovery, Error> {
        let path = format!("{}?api-version=1.9", discover_path(tenant));
        self.json(Call::get(&path)).await
    }

    /// Joins the device.
    pub async fn join(&self, device: Guid, request: &JoinRequest) -> Result<JoinAnswer, Error> {
        let path = format!("{}?api-version=2.0", device_path(device));
        let call = Call {
            body: Body::json(request)?,
            ..Call::new(Method::PUT, &path)
        };
        self.json(call).await
    }

    /// Where the device's attestation stands.
    pub async fn attestation(&self, bearer: &str) -> Result<AttestationStatus, Error> {
        self.json(Call::get(ATTESTATION_PATH).bearer(bearer)).await
    }

    /// Answers a challenge to the device's TPM.
    pub async fn answer_challenge(
        &self,
        bearer: &str,
        reply: &ChallengeReply,
    ) -> Result<(), Error> {
        let call = Call {
            body: Body::json(reply)?,
            ..Call::new(Method::PUT, ATTESTATION_PATH)
        };
        self.done(call.bearer(bearer)).await
    }

    /// The device's next certificate.
    pub async fn renew_certificate(
        &self,
        bearer: &str,
        request: &RenewalRequest,
    ) -> Result<JoinAnswer, Error> {
        self.json(Call::post(CERTIFICATE_PATH, Body::json(request)?).bearer(bearer))
            .await
    }

    /// Leaves the lockout value of the device's TPM with the server.
    pub async fn keep_lockout(&self, bearer: &str, value: &LockoutValue) -> Result<(), Error> {
        let call = Call {
            body: Body::json(value)?,
            ..Call::new(Method::PUT, LOCKOUT_PATH)
        };
        self.done(call.bearer(bearer)).await
    }

    /// Takes it back, with a code that an administrator had made.
    pub async fn lockout(&self, bearer: &str, code: &LockoutCode) -> Result<LockoutValue, Error> {
        self.json(Call::post(LOCKOUT_PATH, Body::json(code)?).bearer(bearer))
            .await
    }

    /// K's word for the limit of a new PIN counter.
    pub async fn allow_limit(
        &self,
        bearer: &str,
        request: &LimitRequest,
    ) -> Result<Permission, Error> {
        self.json(Call::post(LIMIT_PATH, Body::json(request)?).bearer(bearer))
            .await
    }

    /// K's word for a step of a PIN reset.
    pub async fn allow_recovery(
        &self,
        bearer: &str,
        kid: &str,
        request: &RecoveryRequest,
    ) -> Result<Permission, Error> {
        self.json(Call::post(&recovery_path(kid), Body::json(request)?).bearer(bearer))
            .await
    }

    /// A nonce of the server.
    pub async fn nonce(&self, tenant: Guid) -> Result<String, Error> {
        let form = Form::default().field("grant_type", "srv_challenge");
        let path = token_path(tenant);
        let answer: NonceAnswer = self.json(Call::post(&path, Body::Form(form))).await?;
        Ok(answer.nonce)
    }

    /// A token of the device's own for a signed request.
    pub async fn device_token(&self, tenant: Guid, request: &str) -> Result<TokenAnswer, Error> {
        let form = Form::default()
            .field("grant_type", GRANT_JWT_BEARER)
            .field("request", request);
        self.json(Call::post(&token_path(tenant), Body::Form(form)))
            .await
    }

    /// A primary refresh token, for a request that the device signed.
    pub async fn primary_token(&self, tenant: Guid, request: &str) -> Result<PrimaryAnswer, Error> {
        let form = Form::default()
            .field("grant_type", GRANT_JWT_BEARER)
            .field("request", request);
        self.json(Call::post(&token_path(tenant), Body::Form(form)))
            .await
    }

    /// What the server answers a request under a session key, sealed to that key.
    pub async fn session_request(&self, tenant: Guid, request: &str) -> Result<String, Error> {
        let form = Form::default()
            .field("grant_type", GRANT_JWT_BEARER)
            .field("request", request);
        let path = token_path(tenant);
        let answer = self.send(Call::post(&path, Body::Form(form))).await?;
        answer.success()?.text()
    }

    /// One step of a native sign-in; `credential` is the device's signed word about itself, which the
    /// first one needs.
    pub async fn challenge(
        &self,
        tenant: Guid,
        credential: Option<&str>,
        form: &ChallengeForm,
    ) -> Result<Challenge, Error> {
        let fields = Form::default()
            .field("client_id", &form.client_id)
            .maybe("username", form.username.as_deref())
            .maybe("resource", form.resource.as_deref())
            .maybe("code_challenge", form.code_challenge.as_deref())
            .maybe(
                "code_challenge_method",
                form.code_challenge.as_ref().map(|_| "S256"),
            )
            .maybe("amr_values", form.amr_values.as_deref())
            .maybe("auth_session", form.auth_session.as_deref())
            .maybe("password", form.password.as_deref())
            .maybe("otp", form.otp.as_deref())
            .maybe("factors", form.factors.as_deref())
            .maybe("factor", form.factor.as_deref())
            .maybe("tap", form.tap.as_deref())
            .maybe("webauthn", form.webauthn.as_deref())
            .maybe("wait", form.wait.map(|wait| wait.to_string()).as_deref());
        let path = challenge_path(tenant);
        let call = Call {
            header: credential.map(|credential| (DEVICE_CREDENTIAL_HEADER, credential)),
            ..Call::post(&path, Body::Form(fields)).waiting(form.wait.unwrap_or(0))
        };
        let answer = self.send(call).await?;
        match answer.status {
            200..300 => answer.json().map(Challenge::Approved),
            status => match answer.json() {
                Ok(error) => Ok(Challenge::Asked { status, error }),
                Err(_) => Err(answer.refusal()),
            },
        }
    }

    /// A token for an authorization code.
    pub async fn token(
        &self,
        tenant: Guid,
        exchange: &CodeExchange<'_>,
    ) -> Result<TokenAnswer, Error> {
        let form = Form::default()
            .field("grant_type", "authorization_code")
            .field("client_id", exchange.client_id)
            .field("code", exchange.code)
            .field("code_verifier", exchange.code_verifier);
        self.json(Call::post(&token_path(tenant), Body::Form(form)))
            .await
    }

    /// Registers a key.
    pub async fn register_key(
        &self,
        bearer: &str,
        request: &KeyRequest,
    ) -> Result<KeyAnswer, Error> {
        let path = format!("{KEY_PATH}?api-version=1.0");
        self.json(Call::post(&path, Body::json(request)?).bearer(bearer))
            .await
    }

    /// A key's state; waits at most `wait_s` for it to be another than `seen`.
    pub async fn key_status(
        &self,
        bearer: &str,
        kid: &str,
        seen: Option<KeyState>,
        wait_s: u32,
    ) -> Result<KeyStatus, Error> {
        let mut path = format!("{}?wait={wait_s}", key_path(kid));
        if let Some(Ok(serde_json::Value::String(seen))) = seen.map(serde_json::to_value) {
            path = format!("{path}&seen={seen}");
        }
        self.json(Call::get(&path).bearer(bearer).waiting(wait_s))
            .await
    }

    /// The device's policies and those of `users`, with their tag; none while they are those of `etag`,
    /// for which the server waits up to `wait_s`.
    pub async fn policies(
        &self,
        bearer: &str,
        users: &[Sid],
        etag: Option<&str>,
        wait_s: u32,
    ) -> Result<Option<(String, Policies)>, Error> {
        let users: String = users.iter().map(|sid| format!("&user={sid}")).collect();
        let path = format!("{POLICIES_PATH}?wait={wait_s}{users}");
        let call = Call {
            header: etag.map(|etag| ("if-none-match", etag)),
            ..Call::get(&path)
        };
        let call = call.bearer(bearer).waiting(wait_s);
        let answer = self.send(call).await?;
        if answer.status == 304 {
            return Ok(None);
        }
        let answer = answer.success()?;
        let etag = answer.etag.clone();
        let etag = etag.ok_or_else(|| Error::Protocol("policies without a tag".to_owned()))?;
        Ok(Some((etag, answer.json()?)))
    }

    /// Tells what became of them.
    pub async fn tell_policy_status(
        &self,
        bearer: &str,
        status: &PolicyStatus,
    ) -> Result<(), Error> {
        self.done(Call::post(POLICY_STATUS_PATH, Body::json(status)?).bearer(bearer))
            .await
    }

    /// A user's keys.
    pub async fn keys(&self, bearer: &str, user: &Sid) -> Result<KeyList, Error> {
        self.json(Call::get(&format!("{KEYS_PATH}?user={user}")).bearer(bearer))
            .await
    }

    /// Removes a key of this device.
    pub async fn delete_key(&self, bearer: &str, kid: &str) -> Result<(), Error> {
        self.done(Call::new(Method::DELETE, &key_path(kid)).bearer(bearer))
            .await
    }

    /// Takes the device out.
    pub async fn leave(&self, bearer: &str, device: Guid) -> Result<(), Error> {
        let path = format!("{}?api-version=2.0", device_path(device));
        self.done(Call::new(Method::DELETE, &path).bearer(bearer))
            .await
    }

    /// Makes an agent known by a one-time code.
    pub async fn enroll_agent(&self, request: &AgentEnroll) -> Result<AgentEnrolled, Error> {
        self.json(Call::post(agent::ENROLL_PATH, Body::json(request)?))
            .await
    }
}
