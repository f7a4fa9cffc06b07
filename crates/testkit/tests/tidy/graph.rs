//! What Cargo knows: our crates, and what each of them pulls in on the platform we ship for.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    sync::LazyLock,
};

use serde_json::Value;

use crate::tree::ROOT;

/// The packages of the lock file that are built for us.
pub(crate) static GRAPH: LazyLock<Graph> = LazyLock::new(Graph::read);

pub(crate) struct Graph {
    packages: BTreeMap<String, Package>,
    /// Where Cargo builds.
    pub(crate) target_directory: String,
}

pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) description: String,
    pub(crate) license: String,
    /// One of ours.
    pub(crate) ours: bool,
    proc_macro: bool,
    /// What its library or program is made of; neither build scripts nor tests.
    uses: Vec<String>,
}

impl Graph {
    fn read() -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version=1", "--locked", "--offline"])
            .arg("--filter-platform=x86_64-unknown-linux-gnu")
            .current_dir(&*ROOT)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();

        let members: BTreeSet<&str> = texts(&metadata["workspace_members"]).collect();
        let mut uses: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for node in array(&metadata["resolve"]["nodes"]) {
            let normal = array(&node["deps"]).iter().filter(|dependency| {
                array(&dependency["dep_kinds"])
                    .iter()
                    .any(|kind| kind["kind"].is_null())
            });
            uses.insert(
                text(&node["id"]),
                normal.map(|d| text(&d["pkg"]).to_owned()).collect(),
            );
        }
        let packages = array(&metadata["packages"]).iter().map(|package| {
            let id = text(&package["id"]);
            let optional = |field: &str| package[field].as_str().unwrap_or_default().to_owned();
            let mut kinds = array(&package["targets"])
                .iter()
                .flat_map(|t| texts(&t["kind"]));
            let package = Package {
                name: text(&package["name"]).to_owned(),
                version: text(&package["version"]).to_owned(),
                description: optional("description"),
                license: optional("license"),
                ours: members.contains(id),
                proc_macro: kinds.any(|kind| kind == "proc-macro"),
                uses: uses.remove(id).unwrap_or_default(),
            };
            (id.to_owned(), package)
        });
        Self {
            packages: packages.collect(),
            target_directory: text(&metadata["target_directory"]).to_owned(),
        }
    }

    pub(crate) fn packages(&self) -> impl Iterator<Item = &Package> {
        self.packages.values()
    }

    pub(crate) fn ours(&self) -> impl Iterator<Item = &Package> {
        self.packages().filter(|package| package.ours)
    }

    /// The crates of ours that a crate of ours uses directly.
    pub(crate) fn our_uses(&self, package: &Package) -> impl Iterator<Item = &Package> {
        package
            .uses
            .iter()
            .map(|id| &self.packages[id])
            .filter(|package| package.ours)
    }

    /// Everything that is linked into a crate of ours. Procedural macros run in the compiler and
    /// are left out, with what only they use.
    pub(crate) fn linked_into(&self, name: &str) -> BTreeSet<&str> {
        let package = self.ours().find(|package| package.name == name);
        let mut found = BTreeSet::new();
        let mut open = vec![package.unwrap_or_else(|| panic!("no crate {name}"))];
        while let Some(package) = open.pop() {
            for used in package.uses.iter().map(|id| &self.packages[id]) {
                if !used.proc_macro && found.insert(used.name.as_str()) {
                    open.push(used);
                }
            }
        }
        found
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    array(value).iter().map(text)
}
