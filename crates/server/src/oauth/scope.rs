//! What a token is asked for: the `resource` of the older endpoints and the `scope` of the newer
//! ones, read into one audience and what the client may do there.
//!
//! A token has one audience. A resource that has several names has one here, so that whoever reads
//! the token compares with one text.

use serde::{Deserialize, Serialize};

use api::{GRAPH_AUDIENCE, REGISTRATION_AUDIENCE};

/// The endpoints of which generation a request came to; tokens name their issuer by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Version {
    /// `/oauth2/…`, with `resource`.
    V1,
    /// `/oauth2/v2.0/…`, with `scope`.
    V2,
}

impl Version {
    /// `ver` of its tokens.
    pub(crate) fn as_claim(self) -> &'static str {
        match self {
            Self::V1 => "1.0",
            Self::V2 => "2.0",
        }
    }
}

/// What a request asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// Whom the access token is for; nobody in particular where it is absent.
    pub(crate) audience: Option<String>,
    /// What the client wants to do there.
    pub(crate) permissions: Vec<String>,
    /// An ID token (`openid`).
    pub(crate) openid: bool,
    /// A refresh token (`offline_access`).
    pub(crate) offline: bool,
    /// A primary refresh token (`aza`).
    pub(crate) primary: bool,
}

/// A scope that names two resources.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TwoResources;

/// The names of resources that have several; the first is the one that tokens bear.
const RESOURCES: [&[&str]; 4] = [
    &[
        REGISTRATION_AUDIENCE,
        "01cb2876-7ebd-4aa4-9cc9-d28bd4d359a9",
    ],
    &[GRAPH_AUDIENCE, "00000003-0000-0000-c000-000000000000"],
    &[
        "https://graph.windows.net",
        "00000002-0000-0000-c000-000000000000",
    ],
    &[
        "https://enrollment.manage.microsoft.com",
        "d4ebce55-015a-49b5-a083-c84d1797ae8c",
    ],
];

/// A resource by its one name.
pub(crate) fn audience(named: &str) -> String {
    let bare = named.trim_end_matches('/');
    let known = RESOURCES
        .iter()
        .find(|names| names.iter().any(|name| name.eq_ignore_ascii_case(bare)));
    match known.and_then(|names| names.first()) {
        Some(name) => (*name).to_owned(),
        None => bare.to_owned(),
    }
}

impl Asked {
    /// Reads a request. A resource in `resource` counts before one in `scope`.
    pub(crate) fn read(resource: Option<&str>, scope: Option<&str>) -> Result<Self, TwoResources> {
        let mut asked = Self {
            audience: resource.filter(|name| !name.is_empty()).map(audience),
            ..Self::default()
        };
        let is_named = asked.audience.is_some();
        for word in scope.unwrap_or("").split_ascii_whitespace() {
            match word {
                "openid" => asked.openid = true,
                "profile" | "email" | "ugs" => {}
                "offline_access" => asked.offline = true,
                "aza" => asked.primary = true,
                _ => {
                    let (of, permission) = split(word);
                    match &asked.audience {
                        Some(_) if is_named => {}
                        Some(other) if *other != of => return Err(TwoResources),
                        _ => asked.audience = Some(of),
                    }
                    asked.permissions.push(permission.to_owned());
                }
            }
        }
        Ok(asked)
    }

    /// As [`Asked::read`] reads it again.
    pub(crate) fn to_scope(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        for (is_asked, word) in [
            (self.openid, "openid"),
            (self.offline, "offline_access"),
            (self.primary, "aza"),
        ] {
            if is_asked {
                words.push(word.to_owned());
            }
        }
        if let Some(audience) = &self.audience {
            let of = |permission: &String| format!("{audience}/{permission}");
            words.extend(self.permissions.iter().map(of));
        }
        words.join(" ")
    }
}

/// A word of a scope: the resource, and what is wanted of it. A word without a resource is one of
/// Graph's, as Microsoft's endpoint has it.
fn split(word: &str) -> (String, &str) {
    match word.rsplit_once('/') {
        Some((of, permission)) if !of.is_empty() && !of.ends_with(":/") => {
            (audience(of), permission)
        }
        _ => (GRAPH_AUDIENCE.to_owned(), word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Asked {
        Asked::read(None, Some(text)).unwrap()
    }

    #[test]
    fn a_resource_has_one_name_however_it_is_asked_for() {
        for (resource, text) in [
            (Some("urn:ms-drs:enterpriseregistration.windows.net"), ""),
            (Some("01CB2876-7ebd-4aa4-9cc9-d28bd4d359a9"), ""),
            (None, "01cb2876-7ebd-4aa4-9cc9-d28bd4d359a9/.default"),
            (
                None,
                "openid urn:ms-drs:enterpriseregistration.windows.net/.default",
            ),
        ] {
            let asked = Asked::read(resource, Some(text)).unwrap();
            assert_eq!(asked.audience.as_deref(), Some(REGISTRATION_AUDIENCE));
        }
        for text in [
            "User.Read",
            "https://graph.microsoft.com/User.Read",
            "https://graph.microsoft.com//.default",
        ] {
            assert_eq!(scope(text).audience.as_deref(), Some(GRAPH_AUDIENCE));
        }
    }

    #[test]
    fn the_words_of_openid_connect_name_no_resource() {
        let asked = scope("openid profile email offline_access aza");
        assert_eq!(asked.audience, None);
        assert!(asked.openid && asked.offline && asked.primary);
    }

    #[test]
    fn a_scope_has_one_resource() {
        let two = Asked::read(None, Some("api://a/read api://b/read"));
        assert_eq!(two, Err(TwoResources));
        let one = scope("api://a/read api://a/write");
        assert_eq!(one.permissions, ["read", "write"]);
        let named = Asked::read(Some("api://a"), Some("openid api://b/read")).unwrap();
        assert_eq!(named.audience.as_deref(), Some("api://a"));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in [
            "openid offline_access api://a/read",
            "https://graph.microsoft.com/User.Read",
            "openid",
            "",
        ] {
            assert_eq!(scope(text).to_scope(), text);
        }
    }
}
