//! The map in `docs/architecture.md`: its crate tables are the truth about layers, and the code
//! is held to them.

use std::collections::BTreeMap;

use crate::{expect_none, graph::GRAPH, tree::Text};

/// From the lowest up, as the map names them.
const LAYERS: [&str; 6] = ["Facts", "Cores", "Wire", "Doors", "Programs", "Tools"];

/// Layers whose crates may use each other.
const AMONG_THEMSELVES: [&str; 3] = ["Facts", "Cores", "Tools"];

/// Layers that do no I/O.
const PURE: [&str; 2] = ["Facts", "Cores"];

/// A row of a crate table.
struct Row {
    layer: usize,
    description: String,
}

/// Reads the tables: a line `**Layer**: …` begins one, rows are ``| `crate` | description |``.
fn map() -> BTreeMap<String, Row> {
    let page = Text::read("docs/architecture.md");
    let mut rows = BTreeMap::new();
    let mut layer = None;
    for line in page.content.lines() {
        if line.starts_with("## ") {
            layer = None;
        }
        if let Some((name, _)) = line
            .strip_prefix("**")
            .and_then(|rest| rest.split_once("**"))
        {
            layer = LAYERS.iter().position(|layer| *layer == name);
        }
        let row = line
            .strip_prefix("| `")
            .and_then(|rest| rest.split_once("` | "));
        if let (Some(layer), Some((name, rest))) = (layer, row) {
            let description = rest.trim_end_matches([' ', '|']).to_owned();
            let row = Row { layer, description };
            assert!(
                rows.insert(name.to_owned(), row).is_none(),
                "{name} is on the map twice"
            );
        }
    }
    rows
}

#[test]
fn the_map_names_every_crate_with_its_own_description() {
    let map = map();
    let mut broken: Vec<String> = GRAPH
        .ours()
        .filter_map(|package| match map.get(&package.name) {
            None => Some(format!("{} is not on the map", package.name)),
            Some(row) if row.description != package.description => Some(format!(
                "{}: the map says \"{}\", its manifest \"{}\"",
                package.name, row.description, package.description
            )),
            Some(_) => None,
        })
        .collect();
    let gone = map
        .keys()
        .filter(|name| GRAPH.ours().all(|package| package.name != **name));
    broken.extend(gone.map(|name| format!("{name} is on the map and not in the workspace")));
    expect_none(
        "docs/architecture.md must agree with crates/*/Cargo.toml",
        &broken,
    );
}

#[test]
fn every_use_of_a_crate_points_down() {
    let map = map();
    let mut broken = Vec::new();
    for package in GRAPH.ours() {
        let from = map[&package.name].layer;
        for used in GRAPH.our_uses(package) {
            let to = map[&used.name].layer;
            let among = to == from && AMONG_THEMSELVES.contains(&LAYERS[from]);
            if to >= from && !among {
                broken.push(format!(
                    "{} ({}) uses {} ({})",
                    package.name, LAYERS[from], used.name, LAYERS[to]
                ));
            }
        }
    }
    expect_none("a crate uses only crates of lower layers", &broken);
}

#[test]
fn facts_and_cores_do_no_io() {
    let mut broken = Vec::new();
    for (name, _) in map()
        .iter()
        .filter(|(_, row)| PURE.contains(&LAYERS[row.layer]))
    {
        let foreign = GRAPH
            .linked_into(name)
            .into_iter()
            .filter(|used| *used == "tokio" || (used.ends_with("-sys") && *used != "openssl-sys"));
        broken.extend(foreign.map(|used| format!("{name} reaches {used}")));
    }
    expect_none(
        "facts and cores reach neither tokio nor a C library but OpenSSL",
        &broken,
    );
}
