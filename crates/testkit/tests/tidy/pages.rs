//! What the pages and all other texts may name: files that exist, hosts that are public, and
//! nothing of the machine on which they were written.

use std::path::Path;

use crate::{
    expect_none,
    tree::{ROOT, TEXTS, Text},
};

/// Hosts that texts name on purpose: specifications, licences, identifiers of protocols, and names
/// that look like hosts in the redirect URIs of other people's brokers.
const HOSTS: [&str; 17] = [
    "Himmelblau.EntraId.BrokerPlugin",
    "Microsoft.AAD.BrokerPlugin",
    "com.microsoft.CompanyPortal",
    "deb.debian.org",
    "enrollment.manage.microsoft.com",
    "enterpriseregistration.windows.net",
    "graph.microsoft.com",
    "graph.windows.net",
    "json-schema.org",
    "keepachangelog.com",
    "login.microsoftonline.com",
    "schemas.microsoft.com",
    "semver.org",
    "www.apache.org",
    "www.debian.org",
    "www.rfc-editor.org",
    "www.w3.org",
];

/// Endings of names that are nobody's (RFC 2606, RFC 6761).
const NOBODYS: [&str; 4] = [".test", ".example", ".invalid", ".localhost"];

fn pages() -> impl Iterator<Item = &'static Text> {
    TEXTS.iter().filter(|text| text.path.ends_with(".md"))
}

#[test]
fn every_link_leads_to_a_file() {
    let mut broken = Vec::new();
    for page in pages() {
        let folder = ROOT.join(&page.path);
        let folder = folder.parent().unwrap();
        for target in page
            .content
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let file = target.split('#').next().unwrap();
            if !file.contains("://") && !file.is_empty() && !folder.join(file).exists() {
                broken.push(format!("{}: {target}", page.path));
            }
        }
    }
    expect_none("links of pages resolve", &broken);
}

#[test]
fn every_path_in_a_page_exists() {
    let mut broken = Vec::new();
    for page in pages() {
        for name in page.content.split('`').skip(1).step_by(2) {
            let ours = ["docs/", "crates/"]
                .iter()
                .any(|folder| name.starts_with(folder));
            let placeholder = name.contains(['*', '<', ' ']) || name.contains("/X/");
            if ours && !placeholder && !Path::new(&*ROOT).join(name).exists() {
                broken.push(format!("{}: {name}", page.path));
            }
        }
    }
    expect_none(
        "paths below docs/ and crates/ that pages name exist",
        &broken,
    );
}

#[test]
fn no_text_names_the_machine_it_was_written_on() {
    let folder = concat!("/wo", "rk/");
    // The same letters within a longer path are somebody else's.
    let begins = |text: &str, at: usize| {
        !text[..at].ends_with(|before: char| before.is_ascii_alphanumeric() || before == '.')
    };
    let broken: Vec<String> = TEXTS
        .iter()
        .filter(|text| {
            let content = &text.content;
            content
                .match_indices(folder)
                .any(|(at, _)| begins(content, at))
        })
        .map(|text| text.path.clone())
        .collect();
    expect_none("no path of a machine is in a text", &broken);
}

#[test]
fn every_host_that_a_text_names_is_known() {
    let mut broken = Vec::new();
    for text in TEXTS.iter().filter(|text| text.path != "Cargo.lock") {
        for rest in text.content.split("://").skip(1) {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-');
            let host = rest[..end.unwrap_or(rest.len())].trim_end_matches('.');
            let number = host
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.');
            let nobodys = !host.contains('.') || NOBODYS.iter().any(|end| host.ends_with(end));
            if !number && !nobodys && !HOSTS.contains(&host) {
                broken.push(format!("{}: {host}", text.path));
            }
        }
    }
    expect_none("a host is nobody's or on the list of this test", &broken);
}
