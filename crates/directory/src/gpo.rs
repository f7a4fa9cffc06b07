//! Group policy as the directory has it: which policies are linked where, and for whom.
//!
//! A search that asks for a descriptor gets owner, group and DACL: who is no administrator would
//! get nothing at all together with the SACL (MS-ADTS 3.1.1.3.4.1.11).

use std::collections::BTreeSet;

use model::{Guid, Sid};
use policy::gpo::{Gpc, Inputs, Som, Target, dn, linked, som_dns};

use crate::{
    Computer, Directory, Error, User,
    entry::Entry,
    filter::Filter,
    message::{Scope, Search},
    netlogon,
};

const GPC: &[&str] = &[
    "cn",
    "displayName",
    "gPCFileSysPath",
    "versionNumber",
    "flags",
    "gPCFunctionalityVersion",
    "gPCMachineExtensionNames",
    "gPCUserExtensionNames",
    "gPCWQLFilter",
    "nTSecurityDescriptor",
];
const SOM: &[&str] = &["gPLink", "gPOptions"];
const TOKEN: &[&str] = &["tokenGroups", "primaryGroupID"];
/// DNs that one search asks for.
const BATCH: usize = 100;

impl Directory {
    /// Everything of the directory that decides which policies apply to a computer, and to a user
    /// on it. A linked policy that the bound account may not see is left out.
    pub async fn gpo_inputs(
        &self,
        computer: &Computer,
        user: Option<&User>,
    ) -> Result<Inputs, Error> {
        let site = self.site().await?;
        let mut places = som_dns(&computer.dn, site.as_deref());
        if let Some(user) = user {
            places.extend(som_dns(&user.dn, None));
        }
        let soms = self.soms(&places).await?;
        let policies = linked(&soms).map_err(|_| Error::Malformed("a gPLink"))?;
        let gpcs = self.gpcs(&policies).await?;
        let user = match user {
            Some(user) => Some(self.target(&user.dn, &user.sid).await?),
            None => None,
        };
        Ok(Inputs {
            gpcs,
            soms,
            site,
            computer: self.target(&computer.dn, &computer.sid).await?,
            user,
        })
    }

    /// All policies of the domain.
    pub async fn gpos(&self) -> Result<Vec<Gpc>, Error> {
        let filter = Filter::equal("objectClass", "groupPolicyContainer");
        let found = self
            .all(&search(&self.policies(), Scope::Children, &filter, GPC))
            .await?;
        Ok(found.iter().filter_map(gpc).collect())
    }

    /// One policy.
    pub async fn gpo(&self, guid: Guid) -> Result<Option<Gpc>, Error> {
        let filter = Filter::Present("objectClass");
        let found = self
            .one(&search(&self.gpo_dn(guid), Scope::Base, &filter, GPC))
            .await?;
        Ok(found.as_ref().and_then(gpc))
    }

    /// What is linked to a domain, organizational unit or site; `None` where there is none.
    pub async fn som(&self, dn: &str) -> Result<Option<Som>, Error> {
        let filter = Filter::Present("objectClass");
        let found = self.one(&search(dn, Scope::Base, &filter, SOM)).await?;
        Ok(found.as_ref().map(som))
    }

    /// Every place of the domain and its forest's sites that a policy is linked to.
    pub async fn places_of(&self, policy: &str) -> Result<Vec<Som>, Error> {
        let filter = Filter::Present("gPLink");
        let mut places = Vec::new();
        for base in [self.domain().dn.clone(), self.sites()] {
            let found = self
                .all(&search(&base, Scope::Subtree, &filter, SOM))
                .await?;
            places.extend(found.iter().map(som));
        }
        places.retain(|place| {
            let links = policy::gpo::gplink::parse(&place.links).unwrap_or_default();
            links.iter().any(|link| dn::same(&link.dn, policy))
        });
        Ok(places)
    }

    /// The DN of a policy of this domain.
    pub fn gpo_dn(&self, guid: Guid) -> String {
        format!("CN={},{}", braced(guid), self.policies())
    }

    fn policies(&self) -> String {
        format!("CN=Policies,CN=System,{}", self.domain().dn)
    }

    fn sites(&self) -> String {
        format!("CN=Sites,{}", self.domain().configuration)
    }

