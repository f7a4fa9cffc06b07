//! What the descriptors of all objects of the domain say, one after another: pure.

use std::collections::BTreeMap;

use anyhow::Context as _;
use directory::{Guarded, Kind, Property};
use policy::gpo::descriptor::{Ace, Descriptor};

use super::{
    KEYS,
    judge::{Judge, Place},
    parsed,
    report::{Blocked, Missing, Report, Scope},
};
use crate::scope::Dn;

/// What was seen so far.
pub(super) struct Survey {
    judge: Judge,
    report: Report,
    domain: String,
    /// The users below each unit of the scope.
    users: Vec<Accounts>,
    /// Other accounts, of the whole domain.
    others: Vec<Accounts>,
    /// What is in the scope and takes no entries from above.
    blocked: Vec<String>,
}

/// What is missing of the accounts of a kind below a unit.
struct Accounts {
    ou: String,
    base: Dn,
    kind: Kind,
    read: Vec<Property>,
    hands_down: bool,
    count: usize,
    protected: usize,
    /// Accounts by what cannot be read of them, none where it is the descriptor: how many, and one.
    unread: BTreeMap<Option<usize>, (usize, String)>,
    /// Those that lack the right to their keys, and whether they take no entries from above.
    keyless: Vec<(String, bool)>,
}

impl Survey {
    /// Of the domain with this DN.
    pub(super) fn new(domain: &str, judge: Judge, report: Report) -> Self {
        Self {
            judge,
            report,
            domain: domain.to_owned(),
            users: Vec::new(),
            others: Vec::new(),
            blocked: Vec::new(),
        }
    }

    /// The users below a unit must be read, and their keys written.
    pub(super) fn of_users(&mut self, unit: &Guarded, read: Vec<Property>) -> anyhow::Result<()> {
        let unit_says = parsed(unit)?;
        let hands_down = unit_says.is_some_and(|unit| self.judge.hands_down_keys(&unit));
        let users = Accounts::new(&unit.dn, Kind::User, read)?;
        self.users.push(Accounts {
            hands_down,
            ..users
        });
        Ok(())
    }

    /// All accounts of a kind must be read.
    pub(super) fn of_all(&mut self, kind: Kind, read: Vec<Property>) -> anyhow::Result<()> {
        self.others.push(Accounts::new(&self.domain, kind, read)?);
        Ok(())
    }

    /// Takes the next object.
    pub(super) fn see(&mut self, object: &Guarded) -> anyhow::Result<()> {
        let dn = Dn::parse(&object.dn);
        let is_below = |base: &Dn| dn.as_ref().is_some_and(|dn| dn.is_below(base));
        let holder = format!("CN=AdminSDHolder,CN=System,{}", self.domain);
        let scope = self.users.iter_mut().find(|users| is_below(&users.base));
        let place = match object.kind {
            _ if object.dn.eq_ignore_ascii_case(&self.domain) => Place::Root,
            _ if object.dn.eq_ignore_ascii_case(&holder) => Place::AdminSdHolder,
            None if scope.is_some() => Place::Scope,
            Some(Kind::User) if scope.is_some() => Place::User,
            _ => Place::Outside,
        };
        let accounts = match object.kind {
            Some(Kind::User) => scope,
            kind => self.others.iter_mut().find(|of| Some(of.kind) == kind),
        };
        let descriptor = parsed(object)?;
        if let Some(accounts) = accounts {
            accounts.see(&self.judge, object, descriptor.as_ref());
        }
        let Some(descriptor) = descriptor else {
            self.report.unread += 1;
            return Ok(());
        };
        if place == Place::Scope && descriptor.is_blocked() {
            self.blocked.push(object.dn.clone());
        }
        self.report
            .judge_excess(&self.judge, object, &descriptor, place);
        Ok(())
    }

    /// All that is to be said.
    pub(super) fn end(mut self) -> Report {
        for users in self.users {
            users.tell_keys(&self.judge, &self.blocked, &mut self.report);
            users.tell_reading(&self.judge, &mut self.report);
        }
        for others in self.others {
            others.tell_reading(&self.judge, &mut self.report);
        }
        self.report
    }
}

