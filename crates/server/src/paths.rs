//! Paths in any case: clients of Entra ID write the same words in several ways.
//!
//! The words of this server's paths are put into the case that the routes have; every other
//! segment stays as it came, because ids and names are in it.

use axum::{
    extract::Request,
    http::{Uri, uri::PathAndQuery},
};

/// The words, as the routes have them.
const WORDS: [&str; 24] = [
    "Discover",
    "EnrollmentServer",
    "UserRealm",
    "GetCredentialType",
    "authorize",
    "challenge",
    "common",
    "device",
    "deviceauth",
    "devicecode",
    "discovery",
    "instance",
    "key",
    "keys",
    "login",
    "logout",
    "nativeclient",
    "oauth2",
    "openid",
    "openid-configuration",
    "organizations",
    "token",
    "userinfo",
    "v2.0",
];

/// The request with its path in the case of the routes.
pub(crate) fn in_our_case(mut request: Request) -> Request {
    if let Some(uri) = rewritten(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

/// The URI with its words in our case, where they are in another.
fn rewritten(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let segments: Vec<&str> = path
        .split('/')
        .map(|segment| {
            WORDS
                .iter()
                .find(|word| word.eq_ignore_ascii_case(segment))
                .map_or(segment, |word| word)
        })
        .collect();
    let ours = segments.join("/");
    if ours == path {
        return None;
    }
    let ours = match uri.query() {
        Some(query) => format!("{ours}?{query}"),
        None => ours,
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(ours.parse::<PathAndQuery>().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_into_our_case_and_names_stay() {
        for (path, ours) in [
            (
                "/Common/oAuth2/V2.0/Authorize?State=A",
                Some("/common/oauth2/v2.0/authorize?State=A"),
            ),
            (
                "/common/userrealm/Alice@Corp.Example",
                Some("/common/UserRealm/Alice@Corp.Example"),
            ),
            ("/enrollmentserver/Key/", Some("/EnrollmentServer/key/")),
            ("/common/oauth2/token", None),
            ("/scim/v2/Bulk", None),
        ] {
            let uri = rewritten(&path.parse().unwrap());
            assert_eq!(uri.map(|uri| uri.to_string()).as_deref(), ours, "{path}");
        }
    }
}
