//! Making, changing and removing policies.
//!
//! A policy is made in the directory first, with version 0, which every reader takes for empty and
//! which nothing is linked to; then its files. A change begins with the version in GPT.INI, goes
//! on with the settings, each file replaced in one step, and ends with version and extension names
//! in the directory, which is where readers look: a version in GPT.INI that the directory does not
//! have is the mark of a change that was not finished.

use anyhow::{Context, anyhow, bail};
use model::Guid;
use policy::gpo::{
    Gpc, Half, descriptor, dn, extensions, gplink, gpt_ini,
    registry_pol::{self, Entry},
};
use sysvol::{child, folder};

use super::{
    Domain, Done, arguments,
    change::Change,
    conflict,
    show::{self, pol_path},
};

/// The two policies that every domain has and that Windows relies on.
const BUILT_IN: [&str; 2] = [
    "31b2f340-016d-11d2-945f-00c04fb984f9",
    "6ac1786c-016f-11d2-945f-00c04fb984f9",
];

pub(super) async fn create(domain: &mut Domain, name: &str) -> anyhow::Result<Done> {
    let (gpc, fresh) = ensure(domain, name).await?;
    if !fresh {
        bail!("there is a group policy {name:?} already: {}", gpc.guid);
    }
    let mut done = Done::of(&gpc);
    done.note(format!("Made the group policy {name:?} {{{}}}.", gpc.guid));
    Ok(done)
}

/// The policy of that name, made or completed where that is needed; and whether it was.
pub(super) async fn ensure(domain: &mut Domain, name: &str) -> anyhow::Result<(Gpc, bool)> {
    let found = domain.find(name).await?;
    let guid = match &found {
        Some(gpc) => gpc.guid,
        None => {
            let mut random = [0; 16];
            getrandom::fill(&mut random).map_err(|error| anyhow!("no random numbers: {error}"))?;
            Guid::from_random(random)
        }
    };
    let whole = match &found {
        Some(gpc) => {
            let ini = child(&folder(&gpc.path)?, INI);
            domain.sysvol.read(&ini).await?.is_some()
        }
        None => false,
    };
    if let (Some(gpc), true) = (&found, whole) {
        return Ok((gpc.clone(), false));
    }
    domain.directory.add_gpo(guid, name).await?;
    let gpc = domain.policy(&guid.to_string()).await?;
    let folder = folder(&gpc.path)?;
    domain.sysvol.make_folder(&folder).await?;
    for half in [Half::Computer, Half::User] {
        domain
            .sysvol
            .make_folder(&child(&folder, half.folder()))
            .await?;
    }
    protect_files(domain, &gpc).await?;
    // Last: without it the policy counts as not made.
    let ini = child(&folder, INI);
    domain
        .sysvol
        .write(&ini, &gpt_ini::write(gpc.version))
        .await?;
    Ok((gpc, true))
}

/// Gives the policy's files the rights that its object has.
pub(super) async fn protect_files(domain: &mut Domain, gpc: &Gpc) -> anyhow::Result<()> {
    let rights = read_descriptor(gpc)?.for_sysvol().to_bytes();
    let folder = folder(&gpc.path)?;
    Ok(domain
        .sysvol
        .set_descriptor_of_tree(&folder, &rights)
        .await?)
}

pub(super) fn read_descriptor(gpc: &Gpc) -> anyhow::Result<descriptor::Descriptor> {
    let bytes = gpc
        .descriptor
        .as_deref()
        .context("the policy's rights may not be read with this ticket")?;
    Ok(descriptor::parse(bytes)?)
}

pub(super) async fn set(domain: &mut Domain, what: &arguments::Set) -> anyhow::Result<Done> {
    let read = |text: &String| Change::set(text, &what.half);
    let changes = what
        .settings
        .iter()
        .map(read)
        .collect::<Result<Vec<_>, _>>()?;
    change_and_tell(domain, &what.gpo, &changes).await
}

pub(super) async fn unset(domain: &mut Domain, what: &arguments::Unset) -> anyhow::Result<Done> {
    let read = |text: &String| Change::unset(text, &what.half);
    let changes = what
        .settings
        .iter()
        .map(read)
        .collect::<Result<Vec<_>, _>>()?;
    change_and_tell(domain, &what.gpo, &changes).await
}

