//! Tokens as OAuth 2.0, OpenID Connect and Microsoft's extensions of both have them (MS-OAPX,
//! MS-OAPXBC), at the endpoints of either generation.
//!
//! What must hold: nothing is stored on a request that cannot be granted; a client is answered at a
//! registered URI or not at all; and whatever stands for a sign-in is checked against the account
//! and the device each time that it is shown (`subject`).

mod agent_grant;
mod app_grant;
mod authorize;
mod client_proof;
pub(crate) mod clients;
mod code_grant;
mod credential;
mod device_code;
mod device_page;
mod device_request;
mod issue;
mod logout;
mod metadata;
mod password_grant;
mod pkce;
mod primary;
mod refresh_grant;
mod request;
mod respond;
mod routes;
mod scope;
pub(crate) mod session;
mod session_request;
mod subject;
mod tenant;
mod token;
mod userinfo;
mod wanted;

pub(crate) use authorize::{Basis, give_code};
pub(crate) use device_code::as_typed;
pub(crate) use device_page::approve as approve_device_code;
pub(crate) use request::Request;
pub(crate) use routes::routes;
pub(crate) use scope::Version;
pub(crate) use subject::{Kept, Subject};
pub(crate) use tenant::{expect as expect_tenant, is_ours};
pub(crate) use wanted::Wanted;
