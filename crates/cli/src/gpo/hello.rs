//! `latchkey gpo enable-hello`: everything that turns enrollment on for a group, in one command.
//!
//! Settings of computers go into a policy of their own that applies to computers. In the policy of
//! the group, which has no computers, they would silently do nothing. That one is linked first, so
//! that nobody is offered a PIN before the rules for it hold.

use policy::gpo::{Gpc, Half};

use super::{
    Domain, Done,
    arguments::{self, EnableHello},
    change::Change,
    edit, links, scope, show, who,
};

const BASE: [&str; 2] = ["use-hello=on", "no-provisioning-after-sign-in=off"];

pub(super) async fn enable(domain: &mut Domain, how: &EnableHello) -> anyhow::Result<Done> {
    let settings = settings(how)?;
    let mut done = Done::default();
    let group = match domain.directory.principal(&how.group).await? {
        Some(group) => group.sid,
        None => {
            let made = domain.directory.add_group(&how.group).await?;
            done.note(format!("Made the group {:?}.", how.group));
            made.sid
        }
    };
    let (computers, users): (Vec<Change>, Vec<Change>) = settings
        .into_iter()
        .partition(|change| change.half == Half::Computer);
    if !computers.is_empty() {
        let name = format!("{} (computers)", how.name);
        let sid = who::sid(domain, &how.computers).await?;
        let gpc = policy(domain, &name, &computers, &sid, &mut done).await?;
        link(domain, &gpc, how, &mut done).await?;
    }
    let gpc = policy(domain, &how.name, &users, &group, &mut done).await?;
    link(domain, &gpc, how, &mut done).await?;
    Ok(done)
}

fn settings(how: &EnableHello) -> anyhow::Result<Vec<Change>> {
    let user = arguments::Half {
        user: true,
        computer: false,
    };
    let mut texts: Vec<String> = BASE.map(str::to_owned).to_vec();
    if how.require_tpm {
        texts.push("require-security-device=on".to_owned());
    }
    if let Some(length) = &how.min_pin_length {
        texts.push(format!("min-pin-length={length}"));
    }
    texts.extend(how.settings.iter().cloned());
    texts.iter().map(|text| Change::set(text, &user)).collect()
}

/// A policy with these settings that applies to one group only.
async fn policy(
    domain: &mut Domain,
    name: &str,
    settings: &[Change],
    group: &model::Sid,
    done: &mut Done,
) -> anyhow::Result<Gpc> {
    let (gpc, fresh) = edit::ensure(domain, name).await?;
    done.policy(&gpc);
    if fresh {
        done.note(format!("Made the group policy {name:?} {{{}}}.", gpc.guid));
    }
    for text in edit::change(domain, &gpc, settings).await? {
        done.note(format!("{name}: {text}."));
    }
    if scope::only_for(domain, &gpc, group).await? {
        let group = who::name(domain, group).await?;
        done.note(format!("{name}: applies to {group}."));
    }
    let gpc = domain.policy(&gpc.guid.to_string()).await?;
    done.warnings.extend(show::warnings(domain, &gpc).await?);
    Ok(gpc)
}

async fn link(
    domain: &Domain,
    gpc: &Gpc,
    how: &EnableHello,
    done: &mut Done,
) -> anyhow::Result<()> {
    if links::ensure(domain, gpc, &how.link).await? {
        done.note(format!("{}: linked to {}.", gpc.name(), how.link));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_computers_are_told_from_those_of_users() {
        let how = EnableHello {
            group: "g".to_owned(),
            link: "d".to_owned(),
            name: "n".to_owned(),
            require_tpm: true,
            min_pin_length: Some("8".to_owned()),
            settings: vec!["pin-history=5".to_owned()],
            computers: "c".to_owned(),
        };
        let settings = settings(&how).unwrap();
        let of = |half| {
            let of_half = settings.iter().filter(move |change| change.half == half);
            of_half.map(|change| change.setting.id).collect::<Vec<_>>()
        };
        assert_eq!(
            of(Half::User),
            ["use-hello", "no-provisioning-after-sign-in"]
        );
        assert_eq!(
            of(Half::Computer),
            ["require-security-device", "min-pin-length", "pin-history"]
        );
    }
}
