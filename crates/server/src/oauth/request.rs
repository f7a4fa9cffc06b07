//! What a client asks of the authorization endpoint (RFC 6749 4.1.1, OpenID Connect Core 3.1.2.1,
//! MS-OAPX 2.2.2), read once.
//!
//! The order matters: a client and a redirect URI that belong together come first. Before they do,
//! a person reads the error; from then on the client does, and nobody is sent anywhere else.

use serde::{Deserialize, Serialize};
use store::App as Application;

use super::{
    pkce,
    respond::ResponseMode,
    scope::{Asked, Version},
    wanted::Wanted,
};

/// The longest text that is handed back as it came.
const MAX_ECHO: usize = 4096;

/// Parameters as they come, in the query or in a form.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Parameters {
    pub(crate) client_id: String,
    pub(crate) redirect_uri: Option<String>,
    pub(crate) response_type: Option<String>,
    pub(crate) response_mode: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) resource: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) nonce: Option<String>,
    pub(crate) prompt: Option<String>,
    pub(crate) max_age: Option<String>,
    pub(crate) login_hint: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) amr_values: Option<String>,
    pub(crate) claims: Option<String>,
    pub(crate) code_challenge: Option<String>,
    pub(crate) code_challenge_method: Option<String>,
    request: Option<String>,
    request_uri: Option<String>,
}

/// Where a client is answered: a redirect URI of its own, in the mode that it wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReplyTo {
    pub(crate) redirect_uri: String,
    pub(crate) mode: ResponseMode,
    pub(crate) state: Option<String>,
}

/// Whether the person may, or must, be asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Prompt {
    /// As needed.
    #[default]
    AsNeeded,
    /// Not at all.
    Never,
    /// In any case.
    Always,
}

/// A request that can be answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) version: Version,
    pub(crate) client: String,
    pub(crate) reply_to: ReplyTo,
    pub(crate) asked: Asked,
    pub(crate) nonce: Option<String>,
    /// PKCE by S256; absent only where the client's registration lets it be.
    pub(crate) code_challenge: Option<String>,
    pub(crate) wanted: Wanted,
    pub(crate) prompt: Prompt,
    /// Who is expected to sign in.
    pub(crate) login_hint: Option<String>,
}

/// What the client is told (RFC 6749 4.1.2.1).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Denial {
    pub(crate) error: &'static str,
    pub(crate) number: u32,
    pub(crate) sentence: &'static str,
}

impl Denial {
    pub(crate) fn new(error: &'static str, number: u32, sentence: &'static str) -> Self {
        Self {
            error,
            number,
            sentence,
        }
    }

    fn malformed(sentence: &'static str) -> Self {
        Self::new("invalid_request", 90014, sentence)
    }
}

impl ReplyTo {
    /// The redirect URI, where it is one of the client's: the same text, nothing looser. `None` in
    /// any other case, and where the mode is none.
    pub(crate) fn read(parameters: &Parameters, client: &Application) -> Option<Self> {
        let named = parameters.redirect_uri.as_deref();
        let redirect_uri = match (named, client.redirect_uris.as_slice()) {
            (Some(uri), registered) => registered.iter().find(|one| *one == uri)?,
            (None, [only]) => only,
            (None, _) => return None,
        };
        Some(Self {
            redirect_uri: redirect_uri.clone(),
            mode: ResponseMode::read(parameters.response_mode.as_deref())?,
            state: parameters
                .state
                .clone()
                .filter(|state| state.len() <= MAX_ECHO),
        })
    }
}

impl Request {
    /// Reads everything else.
    pub(crate) fn read(
        parameters: Parameters,
        version: Version,
        reply_to: ReplyTo,
    ) -> Result<Self, Denial> {
        if parameters.request.is_some() || parameters.request_uri.is_some() {
            let sentence = "request objects are not taken";
            return Err(Denial::new("request_not_supported", 90014, sentence));
        }
        if parameters.response_type.as_deref() != Some("code") {
            let sentence = "the only response type is code";
            return Err(Denial::new("unsupported_response_type", 700_054, sentence));
        }
        let asked = Asked::read(parameters.resource.as_deref(), parameters.scope.as_deref())
            .map_err(|_| {
                let sentence = "the scope names more than one resource";
                Denial::new("invalid_scope", 28000, sentence)
            })?;
        let code_challenge = match &parameters.code_challenge {
            None => None,
            given => {
                let method = Some(parameters.code_challenge_method.as_deref().unwrap_or(""));
                let read = pkce::challenge(given.as_deref(), method)
                    .ok_or_else(|| Denial::malformed("code_challenge must be made by S256"))?;
                Some(read.to_owned())
            }
        };
        let wanted = Wanted::read(
            parameters.amr_values.as_deref(),
            parameters.claims.as_deref(),
            parameters.max_age.as_deref(),
        )
        .map_err(|why| Denial::malformed(why.0))?;
        if parameters
            .nonce
            .as_ref()
            .is_some_and(|nonce| nonce.len() > MAX_ECHO)
        {
            return Err(Denial::malformed("nonce is too long"));
        }
        let prompt = match parameters.prompt.as_deref().unwrap_or("") {
            "none" => Prompt::Never,
            "login" | "select_account" | "login select_account" => Prompt::Always,
            "" | "consent" | "attempt_none" => Prompt::AsNeeded,
            _ => return Err(Denial::malformed("prompt is not one that is offered")),
        };
        let hint = parameters.login_hint.or(parameters.username);
        Ok(Self {
            version,
            client: parameters.client_id,
            reply_to,
            asked,
            nonce: parameters.nonce.filter(|nonce| !nonce.is_empty()),
            code_challenge,
            wanted,
            prompt,
            login_hint: hint.filter(|hint| (1..=256).contains(&hint.len())),
        })
    }
}