async fn change_and_tell(
    domain: &mut Domain,
    name: &str,
    changes: &[Change],
) -> anyhow::Result<Done> {
    let gpc = domain.policy(name).await?;
    let mut done = Done::of(&gpc);
    for text in change(domain, &gpc, changes).await? {
        done.note(text);
    }
    done.warnings = show::warnings(domain, &domain.policy(&gpc.guid.to_string()).await?).await?;
    Ok(done)
}

/// Makes the changes; answers what was done, nothing where all was so before.
pub(super) async fn change(
    domain: &mut Domain,
    gpc: &Gpc,
    changes: &[Change],
) -> anyhow::Result<Vec<String>> {
    let folder = folder(&gpc.path)?;
    let ini_path = child(&folder, INI);
    let ini = domain.sysvol.read(&ini_path).await?.unwrap_or_default();
    let on_file = gpt_ini::parse(&ini)?.version.unwrap_or_default();
    let unfinished = on_file != gpc.version;

    let mut new = Gpc {
        version: newer(gpc.version, on_file),
        ..gpc.clone()
    };
    let mut files = Vec::new();
    for half in [Half::Computer, Half::User] {
        let path = pol_path(&folder, half);
        let before = entries(domain, &path).await?;
        let mut after = before.clone();
        let mut of_half = changes
            .iter()
            .filter(|change| change.half == half)
            .peekable();
        if of_half.peek().is_none() {
            continue;
        }
        of_half.for_each(|change| change.apply(&mut after));
        if after != before || unfinished {
            new.version = new.bumped(half);
            files.push((path, registry_pol::write(&after)?));
        }
        name_extension(&mut new, half, !after.is_empty());
    }
    if new == *gpc && files.is_empty() {
        return Ok(Vec::new());
    }
    let ini = gpt_ini::with_version(&ini, new.version)?;
    domain.sysvol.write(&ini_path, &ini).await?;
    for (path, content) in files {
        let (parent, _) = path.rsplit_once('/').context("a file without a folder")?;
        domain.sysvol.make_folder(parent).await?;
        domain.sysvol.write(&path, &content).await?;
    }
    let advanced = domain.directory.advance_gpo(gpc, &new).await;
    advanced.map_err(conflict)?;
    Ok(changes.iter().map(Change::describe).collect())
}

/// The later version of each half.
fn newer(one: u32, other: u32) -> u32 {
    let user = (one >> 16).max(other >> 16);
    let computer = (one & 0xffff).max(other & 0xffff);
    user << 16 | computer
}

/// Names the registry extension in the list of a half that has settings, and in no other.
fn name_extension(gpc: &mut Gpc, half: Half, has_settings: bool) {
    let (list, tool) = match half {
        Half::Computer => (&mut gpc.machine_extensions, extensions::COMPUTER_TOOL),
        Half::User => (&mut gpc.user_extensions, extensions::USER_TOOL),
    };
    *list = if has_settings {
        extensions::insert(list, extensions::REGISTRY, tool)
    } else {
        extensions::remove(list, extensions::REGISTRY)
    };
}

pub(super) async fn entries(domain: &mut Domain, path: &str) -> anyhow::Result<Vec<Entry>> {
    match domain.sysvol.read(path).await? {
        Some(content) => registry_pol::parse(&content).with_context(|| path.to_owned()),
        None => Ok(Vec::new()),
    }
}

/// Removes links, files and object in this order: as long as the object is there, the same command
/// finds what is left.
pub(super) async fn delete(domain: &mut Domain, name: &str) -> anyhow::Result<Done> {
    let gpc = domain.policy(name).await?;
    if BUILT_IN.contains(&gpc.guid.to_string().as_str()) {
        bail!(
            "{} is one of the policies that every domain has",
            gpc.name()
        );
    }
    let mut done = Done::of(&gpc);
    for place in domain.directory.places_of(&gpc.dn).await? {
        let mut links = gplink::parse(&place.links)?;
        links.retain(|link| !dn::same(&link.dn, &gpc.dn));
        domain
            .directory
            .set_links(&place, &gplink::write(&links))
            .await
            .map_err(conflict)?;
        done.note(format!("Unlinked it from {}.", place.dn));
    }
    domain.sysvol.remove_tree(&folder(&gpc.path)?).await?;
    domain.directory.delete_gpo(&gpc.dn).await?;
    done.note(format!("Removed the group policy {:?}.", gpc.name()));
    Ok(done)
}

const INI: &str = "GPT.INI";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_version_of_each_half_counts() {
        assert_eq!(newer(0x0002_0001, 0x0001_0003), 0x0002_0003);
    }
}
