//! What `permissions check` has to say.

use std::fmt::Write;

use directory::Guarded;
use policy::gpo::descriptor::Descriptor;
use serde::Serialize;

use super::judge::{Judge, Place};

/// Everything that is to be said.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) account: String,
    pub(super) sid: String,
    pub(super) dc: String,
    pub(super) scopes: Vec<Scope>,
    pub(super) missing: Vec<Missing>,
    /// What the agent can do without, but not as well.
    pub(super) optional: Vec<Missing>,
    /// Accounts and units that what the scope hands down does not reach.
    pub(super) blocked: Vec<Blocked>,
    pub(super) excessive: Vec<Excess>,
    /// Objects whose descriptor may not be read: what it says is not in here.
    pub(super) unread: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct Scope {
    pub(super) ou: String,
    pub(super) users: usize,
    /// AD keeps entries off them, and the agent their keys: no right is missing.
    pub(super) protected: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct Missing {
    pub(super) ou: String,
    pub(super) right: String,
    pub(super) accounts: usize,
    pub(super) example: Option<String>,
    pub(super) ace: String,
    pub(super) command: String,
    /// The same with Samba's tool, where the command is one of Windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) samba_command: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Blocked {
    pub(super) dn: String,
    pub(super) accounts: usize,
    pub(super) command: String,
    /// What helps where there is Samba's tool alone.
    pub(super) samba_command: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Excess {
    pub(super) dn: String,
    pub(super) what: String,
    pub(super) ace: Option<String>,
    pub(super) command: Option<String>,
}

impl Report {
    /// Whether the agent may do all that it needs.
    pub(super) fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.blocked.is_empty()
    }

    /// Deletions are found in another way where they are not seen.
    pub(super) fn can_do_without_deletions(&mut self, judge: &Judge, container: String) {
        self.optional.push(Missing {
            ou: container,
            right: "see deletions, which are found by listing what is there".to_owned(),
            accounts: 0,
            example: None,
            ace: judge.looking().to_sddl(),
            command: "latchkey-sync permissions grant --deletions".to_owned(),
            samba_command: None,
        });
    }

    pub(super) fn judge_excess(
        &mut self,
        judge: &Judge,
        object: &Guarded,
        descriptor: &Descriptor,
        place: Place,
    ) {
        let dn = &object.dn;
        for (ace, what) in judge.excess(descriptor, place) {
            let ace = ace.to_sddl();
            let command = format!("samba-tool dsacl delete --objectdn=\"{dn}\" --sddl=\"{ace}\"");
            self.excessive.push(Excess {
                dn: dn.clone(),
                what,
                ace: Some(ace),
                command: Some(command),
            });
        }
        if judge.owns(descriptor) {
            self.excessive.push(Excess {
                dn: dn.clone(),
                what: "owns the object, and so may change who may do what".to_owned(),
                ace: None,
                command: None,
            });
        }
    }

    /// The same for people.
    pub(super) fn text(&self) -> anyhow::Result<String> {
        let mut said = String::new();
        writeln!(
            said,
            "account    {} ({}), by {}",
            self.account, self.sid, self.dc
        )?;
        for scope in &self.scopes {
            let Scope {
                ou,
                users,
                protected,
            } = scope;
            writeln!(
                said,
                "scope      {ou}: {users} users, {protected} protected"
            )?;
        }
        for missing in &self.missing {
            let Missing {
                ou,
                right,
                accounts,
                ..
            } = missing;
            writeln!(said, "missing    {ou}: {right}, of {accounts} accounts")?;
            if let Some(example) = &missing.example {
                writeln!(said, "           such as {example}")?;
            }
            writeln!(
                said,
                "           {}\n           {}",
                missing.ace, missing.command
            )?;
            if let Some(command) = &missing.samba_command {
                writeln!(said, "           {command}")?;
            }
        }
        for Missing {
            ou,
            right,
            ace,
            command,
            ..
        } in &self.optional
        {
            writeln!(
                said,
                "optional   {ou}: {right}\n           {ace}\n           {command}"
            )?;
        }
        for Blocked {
            dn,
            accounts,
            command,
            samba_command,
        } in &self.blocked
        {
            writeln!(
                said,
                "blocked    {dn}: takes no entries from above; {accounts} accounts\n           {command}\n           \
                 {samba_command}"
            )?;
        }
        for excess in &self.excessive {
            writeln!(said, "excessive  {}: {}", excess.dn, excess.what)?;
            for line in [&excess.ace, &excess.command].into_iter().flatten() {
                writeln!(said, "           {line}")?;
            }
        }
        if self.unread > 0 {
            let unread = self.unread;
            writeln!(
                said,
                "unread     {unread} objects: their descriptors may not be read"
            )?;
        }
        if self.is_complete() {
            let end = match self.excessive.is_empty() {
                true => "the agent may do what it needs, and nothing else",
                false => "the agent may do what it needs, and more",
            };
            writeln!(said, "{end}")?;
        }
        Ok(said)
    }
}
