//! What becomes of a password that does not sign in, from the domain controller to whoever typed it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::company::Company;
use testkit::wait::until;

use crate::company;

const BOB: &str = "CN=bob,OU=Staff,DC=corp,DC=latchkey,DC=test";
const SAM: &str = "/var/lib/samba/private/sam.ldb";
/// By this policy a password lasts a second: bob's is older.
const BRIEF: &str = "samba-tool domain passwordsettings pso create Brief 1 --max-pwd-age=1 \
     --min-pwd-age=0 && samba-tool domain passwordsettings pso apply Brief bob && \
     printf 'dn: CN=Brief,CN=Password Settings Container,CN=System,DC=corp,DC=latchkey,DC=test\\n\
     changetype: modify\\nreplace: msDS-MaximumPasswordAge\\nmsDS-MaximumPasswordAge: -10000000\\n' \
     | ldbmodify -H /var/lib/samba/private/sam.ldb";
const NOT_BRIEF: &str = "samba-tool domain passwordsettings pso delete Brief";

struct Stage<'c> {
    company: &'c Company,
    right: &'c str,
}

impl Stage<'_> {
    /// What the server answers to bob's password, 0 or the number of its refusal, and what the agent
    /// said to the server.
    fn typed(&self, password: &str) -> Result<(u64, String)> {
        let request = "curl --silent --cacert /etc/latchkey/tls/ca.pem \
             --data 'grant_type=password&client_id=passwords&username=bob@corp.latchkey.test' \
             --data resource=https://graph.microsoft.com --data-urlencode password@- \
             https://server.corp.latchkey.test/common/oauth2/token";
        let server = self.company.server()?;
        let log = || server.read_text("/var/log/latchkey-sync.log");
        let before = log()?.len();
        let call = server.command(&["sh", "-c", request]).stdin(password);
        let answer: Value = serde_json::from_str(&call.ok()?)?;
        let number = match answer["access_token"].is_string() {
            true => Some(0),
            false => answer["error_codes"][0].as_u64(),
        };
        let log = log()?;
        let (_, said) = log
            .get(before..)
            .and_then(|log| log.split_once("outcome=Password("))
            .with_context(|| format!("the agent was not asked: {answer}"))?;
        let said = said.split(')').next().unwrap_or_default();
        Ok((number.with_context(|| answer.to_string())?, said.to_owned()))
    }

    fn is(&self, password: &str, number: u64, outcome: &str) -> Result<()> {
        let mut typed = self.typed(password)?;
        if number == 50057 && typed.1 == "Wrong" {
            // The server had heard of it already, and asks about nobody.
            typed.1 = outcome.to_owned();
        }
        ensure!(
            typed == (number, outcome.to_owned()),
            "{typed:?} is no {outcome}"
        );
        Ok(())
    }

    fn change(&self, change: &str) -> Result<()> {
        let ldif = format!("dn: {BOB}\nchangetype: modify\n{change}\n");
        let call = self
            .company
            .controller()?
            .command(&["ldbmodify", "-H", SAM]);
        call.stdin(ldif).ok().map(drop)
    }

    fn all(&self) -> Result<()> {
        self.is(self.right, 0, "Right")?;
        self.is("another", 50126, "Wrong")?;
        // The server lets nobody try more than twice in a row.
        self.is(self.right, 0, "Right")?;
        let hours = format!("replace: logonHours\nlogonHours:: {}", "A".repeat(28));
        // In the year 2030.
        let later = "replace: lockoutTime\nlockoutTime: 135443736000000000";
        let disabled = "replace: userAccountControl\nuserAccountControl: 514";
        for (change, back, number, outcome) in [
            (
                later,
                "replace: lockoutTime\nlockoutTime: 0",
                50053,
                "Locked",
            ),
            (
                disabled,
                "replace: userAccountControl\nuserAccountControl: 512",
                50057,
                "Disabled",
            ),
            (&hours, "replace: logonHours", 80012, "OutsideHours"),
        ] {
            self.change(change)?;
            let closed = self.is(self.right, number, outcome);
            self.change(back)?;
            closed?;
            until("the account to be open", Duration::from_secs(30), || {
                let bob = self.company.admin(&["user", "show", "bob"]);
                bob.is_ok_and(|bob| bob["active"] == true && bob["locked_until"].is_null())
            })?;
            self.is(self.right, 0, "Right")?;
        }
        self.change("replace: pwdLastSet\npwdLastSet: 0")?;
        let must_change = self
            .is(self.right, 50055, "MustChange")
            .and_then(|()| self.is("another", 50126, "Wrong"));
        self.change("replace: pwdLastSet\npwdLastSet: -1")?;
        must_change?;
        self.company.on_controller(BRIEF)?;
        let expired = self
            .is(self.right, 50055, "Expired")
            .and_then(|()| self.is("another", 50126, "Wrong"));
        self.company.on_controller(NOT_BRIEF)?;
        expired
    }
}

#[test]
fn why_a_password_does_not_sign_in_is_told_apart() -> Result<()> {
    let (_turn, company) = company();
    let allow = |word| company.admin(&["settings", "set", "allow-ropc", word]);
    let graph = ["--resource", "https://graph.microsoft.com"];
    company.admin(&[&["app", "put", "passwords", "--allow", "ropc"][..], &graph].concat())?;
    allow("on")?;
    let right = company.lab.password("bob")?;
    let told = Stage { company, right }.all();
    allow("off")?;
    company.admin(&["app", "delete", "passwords"])?;
    told
}
