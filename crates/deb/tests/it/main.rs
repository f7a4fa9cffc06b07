//! What the packages are made of, against what Cargo and the sources say. The programs are those of
//! `cargo build --workspace`.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use deb::{Package, Profile, Request, bill, target_folder, workspace};

/// Names and versions of what others wrote that Cargo builds into crates of ours.
fn tree_of(crates: &[&str]) -> BTreeSet<(String, String)> {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["tree", "--locked", "--offline", "--edges=normal"])
        .args(["--prefix=none", "--format={p}"])
        .current_dir(workspace());
    for name in crates {
        command.args(["--package", name]);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty());
    lines
        // Ours are named with their folder.
        .filter(|line| !line.contains("(/"))
        .map(|line| {
            let mut words = line.split_whitespace();
            let (name, version) = (words.next().unwrap(), words.next().unwrap());
            (name.to_owned(), version.trim_start_matches('v').to_owned())
        })
        .collect()
}

#[test]
fn every_library_that_is_linked_is_on_the_bill_and_in_the_list_of_licences() {
    let metadata = bill::metadata().unwrap();
    for package in Package::ALL {
        let parts = metadata.linked_into(package.crates());
        let list = bill::licences(&parts).unwrap();
        let bill = bill::cyclonedx(package, "1", &parts);
        let listed: BTreeSet<_> = bill["components"]
            .as_array()
            .unwrap()
            .iter()
            .map(|part| {
                let text = |key: &str| part[key].as_str().unwrap().to_owned();
                (text("name"), text("version"))
            })
            .collect();
        let linked = tree_of(package.crates());
        assert!(linked.len() > 20, "{linked:?}");
        // The bill may have more: what only a feature for another program of ours brings.
        let missing: Vec<_> = linked.difference(&listed).collect();
        assert!(missing.is_empty(), "{missing:?}");
        for (name, version) in linked {
            assert!(list.contains(&format!("\n{name} {version}: ")), "{name}");
        }
    }
}

#[test]
fn the_same_programs_make_the_same_package() {
    let folder = target_folder()
        .join("tmp")
        .join(format!("deb-{}", std::process::id()));
    let [one, other] = ["one", "other"].map(|name| {
        let out = folder.join(name);
        let request = Request {
            profile: Profile::Debug,
            version: "1.0~test",
            out: &out,
        };
        fs::read(deb::build(Package::Agent, request).unwrap()).unwrap()
    });
    fs::remove_dir_all(folder).unwrap();
    assert!(one == other, "two packages of the same programs differ");
}

#[test]
fn no_file_of_a_package_is_in_a_folder_of_others() {
    for package in Package::ALL {
        for row in package.rows() {
            let path = row.path();
            assert!(
                !path.starts_with("/etc/") || path.starts_with("/etc/latchkey/"),
                "{path}"
            );
        }
    }
}

/// The public fields of a struct, as the source spells them.
fn keys<'a>(source: &'a str, head: &str) -> Vec<&'a str> {
    let (_, body) = source.split_once(head).unwrap();
    let (body, _) = body.split_once("\n}").unwrap();
    let fields = body.lines().filter_map(|line| {
        let line = line.trim();
        let line = line.strip_prefix("pub ").unwrap_or(line);
        let (name, _) = line.split_once(": ")?;
        let plain = |c: char| c.is_ascii_lowercase() || c == '_';
        name.chars().all(plain).then_some(name)
    });
    fields.collect()
}

#[test]
fn every_key_of_a_configuration_is_in_its_manual_page_and_its_sample() {
    for (source, head, page, sample) in [
        (
            "crates/device/src/config.rs",
            "pub struct Config {",
            "device.toml.5",
            "latchkey/device.toml",
        ),
        (
            "crates/server/src/config.rs",
            "pub struct Config {",
            "server.toml.5",
            "latchkey-server/server.toml",
        ),
        (
            "crates/server/src/config.rs",
            "pub struct PostgreSql {",
            "server.toml.5",
            "latchkey-server/server.toml",
        ),
        (
            "crates/server/src/config.rs",
            "pub struct Logs {",
            "server.toml.5",
            "latchkey-server/server.toml",
        ),
        (
            "crates/server/src/limits.rs",
            "pub struct Limits {",
            "server.toml.5",
            "latchkey-server/server.toml",
        ),
        (
            "crates/sync/src/config.rs",
            "struct Raw {",
            "sync.toml.5",
            "latchkey-sync/sync.toml",
        ),
        (
            "crates/sync/src/config.rs",
            "pub struct Limits {",
            "sync.toml.5",
            "latchkey-sync/sync.toml",
        ),
    ] {
        let read = |path: &str| fs::read_to_string(workspace().join(path)).unwrap();
        let source = read(source);
        let page = read(&format!("packaging/man/{page}"));
        let sample = read(&format!("packaging/{sample}"));
        let keys = keys(&source, head);
        assert!(!keys.is_empty(), "{head}");
        for key in keys {
            let in_page = page.lines().any(|line| {
                let line = line.strip_prefix(".B ").unwrap_or_default();
                line.rsplit('.').next() == Some(key) || line.starts_with(&format!("{key}."))
            });
            assert!(in_page, "{key} is not in the manual page");
            let in_sample = sample.lines().any(|line| {
                let line = line.trim_start_matches('#');
                line.starts_with(&format!("{key} = ")) || line == format!("[{key}]")
            });
            assert!(in_sample, "{key} is not in the sample");
        }
    }
}
