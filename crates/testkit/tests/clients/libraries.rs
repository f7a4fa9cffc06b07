//! Libraries with which applications sign people in.

use std::path::{Path, PathBuf};

use serde_json::json;
use store::{App, AppKind};
use testkit::foreign;
use token::{RsaJwk, SigningJwk};

use crate::bench::{Bench, DORA, app, certificate, rsa_key, weaker};

const PYTHON: [&str; 3] = ["msal==1.39.0", "Authlib==1.9.10", "requests==2.34.2"];
const NODE: [&str; 1] = ["openid-client@6.8.9"];

/// A public application, one that proves itself, and one that foreign clients' weaker forms are on
/// for; the key of the second lies in the bench's folder.
fn bench() -> Bench {
    let key = rsa_key();
    let jwk = SigningJwk::new(RsaJwk::from_key(&*key).unwrap());
    let confidential = App {
        jwks: Some(json!({ "keys": [jwk] }).to_string()),
        ..app("web", AppKind::Confidential)
    };
    let lenient = App {
        compat: weaker(),
        ..app("lenient", AppKind::Public)
    };
    // MSAL signs by PS256 and nothing else.
    let mut jwk = serde_json::to_value(&jwk).unwrap();
    jwk["alg"] = json!("PS256");
    let other_web = App {
        jwks: Some(json!({ "keys": [jwk] }).to_string()),
        ..app("web-by-pss", AppKind::Confidential)
    };
    let apps = vec![
        app("native", AppKind::Public),
        confidential,
        other_web,
        lenient,
    ];
    let bench = Bench::start(apps, Vec::new());
    let pem = key.private_key_to_pem_pkcs8().unwrap();
    std::fs::write(bench.folder.join("web.key"), pem).unwrap();
    let pem = certificate("web", &key, None).to_pem().unwrap();
    std::fs::write(bench.folder.join("web.pem"), pem).unwrap();
    bench
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(name)
}

#[test]
fn msal_signs_people_and_applications_in() {
    let python = foreign::python(&PYTHON, |_| {}).unwrap().join("bin/python");
    let bench = bench();
    bench.ok(bench.command(&python).arg(script("msal_client.py")));
}

#[test]
fn microsofts_sdk_sets_a_pilot_up_through_graph() {
    let python = foreign::python(&foreign::GRAPH_SDK, |_| {})
        .unwrap()
        .join("bin/python");
    let bench = bench();
    bench.admin("PUT", &format!("/roles/policy/{DORA}"), "");
    bench.ok(bench.command(&python).arg(script("graph_client.py")));
}

#[test]
fn authlib_believes_the_server_and_what_it_signs() {
    let python = foreign::python(&PYTHON, |_| {}).unwrap().join("bin/python");
    let bench = bench();
    bench.ok(bench.command(&python).arg(script("authlib_client.py")));
}

#[test]
fn openid_client_believes_the_server_and_what_it_signs() {
    let modules = foreign::node(&NODE, |_| {}).unwrap();
    let bench = bench();
    // A module looks for others beside itself.
    std::os::unix::fs::symlink(
        modules.join("node_modules"),
        bench.folder.join("node_modules"),
    )
    .unwrap();
    for name in ["openid_client.mjs", "person.mjs"] {
        std::fs::copy(script(name), bench.folder.join(name)).unwrap();
    }
    let mut node = bench.command(Path::new("node"));
    bench.ok(node.arg(bench.folder.join("openid_client.mjs")));
}
