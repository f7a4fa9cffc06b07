//! Where policies are linked, and in which order: the last of a place's links is the strongest, and
//! is link order 1 to administrators.

use anyhow::{Context, bail};
use policy::gpo::{
    Gpc, Som, dn,
    gplink::{self, Link},
};

use super::{Domain, Done, arguments, conflict};

const DISABLED: u32 = 1;
const ENFORCED: u32 = 2;

/// A policy, a place, and what is linked there.
struct Linked {
    gpc: Gpc,
    place: Som,
    links: Vec<Link>,
}

pub(super) async fn link(domain: &Domain, how: &arguments::Link) -> anyhow::Result<Done> {
    let at = Linked::find(domain, &how.at).await?;
    let mut options = 0;
    if how.disabled {
        options |= DISABLED;
    }
    if how.enforced {
        options |= ENFORCED;
    }
    let mut done = Done::of(&at.gpc);
    if at.ensure(domain, options).await? {
        done.note(format!("Linked {} to {}.", at.gpc.name(), at.place.dn));
    }
    Ok(done)
}

/// Links a policy that is not linked there yet, as the weakest; answers whether it was not.
pub(super) async fn ensure(domain: &Domain, gpc: &Gpc, place: &str) -> anyhow::Result<bool> {
    let at = arguments::At {
        gpo: gpc.guid.to_string(),
        place: place.to_owned(),
    };
    Linked::find(domain, &at).await?.ensure(domain, 0).await
}

pub(super) async fn unlink(domain: &Domain, at: &arguments::At) -> anyhow::Result<Done> {
    let at = Linked::find(domain, at).await?;
    let mut left = at.links.clone();
    left.retain(|link| !dn::same(&link.dn, &at.gpc.dn));
    let mut done = Done::of(&at.gpc);
    if left.len() != at.links.len() {
        at.write(domain, &left).await?;
        done.note(format!("Unlinked {} from {}.", at.gpc.name(), at.place.dn));
    }
    Ok(done)
}

pub(super) async fn order(domain: &Domain, how: &arguments::Order) -> anyhow::Result<Done> {
    let at = Linked::find(domain, &how.at).await?;
    let mut links = at.links.clone();
    let from = at.position()?;
    let link = links.remove(from);
    let to = links.len().saturating_sub(how.order as usize - 1);
    links.insert(to, link);
    let mut done = Done::of(&at.gpc);
    if to != from {
        at.write(domain, &links).await?;
    }
    done.note(format!(
        "{} has link order {} at {}.",
        at.gpc.name(),
        links.len() - to,
        at.place.dn
    ));
    Ok(done)
}

pub(super) async fn enforce(domain: &Domain, how: &arguments::Enforce) -> anyhow::Result<Done> {
    let at = Linked::find(domain, &how.at).await?;
    at.position()?;
    let mut links = at.links.clone();
    for link in links
        .iter_mut()
        .filter(|link| dn::same(&link.dn, &at.gpc.dn))
    {
        link.options = match how.off {
            true => link.options & !ENFORCED,
            false => link.options | ENFORCED,
        };
    }
    let mut done = Done::of(&at.gpc);
    if links != at.links {
        at.write(domain, &links).await?;
        let state = if how.off {
            "no longer enforced"
        } else {
            "enforced"
        };
        done.note(format!("{} is {state} at {}.", at.gpc.name(), at.place.dn));
    }
    Ok(done)
}

impl Linked {
    async fn find(domain: &Domain, at: &arguments::At) -> anyhow::Result<Self> {
        let gpc = domain.policy(&at.gpo).await?;
        let known = domain.directory.domain();
        let is_domain = [&known.dns_name, &known.netbios_name]
            .iter()
            .any(|name| name.eq_ignore_ascii_case(&at.place));
        let place = if is_domain { &known.dn } else { &at.place };
        let place = domain.directory.som(place).await;
        let place = place.ok().flatten().with_context(|| {
            format!(
                "there is no domain, organizational unit or site {:?}",
                at.place
            )
        })?;
        let links = gplink::parse(&place.links)?;
        Ok(Self { gpc, place, links })
    }

    fn position(&self) -> anyhow::Result<usize> {
        let found = self
            .links
            .iter()
            .position(|link| dn::same(&link.dn, &self.gpc.dn));
        match found {
            Some(at) => Ok(at),
            None => bail!("{} is not linked to {}", self.gpc.name(), self.place.dn),
        }
    }

    async fn ensure(&self, domain: &Domain, options: u32) -> anyhow::Result<bool> {
        if self.position().is_ok() {
            return Ok(false);
        }
        let link = Link {
            dn: self.gpc.dn.clone(),
            options,
        };
        let links: Vec<Link> = [link].into_iter().chain(self.links.clone()).collect();
        self.write(domain, &links).await?;
        Ok(true)
    }

    async fn write(&self, domain: &Domain, links: &[Link]) -> anyhow::Result<()> {
        let text = gplink::write(links);
        let written = domain.directory.set_links(&self.place, &text).await;
        written.map_err(conflict)
    }
}
