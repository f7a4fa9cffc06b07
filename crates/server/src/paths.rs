//! Paths in any case: clients of Entra ID write the same words in several ways.
//!
//! The words of this server's paths are put into the case that the routes have; every other
//! segment stays as it came, because ids and names are in it. Clients of Graph write `users('id')` for
//! `users/id` too (OData 4.01, URL conventions 4.3).

use std::borrow::Cow;

use axum::{
    extract::Request,
    http::{Uri, uri::PathAndQuery},
};

use crate::graph;

/// The words, as the routes have them.
const WORDS: [&str; 34] = [
    "Discover",
    "EnrollmentServer",
    "UserRealm",
    "GetCredentialType",
    "assignments",
    "authorize",
    "challenge",
    "common",
    "configurationCategories",
    "configurationPolicies",
    "configurationPolicyTemplates",
    "configurationSettings",
    "createCopy",
    "device",
    "deviceEnrollmentConfigurations",
    "deviceManagement",
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
    "roleScopeTags",
    "setPriority",
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
    let keyed = keys_as_segments(path);
    let segments: Vec<&str> = keyed
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

/// A path of Graph's with each key in a segment of its own.
fn keys_as_segments(path: &str) -> Cow<'_, str> {
    if !graph::is_path(path) || !path.contains('(') {
        return Cow::Borrowed(path);
    }
    let plain = path.replace("%27", "'");
    let segments = plain.split('/').map(|segment| {
        let keyed = segment.strip_suffix("')");
        match keyed.and_then(|rest| rest.split_once("('")) {
            Some((name, key)) => format!("{name}/{key}"),
            None => segment.to_owned(),
        }
    });
    Cow::Owned(segments.collect::<Vec<_>>().join("/"))
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
            ("/admin/v1/users/x('y')", None),
            (
                "/beta/devicemanagement/configurationpolicies('A-1')/Assignments",
                Some("/beta/deviceManagement/configurationPolicies/A-1/assignments"),
            ),
            ("/v1.0/users(%27A@b.c%27)", Some("/v1.0/users/A@b.c")),
        ] {
            let uri = rewritten(&path.parse().unwrap());
            assert_eq!(uri.map(|uri| uri.to_string()).as_deref(), ours, "{path}");
        }
    }
}
