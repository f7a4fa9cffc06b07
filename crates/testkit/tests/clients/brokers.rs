//! Programs that speak for a device and its users, as Windows and its companions do.

use std::path::{Path, PathBuf};

use model::Guid;
use store::{App, AppKind, Computer};
use testkit::foreign;

use crate::bench::{Bench, app, certificate, guid, rsa_key, weaker};

const ROADTX: [&str; 2] = ["roadtx==1.22.1", "roadlib==1.7.0"];

const DEVICE: u8 = 31;
const DEVICE_SID: &str = "S-1-5-21-10-20-30-1120";

/// The page that public clients of Entra ID are sent to.
const NATIVE: &str = "https://login.microsoftonline.com/common/oauth2/nativeclient";

/// Clients that are known by their published ids, with every weaker form switched on.
fn first_party() -> Vec<App> {
    let ids = [
        "29d9ed98-a469-4536-ade2-f981bc1d605e",
        "38aa3b87-a06d-4817-b275-7a316988d93b",
        "04b07795-8ddb-461a-bbee-02f9e1bf7b46",
    ];
    let resources = [
        "urn:ms-drs:enterpriseregistration.windows.net",
        "https://graph.microsoft.com",
        "https://graph.windows.net",
    ];
    ids.map(|id| App {
        redirect_uris: vec![NATIVE.to_owned()],
        resources: resources.map(str::to_owned).to_vec(),
        compat: weaker(),
        ..app(id, AppKind::Public)
    })
    .to_vec()
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/roadtx_client.py")
}

#[test]
fn roadtx_joins_a_device_and_signs_its_users_in_there() {
    let python = foreign::python(&ROADTX, |_| {}).unwrap().join("bin/python");
    let (id, key): (Guid, _) = (guid(DEVICE), rsa_key());
    let in_directory = certificate(&id.to_string(), &key, None);
    let computer = Computer {
        guid: id,
        domain: guid(1),
        sid: DEVICE_SID.parse().unwrap(),
        name: "ws9".to_owned(),
        dn: "CN=ws9".to_owned(),
        active: true,
        certificates: vec![in_directory.to_der().unwrap()],
    };
    let bench = Bench::start(first_party(), vec![computer]);
    let write = |name: &str, pem: Vec<u8>| std::fs::write(bench.folder.join(name), pem).unwrap();
    write("ws9.pem", in_directory.to_pem().unwrap());
    write("ws9.key", key.private_key_to_pem_pkcs8().unwrap());
    let mut roadtx = bench.command(&python);
    roadtx
        .arg(script())
        .env("DEVICE", id.to_string())
        .env("DEVICE_SID", DEVICE_SID);
    bench.ok(&mut roadtx);
}
