//! The chain as the product plays it: from no credential to a ticket by PIN, and back.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::company::{Company, REALM, refused, text};
use testkit::lab::address::full_name;
use testkit::lab::{KdcCertificate, Talk};
use testkit::wait;

use crate::company;

pub(crate) const PIN: &str = "271828182845";
/// How soon a key that was deleted at the server must be worth nothing.
const SOON: Duration = Duration::from_secs(2);

/// MIT's own `kinit` as a person, with our PKCS#11 module and the public files of the daemon.
pub(crate) fn stock_kinit(company: &Company, person: &str) -> Result<Talk> {
    let host = company.workstation()?;
    let name = format!(
        "[realms]\n{REALM} = {{\n pkinit_kdc_hostname = {}\n}}\n",
        full_name("dc")
    );
    host.write_file("/tmp/kdc-name.conf", name, 0o644)?;
    let module = "/usr/lib/x86_64-linux-gnu/pkcs11/liblatchkey_pkcs11.so";
    let mut words = vec!["kinit".to_owned()];
    for option in [
        format!("X509_user_identity=PKCS11:module_name={module}"),
        "X509_anchors=FILE:/run/latchkey/pki/kdc-anchors.pem".to_owned(),
        "X509_anchors=FILE:/run/latchkey/pki/device-root.pem".to_owned(),
    ] {
        words.extend(["-X".to_owned(), option]);
    }
    words.extend(["-c".to_owned(), STOCK_CACHE.to_owned(), person.to_owned()]);
    host.command(&words.iter().map(String::as_str).collect::<Vec<_>>())
        .user(person)
        .env("KRB5_CONFIG", "/tmp/kdc-name.conf:/etc/krb5.conf")
        .talk()
}

const STOCK_CACHE: &str = "FILE:/tmp/stock-kinit.ccache";

/// The PIN is asked for by `kinit`, and a ticket comes of it.
fn stock_kinit_works(company: &Company, person: &str) -> Result<()> {
    let mut talk = stock_kinit(company, person)?;
    talk.expect("PIN")?;
    talk.type_line(PIN)?;
    let (status, shown) = talk.finish()?;
    ensure!(status == 0, "kinit by PKCS#11: {status}: {shown}");
    let host = company.workstation()?;
    let words = ["klist", "-c", STOCK_CACHE];
    let tickets = host.command(&words).user(person).ok()?;
    ensure!(
        tickets.contains(&format!("krbtgt/{REALM}@{REALM}")),
        "no ticket: {tickets}"
    );
    let words = ["kdestroy", "-c", STOCK_CACHE];
    host.command(&words).user(person).ok()?;
    Ok(())
}

/// The KDC does not take the key, and `kinit` says so.
fn stock_kinit_is_refused(company: &Company, person: &str) -> Result<()> {
    let mut talk = stock_kinit(company, person)?;
    talk.expect("PIN")?;
    talk.type_line(PIN)?;
    talk.expect("Client not trusted")?;
    Ok(())
}

fn signs_in(company: &Company, person: &str) -> Result<()> {
    let answer: Value = serde_json::from_str(&company.sign_in(person, PIN)?.ok()?)?;
    ensure!(
        text(&answer, "principal")? == format!("{person}@{REALM}"),
        "{answer}"
    );
    Ok(())
}

/// The code with which a sign-in is refused within two seconds from now.
fn soon_refused(company: &Company, person: &str) -> Result<String> {
    wait::until_some("a refusal of the PIN", SOON, || {
        let answer = refused(&company.sign_in(person, PIN)?)?;
        Ok::<_, anyhow::Error>(text(&answer, "code")?.to_owned())
    })
}

#[test]
fn a_person_enrolls_and_signs_in_with_the_pin() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.give_factor("alice")?;
    company.password_sign_in("alice")?;
    let done = company.enroll("alice", PIN)?;
    assert_eq!(company.keys_in_directory("alice")?.len(), 1, "{done}");
    signs_in(company, "alice")?;
    let log = company.lab.kdc_log()?;
    let line = "PK-INIT(ietf) pre-authentication succeeded -- alice@";
    assert!(log.contains(line), "the KDC's log has no {line:?}");
    company.forget_everyone()
}

