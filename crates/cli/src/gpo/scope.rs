//! Who may read a policy and to whom it applies.
//!
//! Whoever the directory lets apply a policy must be able to read its files, or his refresh would
//! fail: rights are given on the files first and taken from them last.

use anyhow::{Context, bail};
use directory::Principal;
use policy::gpo::{
    Gpc,
    descriptor::{APPLY_GROUP_POLICY, Ace, Descriptor},
};
use serde::Serialize;

use super::{
    Domain, Done,
    arguments::{Delegation, FilterAdd, Whom},
    edit::{protect_files, read_descriptor},
    show,
    who::{self, AUTHENTICATED_USERS},
};

/// What `delegation` answers.
pub(super) enum Answer {
    Done(Done),
    Rights(Vec<Right>),
}

/// One entry of a policy's access control list.
#[derive(Serialize)]
pub(super) struct Right {
    who: String,
    right: &'static str,
    allowed: bool,
}

/// Reading the object, its properties and what is in it.
const READ: u32 = 0x0002_0094;
const WRITE: u32 = 0x20;
/// Reading, writing properties, making and deleting what is in it.
const EDIT: u32 = READ | WRITE | 0x3;
/// Allow, and deny; the same about one right.
const KINDS: [(u8, bool); 4] = [(0, true), (1, false), (5, true), (6, false)];
const ALLOW: u8 = 0;
const CONTAINER_INHERIT: u8 = 2;

pub(super) async fn filter_add(domain: &mut Domain, how: &FilterAdd) -> anyhow::Result<Done> {
    let whom = &how.whom;
    let gpc = domain.policy(&whom.gpo).await?;
    let mut done = Done::of(&gpc);
    let sid = who::sid(domain, &whom.group).await?;
    if how.keep_everybody {
        let changed = change(domain, &gpc, |rights| {
            rights.allow_apply(&sid);
        });
        if changed.await? {
            done.note(format!("It applies to {} too.", whom.group));
        }
    } else if only_for(domain, &gpc, &sid).await? {
        done.note(format!(
            "It applies to {}, no longer to every authenticated user, who can still read it.",
            whom.group
        ));
    }
    tell_traps(domain, &gpc, done).await
}

/// Lets the policy apply to `sid`, and to Authenticated Users no longer; answers whether that was a
/// change.
pub(super) async fn only_for(
    domain: &mut Domain,
    gpc: &Gpc,
    sid: &model::Sid,
) -> anyhow::Result<bool> {
    let everybody = AUTHENTICATED_USERS.parse()?;
    change(domain, gpc, |rights| {
        rights.allow_apply(sid);
        if *sid != everybody {
            rights.disallow_apply(&everybody);
        }
    })
    .await
}

pub(super) async fn filter_remove(domain: &mut Domain, whom: &Whom) -> anyhow::Result<Done> {
    let gpc = domain.policy(&whom.gpo).await?;
    let mut done = Done::of(&gpc);
    let sid = who::sid(domain, &whom.group).await?;
    let changed = change(domain, &gpc, |rights| {
        rights.disallow_apply(&sid);
    });
    if changed.await? {
        done.note(format!("It no longer applies to {}.", whom.group));
    }
    tell_traps(domain, &gpc, done).await
}

pub(super) async fn delegation(domain: &mut Domain, how: Delegation) -> anyhow::Result<Answer> {
    let (whom, granted) = match how {
        Delegation::Show { gpo } => {
            let gpc = domain.policy(&gpo).await?;
            return rights(domain, &gpc).await.map(Answer::Rights);
        }
        Delegation::AddRead(whom) => (whom, Some((READ, "can read it"))),
        Delegation::AddEdit(whom) => (whom, Some((EDIT, "can read and change it"))),
        Delegation::Remove(whom) => (whom, None),
    };
    let gpc = domain.policy(&whom.gpo).await?;
    let sid = who::sid(domain, &whom.group).await?;
    let changed = change(domain, &gpc, |rights| match granted {
        Some((mask, _)) => grant(rights, &sid, mask),
        None => {
            rights.remove_trustee(&sid);
        }
    });
    let mut done = Done::of(&gpc);
    if changed.await? {
        let now = granted.map_or("has no rights on it", |(_, can)| can);
        done.note(format!("{} {now}.", whom.group));
    }
    tell_traps(domain, &gpc, done).await.map(Answer::Done)
}