impl Accounts {
    fn new(ou: &str, kind: Kind, read: Vec<Property>) -> anyhow::Result<Self> {
        Ok(Self {
            ou: ou.to_owned(),
            base: Dn::parse(ou).with_context(|| format!("{ou} is no DN"))?,
            kind,
            read,
            hands_down: false,
            count: 0,
            protected: 0,
            unread: BTreeMap::new(),
            keyless: Vec::new(),
        })
    }

    fn see(&mut self, judge: &Judge, account: &Guarded, descriptor: Option<&Descriptor>) {
        let Some(descriptor) = descriptor else {
            return self.cannot_read(None, &account.dn);
        };
        self.count += 1;
        for at in 0..self.read.len() {
            let property = self.read.get(at);
            if property.is_some_and(|property| !judge.may_read(descriptor, property)) {
                self.cannot_read(Some(at), &account.dn);
            }
        }
        if account.is_protected {
            self.protected += 1;
        } else if self.kind == Kind::User && !judge.may_write_keys(descriptor) {
            let keyless = (account.dn.clone(), descriptor.is_blocked());
            self.keyless.push(keyless);
        }
    }

    fn cannot_read(&mut self, what: Option<usize>, dn: &str) {
        let unread = self.unread.entry(what);
        unread.or_insert((0, dn.to_owned())).0 += 1;
    }

    /// Each account that lacks the right is counted where the right ends on its way down.
    fn tell_keys(&self, judge: &Judge, blocked: &[String], report: &mut Report) {
        let mut ends: BTreeMap<&str, (usize, Ace)> = BTreeMap::new();
        let mut lacking = Vec::new();
        for (dn, is_blocked) in &self.keyless {
            let above = || {
                let above = blocked.iter().filter(|unit| is_below(dn, unit));
                above.max_by_key(|unit| unit.len())
            };
            let (end, ace) = match (is_blocked, above()) {
                (true, _) => (dn, judge.wanted_of_one()),
                (false, Some(unit)) => (unit, judge.wanted()),
                (false, None) => {
                    lacking.push(dn);
                    continue;
                }
            };
            ends.entry(end).or_insert((0, ace)).0 += 1;
        }
        for (dn, (accounts, ace)) in ends {
            report.blocked.push(Blocked {
                dn: dn.to_owned(),
                accounts,
                command: format!("dsacls \"{dn}\" /P:N"),
                samba_command: set(dn, &ace),
            });
        }
        if !self.hands_down || !lacking.is_empty() {
            report.missing.push(Missing {
                ou: self.ou.clone(),
                right: format!("read and write {KEYS} of users"),
                accounts: lacking.len(),
                example: lacking.first().map(|dn| (*dn).clone()),
                ace: judge.wanted().to_sddl(),
                command: "latchkey-sync permissions grant".to_owned(),
                samba_command: None,
            });
        }
        report.scopes.push(Scope {
            ou: self.ou.clone(),
            users: self.count,
            protected: self.protected,
        });
    }

    fn tell_reading(self, judge: &Judge, report: &mut Report) {
        let class = match self.kind {
            Kind::User => "user",
            Kind::Computer => "computer",
            Kind::Group => "group",
        };
        for (at, (accounts, example)) in self.unread {
            let property = at.and_then(|at| self.read.get(at));
            let ace = judge.reading(self.kind, property);
            let (what, right) = match property {
                Some(Property { name, .. }) => (name.as_str(), format!("RP;{name}")),
                None => ("the descriptor (READ_CONTROL)", "RC;".to_owned()),
            };
            report.missing.push(Missing {
                right: format!("read {what}"),
                accounts,
                example: Some(example),
                command: format!(
                    "dsacls \"{}\" /I:S /G \"{}:{right};{class}\"",
                    self.ou, report.account
                ),
                samba_command: Some(set(&self.ou, &ace)),
                ace: ace.to_sddl(),
                ou: self.ou.clone(),
            });
        }
    }
}

fn set(dn: &str, ace: &Ace) -> String {
    let ace = ace.to_sddl();
    format!("samba-tool dsacl set --objectdn=\"{dn}\" --sddl=\"{ace}\"")
}

fn is_below(dn: &str, ancestor: &str) -> bool {
    let (dn, ancestor) = (Dn::parse(dn), Dn::parse(ancestor));
    dn.zip(ancestor)
        .is_some_and(|(dn, ancestor)| dn.is_below(&ancestor))
}

#[cfg(test)]
mod tests;
