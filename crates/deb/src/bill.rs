//! What the programs are made of: who wrote it, under which licence, in which version.
//!
//! Cargo is asked, not a list of our own: what is linked is listed, and nothing can be forgotten.
//! Packages that only run in the compiler are in the list too, since what they write is linked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::build::{output, workspace};
use crate::contents::Package;

/// The packages that Cargo builds here.
pub struct Metadata {
    packages: BTreeMap<String, Part>,
    uses: BTreeMap<String, Vec<String>>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence, as an SPDX expression.
    pub licence: String,
    authors: String,
    folder: PathBuf,
    ours: bool,
}

/// Asks Cargo.
///
/// # Errors
/// When Cargo cannot be run, or speaks another language.
pub fn metadata() -> Result<Metadata> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let answer = output(
        Command::new(cargo)
            .args(["metadata", "--format-version=1", "--locked"])
            .args(["--filter-platform", &target])
            .current_dir(workspace()),
    )?;
    Metadata::read(&serde_json::from_slice(&answer)?).context("cargo metadata has another form")
}

impl Metadata {
    fn read(value: &Value) -> Option<Self> {
        let text = |value: &Value, key: &str| Some(value.get(key)?.as_str()?.to_owned());
        let mut packages = BTreeMap::new();
        for package in value.get("packages")?.as_array()? {
            let folder = PathBuf::from(text(package, "manifest_path")?);
            let authors: Vec<&str> = package
                .get("authors")?
                .as_array()?
                .iter()
                .filter_map(Value::as_str)
                .collect();
            let part = Part {
                name: text(package, "name")?,
                version: text(package, "version")?,
                // The older way of writing OR.
                licence: text(package, "license")?.replace('/', " OR "),
                authors: authors.join(", "),
                folder: folder.parent()?.to_owned(),
                ours: package.get("source")?.is_null(),
            };
            packages.insert(text(package, "id")?, part);
        }
        let mut uses = BTreeMap::new();
        for node in value.get("resolve")?.get("nodes")?.as_array()? {
            let mut used = Vec::new();
            for dependency in node.get("deps")?.as_array()? {
                let kinds = dependency.get("dep_kinds")?.as_array()?;
                if kinds
                    .iter()
                    .any(|kind| kind.get("kind").is_some_and(Value::is_null))
                {
                    used.push(text(dependency, "pkg")?);
                }
            }
            uses.insert(text(node, "id")?, used);
        }
        Some(Self { packages, uses })
    }

    /// What others wrote that is in the programs of these crates of ours, in order.
    #[must_use]
    pub fn linked_into(&self, crates: &[&str]) -> Vec<&Part> {
        let ours = |part: &Part| part.ours && crates.contains(&part.name.as_str());
        let mut open: Vec<&String> = self
            .packages
            .iter()
            .filter_map(|(id, part)| ours(part).then_some(id))
            .collect();
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                open.extend(self.uses.get(id).into_iter().flatten());
            }
        }
        let found = seen.into_iter().filter_map(|id| self.packages.get(id));
        let mut parts: Vec<&Part> = found.filter(|part| !part.ours).collect();
        parts.sort();
        parts
    }
}

/// The copyright file of every package, in the form that Debian's tools read.
///
/// # Errors
/// When our own licences are not where they should be.
pub fn copyright() -> Result<String> {
    let licence = fs::read_to_string(workspace().join("LICENSE-MIT"))?;
    let holder = licence
        .lines()
        .find_map(|line| line.strip_prefix("Copyright (c) "));
    let holder = holder.context("LICENSE-MIT names no holder")?;
    let (_, terms) = licence
        .split_once(holder)
        .context("LICENSE-MIT has no terms")?;
    let mut indented = String::new();
    for line in terms.trim().lines() {
        match line.is_empty() {
            true => indented.push_str(" .\n"),
            false => writeln!(indented, " {line}")?,
        }
    }
    Ok(format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
         Upstream-Name: Latchkey\n\
         Comment: The programs hold libraries of others; third-party-licences.txt beside this file\n \
         lists them with their terms.\n\n\
         Files: *\n\
         Copyright: {holder}\n\
         License: Expat or Apache-2.0\n\n\
         License: Expat\n{indented}\n\
         License: Apache-2.0\n \
         The text is in /usr/share/common-licenses/Apache-2.0.\n"
    ))
}

/// A list of `parts` with their licences, and the texts that came with them, each text once.
///
/// # Errors
/// When a file of theirs cannot be read.
pub fn licences(parts: &[&Part]) -> Result<String> {
    let mut list = String::from("What others wrote in these programs, and its terms.\n\n");
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for part in parts {
        let Part {
            name,
            version,
            licence,
            authors,
            ..
        } = part;
        write!(list, "{name} {version}: {licence}")?;
        match authors.is_empty() {
            true => list.push('\n'),
            false => writeln!(list, " ({authors})")?,
        }
        for text in terms(&part.folder)? {
            texts
                .entry(text)
                .or_default()
                .push(format!("{name} {version}"));
        }
    }
    for (text, parts) in texts {
        write!(
            list,
            "\n{}\n{}:\n\n{}\n",
            "=".repeat(72),
            parts.join(", "),
            text.trim()
        )?;
    }
    Ok(list)
}

/// The texts that a package carries about its terms.
fn terms(folder: &Path) -> Result<Vec<String>> {
    let fault = || format!("the licences in {}", folder.display());
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).with_context(fault)? {
        let entry = entry.with_context(fault)?;
        let name = entry.file_name().to_string_lossy().to_ascii_uppercase();
        let says = [
            "LICENSE",
            "LICENCE",
            "COPYING",
            "COPYRIGHT",
            "NOTICE",
            "UNLICENSE",
        ];
        if says.iter().any(|word| name.starts_with(word)) && entry.file_type()?.is_file() {
            let bytes = fs::read(entry.path()).with_context(fault)?;
            texts.push(String::from_utf8_lossy(&bytes).replace('\r', ""));
        }
    }
    texts.sort();
    Ok(texts)
}

/// A bill of materials in CycloneDX 1.5.
#[must_use]
pub fn cyclonedx(package: Package, version: &str, parts: &[&Part]) -> Value {
    let components = parts.iter().map(|part| {
        json!({
            "type": "library",
            "bom-ref": format!("pkg:cargo/{}@{}", part.name, part.version),
            "purl": format!("pkg:cargo/{}@{}", part.name, part.version),
            "name": part.name,
            "version": part.version,
            "licenses": [{ "expression": part.licence }],
        })
    });
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": {
            "type": "application",
            "bom-ref": package.name(),
            "name": package.name(),
            "version": version,
            "licenses": [{ "expression": "MIT OR Apache-2.0" }],
        }},
        "components": components.collect::<Vec<_>>(),
    })
}