/// Gives `sid` the rights of `mask`, on the object and all that is in it.
fn grant(rights: &mut Descriptor, sid: &model::Sid, mask: u32) {
    let entry = Ace {
        kind: ALLOW,
        flags: CONTAINER_INHERIT,
        mask,
        object_type: None,
        inherited_type: None,
        sid: sid.clone(),
        rest: Vec::new(),
    };
    if let Some(dacl) = &mut rights.dacl
        && !dacl.aces.contains(&entry)
    {
        dacl.aces.push(entry);
    }
}

async fn tell_traps(domain: &mut Domain, gpc: &Gpc, mut done: Done) -> anyhow::Result<Done> {
    let gpc = domain.policy(&gpc.guid.to_string()).await?;
    done.warnings = show::warnings(domain, &gpc).await?;
    Ok(done)
}

/// Changes the rights on object and files; answers whether the object's changed. The files' are
/// written in any case: an earlier change may have died between the two.
async fn change(
    domain: &mut Domain,
    gpc: &Gpc,
    how: impl FnOnce(&mut Descriptor),
) -> anyhow::Result<bool> {
    let before = read_descriptor(gpc)?;
    let mut after = before.clone();
    how(&mut after);
    let mut fresh = gpc.clone();
    fresh.descriptor = Some(after.to_bytes());
    let takes = before
        .for_sysvol()
        .dacl
        .zip(after.for_sysvol().dacl)
        .is_some_and(|(before, after)| before.aces.iter().any(|ace| !after.aces.contains(ace)));
    if !takes {
        protect_files(domain, &fresh).await?;
    }
    let changed = after != before;
    if changed {
        domain
            .directory
            .set_descriptor(&gpc.dn, &after.to_bytes())
            .await?;
    }
    if takes {
        protect_files(domain, &fresh).await?;
    }
    Ok(changed)
}

/// Who has which rights on a policy.
pub(super) async fn rights(domain: &Domain, gpc: &Gpc) -> anyhow::Result<Vec<Right>> {
    let mut rights = Vec::new();
    let apply = APPLY_GROUP_POLICY.parse().ok();
    for ace in read_descriptor(gpc)?.dacl.iter().flat_map(|d| &d.aces) {
        let Some((_, allowed)) = KINDS.iter().find(|(kind, _)| *kind == ace.kind) else {
            continue;
        };
        let right = if ace.object_type.is_some() {
            if ace.object_type != apply {
                continue;
            }
            "apply"
        } else if ace.mask & WRITE != 0 {
            "edit"
        } else if ace.mask & READ == READ {
            "read"
        } else {
            "other"
        };
        rights.push(Right {
            who: who::name(domain, &ace.sid).await?,
            right,
            allowed: *allowed,
        });
    }
    Ok(rights)
}

pub(super) fn describe(rights: &[Right]) -> String {
    let line = |right: &Right| {
        let denied = if right.allowed { "" } else { " (denied)" };
        format!("{:5} {}{denied}", right.right, right.who)
    };
    rights.iter().map(line).collect::<Vec<_>>().join("\n")
}

pub(super) async fn add_members(
    domain: &Domain,
    group: &str,
    names: &[String],
) -> anyhow::Result<Done> {
    let group = principal(domain, group).await?;
    if !group.group {
        bail!("{} is not a group", group.account);
    }
    let mut done = Done::default();
    for name in names {
        let member = principal(domain, name).await?;
        if domain.directory.add_member(&group, &member).await? {
            done.note(format!(
                "{} is a member of {}.",
                member.account, group.account
            ));
        }
    }
    Ok(done)
}

pub(super) async fn principal(domain: &Domain, name: &str) -> anyhow::Result<Principal> {
    let found = domain.directory.principal(name).await?;
    found.with_context(|| format!("there is no user, computer or group {name:?}"))
}
