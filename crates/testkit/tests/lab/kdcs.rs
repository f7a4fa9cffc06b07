//! The domain controllers' certificates, as sign-ins on a workstation saw them.

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::company;

const PIN: &str = "161803398874";

/// One question to the daemon, by a program that knows the frames and nothing else.
const ASK: &str = r#"
import socket, struct
daemon = socket.socket(socket.AF_UNIX)
daemon.connect("/run/latchkey/latchkeyd.sock")
question = b'{"v":1,"id":1,"op":"kdc.list","args":{}}'
daemon.sendall(struct.pack("<I", len(question)) + question)
answer = daemon.makefile("rb")
print(answer.read(struct.unpack("<I", answer.read(4))[0]).decode())
"#;

#[test]
fn a_sign_in_tells_root_which_certificate_the_domain_controller_has() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    company.sign_in("alice", PIN)?.ok()?;
    let ask = |person: &str| -> Result<Value> {
        let host = company.workstation()?;
        let call = host.command(&["python3", "-c", ASK]).user(person);
        Ok(serde_json::from_str(&call.ok()?)?)
    };
    let answer = ask("root")?;
    let kdcs = answer["ok"]["kdcs"].as_array().context("no answer")?;
    assert_eq!(kdcs.len(), 1, "{answer}");
    assert_eq!(kdcs[0]["host"], "dc.corp.latchkey.test");
    let own = "openssl x509 -in /etc/latchkey-lab/kdc.crt -outform DER | base64 -w0";
    let own = company.on_controller(own)?;
    assert_eq!(kdcs[0]["certificate"], own.trim(), "{answer}");
    let now = company.on_controller("date +%s")?.trim().parse::<i64>()?;
    let seen = kdcs[0]["seen"].as_i64().context("never seen")?;
    assert!((now - 2 * 3600..=now).contains(&seen), "{seen} at {now}");
    assert_eq!(ask("alice")?["error"]["code"], "not_allowed");

    // By that, each rule of a certificate is judged from afar.
    let host = company.workstation()?;
    let cache = "FILE:/run/administrator.ccache";
    host.command(&["kinit", "Administrator"])
        .env("KRB5CCNAME", cache)
        .stdin(format!("{}\n", company.lab.administrator_password()))
        .ok()?;
    let check = ["latchkey", "pki", "--json", "check"];
    let report = host.command(&check).env("KRB5CCNAME", cache).run()?;
    let report: Value = serde_json::from_str(&report.stdout)?;
    assert_eq!(report["not_judged"], 0, "{report}");
    let judged = &report["domain_controllers"][0];
    assert!(
        judged["source"]
            .as_str()
            .is_some_and(|source| source.starts_with("a sign-in")),
        "{report}"
    );
    let rule = |name: &str| {
        let rules = judged["rules"].as_array();
        let found = rules.and_then(|rules| rules.iter().find(|found| found["rule"] == name));
        found.map(|found| found["verdict"].clone())
    };
    for name in ["validity", "purpose-kdc", "name-of-host", "chain"] {
        assert_eq!(rule(name), Some("pass".into()), "{report}");
    }
    company.forget_everyone()
}
