//! A person whose names change in the domain keeps the credential.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::company::{Company, REALM, text};
use testkit::wait::until_some;

use crate::chain::PIN;
use crate::company;

/// Changes attributes of alice's account as its administrator does.
fn call_alice(company: &Company, account: &str, upn: &str) -> Result<()> {
    let dn = "CN=alice,OU=Staff,DC=corp,DC=latchkey,DC=test";
    company.on_controller(&format!(
        "printf 'dn: {dn}\\nchangetype: modify\\nreplace: sAMAccountName\\nsAMAccountName: {account}\\n-\\n\
         replace: userPrincipalName\\nuserPrincipalName: {upn}\\n' \\
         | ldbmodify -H /var/lib/samba/private/sam.ldb"
    ))?;
    // The names are looked up anew.
    company.workstation()?.sh("sss_cache -E")?;
    Ok(())
}

/// Signs in as whoever the local name is, and tells by which principal.
fn principal(company: &Company, local: &str) -> Result<String> {
    let answer = company.sign_in(local, PIN)?;
    let answer: Value = serde_json::from_str(&answer.ok()?)?;
    Ok(text(&answer, "principal")?.to_owned())
}

fn under_other_names(company: &Company) -> Result<()> {
    let host = company.workstation()?;
    let uid = host.command(&["id", "-u", "alice"]).ok()?;
    for (account, upn) in [
        ("alicia", "alice@corp.latchkey.test"),
        ("alicia", "alicia.b@corp.latchkey.test"),
        ("alice", "a@corp.latchkey.test"),
    ] {
        call_alice(company, account, upn)?;
        let told = until_some("the name of today", Duration::from_secs(30), || {
            host.command(&["id", "-u", account]).ok()
        })?;
        ensure!(told == uid, "{account} has the uid {told}, and had {uid}");
        let signed_in = principal(company, account).with_context(|| upn.to_owned())?;
        ensure!(signed_in == format!("{account}@{REALM}"), "{signed_in}");
    }
    let kept = company.status("alice")?;
    ensure!(
        kept.pointer("/credentials/0/upn") == Some(&"a@corp.latchkey.test".into()),
        "{kept}"
    );
    let tries = kept.pointer("/credentials/0/tries_left");
    ensure!(tries == Some(&10.into()), "{kept}");
    Ok(())
}

#[test]
fn whoever_is_renamed_signs_in_with_the_same_pin_under_the_name_of_today() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let outcome = under_other_names(company);
    call_alice(company, "alice", "alice@corp.latchkey.test")?;
    outcome?;
    company.forget_everyone()
}