#[test]
fn stock_kinit_gets_a_ticket_by_the_pkcs11_module() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    stock_kinit_works(company, "alice")?;
    let mut wrong = stock_kinit(company, "alice")?;
    wrong.expect("PIN")?;
    wrong.type_line("314159265358")?;
    wrong.expect(&format!("Password for alice@{REALM}"))?;
    drop(wrong);
    let status = company.status("alice")?;
    let left = status.pointer("/credentials/0/tries_left");
    assert_eq!(left.and_then(Value::as_u64), Some(9), "{status}");
    company.forget_everyone()
}

#[test]
fn both_kinds_of_kdc_certificate_are_taken() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let with = |kind| {
        company.lab.use_kdc_certificate(kind)?;
        signs_in(company, "alice").with_context(|| format!("{kind:?}"))?;
        stock_kinit_works(company, "alice").with_context(|| format!("{kind:?}"))
    };
    let outcome = with(KdcCertificate::PkinitName);
    with(KdcCertificate::DnsNames)?;
    outcome?;
    company.forget_everyone()
}

#[test]
fn a_key_deleted_by_the_administrator_is_refused_within_two_seconds() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let kid = company.enrolled("alice", PIN)?;
    signs_in(company, "alice")?;
    stock_kinit_works(company, "alice")?;
    company.admin(&["key", "delete", &kid])?;
    let start = Instant::now();
    assert_eq!(soon_refused(company, "alice")?, "key_not_in_directory");
    stock_kinit_is_refused(company, "alice")?;
    let took = start.elapsed();
    assert!(took < SOON, "both were refused, but only after {took:?}");
    assert!(company.keys_in_directory("alice")?.is_empty());
    company.forget_everyone()
}

#[test]
fn a_key_deleted_by_its_owner_is_gone_within_two_seconds() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let kid = company.enrolled("alice", PIN)?;
    let words = ["latchkey", "keys", "delete", &kid];
    let host = company.workstation()?;
    // Another person has no say in it.
    let foreign = host.command(&words).user("bob").run()?;
    assert_ne!(foreign.status, 0, "{}", foreign.text());
    signs_in(company, "alice")?;
    host.command(&words).user("alice").ok()?;
    assert_eq!(soon_refused(company, "alice")?, "no_credential");
    wait::until("AD to lose the key", SOON, || {
        company
            .keys_in_directory("alice")
            .is_ok_and(|keys| keys.is_empty())
    })
}

#[test]
fn a_key_goes_out_of_ad_under_the_name_that_its_owner_has_by_then() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let kid = company.enrolled("alice", PIN)?;
    let unit = "OU=Staff,DC=corp,DC=latchkey,DC=test";
    let rename = |from: &str, to: &str| {
        company.on_controller(&format!(
            "ldbrename -H /var/lib/samba/private/sam.ldb '{from},{unit}' '{to},{unit}'"
        ))
    };
    let (before, after) = ("CN=alice", "CN=Alice\\, once of Mühlheim");
    rename(before, after)?;
    let outcome = company.admin(&["key", "delete", &kid]).and_then(|_| {
        wait::until("AD to lose the key", SOON, || {
            company
                .keys_in_directory("alice")
                .is_ok_and(|keys| keys.is_empty())
        })
    });
    rename(after, before)?;
    outcome?;
    company.forget_everyone()
}

/// A public key made by nobody's TPM, put into AD by the domain's own tools.
const FOREIGN: &str = "openssl genrsa 2048 2>/dev/null | openssl rsa -pubout -out /root/foreign.pub \
    2>/dev/null && samba-tool user keytrust add alice /root/foreign.pub";

#[test]
fn a_value_of_somebody_elses_stays_untouched() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.on_controller(FOREIGN)?;
    let foreign = company.keys_in_directory("alice")?;
    assert_eq!(foreign.len(), 1, "{foreign:?}");
    let kid = company.enrolled("alice", PIN)?;
    let both = company.keys_in_directory("alice")?;
    assert!(both.len() == 2 && both.contains(&foreign[0]), "{both:?}");
    company.admin(&["key", "delete", &kid])?;
    let outcome = wait::until("AD to lose the key and keep the other", SOON, || {
        company
            .keys_in_directory("alice")
            .is_ok_and(|keys| keys == foreign)
    });
    company.on_controller("samba-tool user keytrust delete alice --all")?;
    outcome?;
    company.forget_everyone()
}