    /// The DN of the site that the domain controller sees this host in.
    async fn site(&self) -> Result<Option<String>, Error> {
        let filter = Filter::And(vec![
            Filter::equal("DnsDomain", self.domain().dns_name.as_bytes()),
            Filter::equal("NtVer", netlogon::VERSION.to_le_bytes()),
        ]);
        let root = self
            .one(&search("", Scope::Base, &filter, &["Netlogon"]))
            .await?;
        let answer = root.as_ref().and_then(|root| root.value("Netlogon"));
        let site = answer.and_then(netlogon::answer);
        let site = site.and_then(|answer| answer.client_site);
        Ok(site.map(|site| format!("CN={site},{}", self.sites())))
    }

    async fn soms(&self, places: &[String]) -> Result<Vec<Som>, Error> {
        let found = self.by_dn(places, SOM).await?;
        Ok(found.iter().map(som).collect())
    }

    async fn gpcs(&self, policies: &[String]) -> Result<Vec<Gpc>, Error> {
        let found = self.by_dn(policies, GPC).await?;
        Ok(found.iter().filter_map(gpc).collect())
    }

    /// The entries that have these DNs, as far as this domain controller has them.
    async fn by_dn(
        &self,
        wanted: &[String],
        attributes: &'static [&'static str],
    ) -> Result<Vec<Entry>, Error> {
        let wanted: BTreeSet<&String> = wanted.iter().collect();
        let configuration = self.domain().configuration.to_lowercase();
        let (forest, domain): (Vec<&String>, Vec<&String>) = wanted
            .into_iter()
            .partition(|dn| dn.to_lowercase().ends_with(&configuration));
        let mut found = Vec::new();
        for (base, dns) in [
            (&self.domain().dn, domain),
            (&self.domain().configuration, forest),
        ] {
            for batch in dns.chunks(BATCH) {
                let named = |dn: &&String| Filter::equal("distinguishedName", dn.as_bytes());
                let filter = Filter::Or(batch.iter().map(named).collect());
                found.extend(
                    self.all(&search(base, Scope::Subtree, &filter, attributes))
                        .await?,
                );
            }
        }
        Ok(found)
    }

    /// An account with all its groups. They are computed for a search of the account itself only.
    async fn target(&self, dn: &str, sid: &Sid) -> Result<Target, Error> {
        let filter = Filter::Present("objectClass");
        let entry = self
            .one(&search(dn, Scope::Base, &filter, TOKEN))
            .await?
            .ok_or(Error::Missing("an account that was just there"))?;
        let groups = entry.values("tokenGroups").iter();
        let mut groups: Vec<Sid> = groups.filter_map(|sid| Sid::from_bytes(sid).ok()).collect();
        if groups.is_empty() {
            return Err(Error::Missing("tokenGroups: may the computer read it?"));
        }
        let primary = entry.text("primaryGroupID");
        let primary = primary.and_then(|rid| format!("{}-{rid}", self.domain().sid).parse().ok());
        groups.extend(primary.filter(|primary| !groups.contains(primary)));
        Ok(Target::new(dn.to_owned(), sid.clone(), groups))
    }
}

pub(crate) fn search<'a>(
    base: &'a str,
    scope: Scope,
    filter: &'a Filter,
    attributes: &'a [&'a str],
) -> Search<'a> {
    Search {
        base,
        scope,
        filter,
        attributes,
        page: None,
        extended_dn: false,
    }
}

/// A GUID as names of policies have it.
pub(crate) fn braced(guid: Guid) -> String {
    format!("{{{}}}", guid.to_string().to_uppercase())
}

/// A policy; `None`, with a warning, for what is none.
fn gpc(entry: &Entry) -> Option<Gpc> {
    let text = |name| entry.text(name).unwrap_or_default().to_owned();
    let Ok(guid) = text("cn").parse() else {
        tracing::warn!(dn = %entry.dn, "not the name of a policy; left out");
        return None;
    };
    Some(Gpc {
        dn: entry.dn.clone(),
        guid,
        display_name: entry.text("displayName").map(str::to_owned),
        path: text("gPCFileSysPath"),
        version: entry.flags("versionNumber"),
        flags: entry.flags("flags"),
        functionality: entry.flags("gPCFunctionalityVersion"),
        machine_extensions: text("gPCMachineExtensionNames"),
        user_extensions: text("gPCUserExtensionNames"),
        wql_filter: entry.text("gPCWQLFilter").map(str::to_owned),
        descriptor: entry.value("nTSecurityDescriptor").map(<[u8]>::to_vec),
    })
}

fn som(entry: &Entry) -> Som {
    Som {
        dn: entry.dn.clone(),
        links: entry.text("gPLink").unwrap_or_default().to_owned(),
        options: entry.flags("gPOptions"),
    }
}
