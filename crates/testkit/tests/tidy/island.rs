//! What is loaded into other people's processes: the PAM and PKCS#11 modules.

use std::{path::Path, process::Command};

use crate::{
    expect_none,
    graph::GRAPH,
    tree::{TEXTS, Text},
};

/// Crate and library of each module.
const MODULES: [(&str, &str); 2] = [
    ("pam-module", "libpam_latchkey.so"),
    ("pkcs11-module", "liblatchkey_pkcs11.so"),
];

/// All that may be linked into a module: the socket's messages, and what reads their JSON.
const ALLOWED: [&str; 10] = [
    "ipc",
    "itoa",
    "libc",
    "memchr",
    "ryu",
    "serde",
    "serde_core",
    "serde_json",
    "zeroize",
    "zmij",
];

#[test]
fn the_modules_are_made_of_few_crates() {
    let mut broken = Vec::new();
    for (name, _) in MODULES {
        let foreign = GRAPH
            .linked_into(name)
            .into_iter()
            .filter(|used| !ALLOWED.contains(used));
        broken.extend(foreign.map(|used| format!("{name} reaches {used}")));
    }
    expect_none("the island reaches ipc, libc and what ipc needs", &broken);
}

#[test]
fn the_modules_link_what_their_lists_say() {
    for (name, library) in MODULES {
        let path = Path::new(&GRAPH.target_directory)
            .join("debug")
            .join(library);
        assert!(
            path.exists(),
            "{} is missing: run cargo build -p {name}",
            path.display()
        );
        let output = Command::new("readelf")
            .arg("-dW")
            .arg(&path)
            .output()
            .unwrap();
        let dynamic = String::from_utf8(output.stdout).unwrap();
        let mut needed: Vec<&str> = dynamic
            .lines()
            .filter(|line| line.contains("(NEEDED)"))
            .filter_map(|line| line.split_once('[')?.1.strip_suffix(']'))
            .collect();
        needed.sort_unstable();
        let list = Text::read(&format!("crates/{name}/links.txt"));
        let mut listed: Vec<&str> = list.content.lines().collect();
        listed.sort_unstable();
        assert_eq!(needed, listed, "{library} and crates/{name}/links.txt");
    }
}

#[test]
fn no_panic_leaves_an_export_of_the_modules() {
    let mut exports = 0;
    let mut broken = Vec::new();
    for text in TEXTS.iter().filter(|text| {
        text.is_rust()
            && MODULES
                .iter()
                .any(|(m, _)| text.path.starts_with(&format!("crates/{m}/src/")))
    }) {
        for (name, body) in exported(&text.content) {
            exports += 1;
            if !is_guarded(&text.content, body, 3) {
                broken.push(format!("{}: {name}", text.path));
            }
        }
    }
    expect_none(
        "an extern \"C\" fn begins with guard(…), itself or in what it calls",
        &broken,
    );
    assert!(
        exports > 20,
        "only {exports} exports found: the modules have more"
    );
}

#[test]
fn a_missing_guard_is_noticed() {
    let source = |body: &str| {
        format!(
            "fn deep(x: u8) -> u8 {{\n guard(|| x)\n}}\nfn shallow() -> u8 {{\n 1 + panics()\n}}\n\
             pub extern \"C\" fn export(x: u8) -> u8 {{\n {body}\n}}\n"
        )
    };
    for (body, guarded) in [
        ("guard(|| x)", true),
        ("// Why.\n guard(|| x)", true),
        ("deep(x)", true),
        ("ERROR.0", true),
        ("shallow()", false),
        ("let y = x;\n guard(|| y)", false),
        ("elsewhere(x)", false),
    ] {
        let source = source(body);
        let exports: Vec<_> = exported(&source).collect();
        let [("export", found)] = exports[..] else {
            panic!("not one export in {source}")
        };
        assert_eq!(is_guarded(&source, found, 3), guarded, "{body}");
    }
}

/// Name and body of every `extern "C" fn`.
fn exported(source: &str) -> impl Iterator<Item = (&str, &str)> {
    source
        .match_indices("extern \"C\" fn ")
        .filter_map(|(at, start)| {
            let rest = &source[at + start.len()..];
            let name = rest.split('(').next()?;
            // A declaration of somebody else's function has no body.
            let (head, _) = rest.split_once(['{', ';'])?;
            let body = rest[head.len()..].strip_prefix('{')?;
            Some((name, body))
        })
}

/// Whether a body begins with `guard(`, or with a call of a function of the same file that does,
/// or calls nothing at all.
fn is_guarded(source: &str, body: &str, depth: usize) -> bool {
    let first = body
        .lines()
        .map(str::trim)
        .find(|l| !l.is_empty() && !l.starts_with("//"));
    let first = first.unwrap_or_default();
    let Some((called, _)) = first.split_once('(') else {
        return body
            .split('}')
            .next()
            .is_some_and(|only| !only.contains('('));
    };
    if called == "guard" {
        return true;
    }
    let definition = [format!("fn {called}("), format!("fn {called}<")]
        .iter()
        .find_map(|head| source.find(head.as_str()));
    let inner = definition.and_then(|at| source[at..].split_once('{'));
    depth > 0 && inner.is_some_and(|(_, inner)| is_guarded(source, inner, depth - 1))
}
