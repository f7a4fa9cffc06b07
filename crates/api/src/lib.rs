//! The server's HTTP interface: paths, requests, answers and error codes.
//!
//! Paths and shapes that Microsoft publishes (MS-DVRJ, MS-KPP, MS-OAPXBC, OAuth 2.0) keep their
//! names; our own live under `/agent/v1`, `/device/v1` and `/scim/v2`. `docs/joints.md` says who
//! sends what when, with bounds and errors. Types here only carry: they decide nothing.

pub mod agent;
pub mod attestation;
pub mod device;
pub mod failure;
pub mod join;
pub mod lockout;
pub mod oauth;
pub mod policies;
pub mod recovery;
pub mod scim;

pub use failure::Failure;

/// The audience of tokens for device and key registration.
pub const REGISTRATION_AUDIENCE: &str = "urn:ms-drs:enterpriseregistration.windows.net";

/// The audience of tokens for our own device interface.
pub const DEVICE_AUDIENCE: &str = "urn:latchkey:device";

/// The audience of tokens for the agent interface.
pub const AGENT_AUDIENCE: &str = "urn:latchkey:agent";

/// The audience of tokens by which applications provision users and groups.
pub const SCIM_AUDIENCE: &str = "urn:latchkey:scim";

/// The audience of tokens for the administrator's interface.
pub const ADMIN_AUDIENCE: &str = "urn:latchkey:admin";

/// The audience of tokens for the directory's interface, as clients of Microsoft Graph name it.
pub const GRAPH_AUDIENCE: &str = "https://graph.microsoft.com";

/// The audience of tokens of clients that want nothing but to know who signed in.
pub const USERINFO_AUDIENCE: &str = "urn:latchkey:userinfo";

/// The client id under which our own workstations sign in.
pub const WORKSTATION_CLIENT: &str = "latchkey-workstation";

/// The longest request body that the server reads, in bytes, except [`MAX_BULK_BODY`].
pub const MAX_BODY: usize = 64 * 1024;

/// The longest SCIM bulk request, in bytes.
pub const MAX_BULK_BODY: usize = 4 * 1024 * 1024;

/// The longest that a long poll waits, in seconds.
pub const MAX_WAIT_S: u32 = 25;
