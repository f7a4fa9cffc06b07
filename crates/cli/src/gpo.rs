//! `latchkey gpo`: group policies made, filtered, linked and shown with an administrator's ticket.
//!
//! *What must hold.* A reader never meets a half-made policy: what makes it visible is written
//! last. Both access control lists are always written, the file's made from the directory's. Each
//! command brings what it finds to what it shall be, so that after a crash the same command again
//! finishes the work.

pub(crate) mod arguments;
mod change;
mod edit;
mod evaluate;
mod hello;
mod links;
mod scope;
mod show;
mod templates;
mod who;

use anyhow::{Context, bail};
use directory::Directory;
use model::Guid;
use policy::gpo::Gpc;
use serde::Serialize;
use sysvol::Sysvol;
use tokio::{runtime::Builder, task::spawn_blocking};

use crate::output::Output;
use arguments::{Filter, Gpo, Members};

/// The domain as an administrator reaches it: both doors of one domain controller.
struct Domain {
    directory: Directory,
    sysvol: Sysvol,
}

/// What a command did.
#[derive(Default, Serialize)]
struct Done {
    /// The policies that were made or changed.
    policies: Vec<Named>,
    done: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Named {
    name: String,
    guid: Guid,
}

pub(crate) fn run(command: Gpo, output: &Output) -> anyhow::Result<()> {
    if let Gpo::Evaluate(how) = &command
        && let (Some(ldif), Some(sysvol)) = (&how.ldif, &how.sysvol)
    {
        return evaluate::copies(ldif, sysvol, how, output);
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut domain = Domain::connect().await?;
        work(&mut domain, command, output).await
    })
}

async fn work(domain: &mut Domain, command: Gpo, output: &Output) -> anyhow::Result<()> {
    let done = match command {
        Gpo::Create { name } => edit::create(domain, &name).await?,
        Gpo::Set(what) => edit::set(domain, &what).await?,
        Gpo::Unset(what) => edit::unset(domain, &what).await?,
        Gpo::Filter(Filter::Add(whom)) => scope::filter_add(domain, &whom).await?,
        Gpo::Filter(Filter::Remove(whom)) => scope::filter_remove(domain, &whom).await?,
        Gpo::Delegation(how) => match scope::delegation(domain, how).await? {
            scope::Answer::Done(done) => done,
            scope::Answer::Rights(rights) => {
                return output.result(&rights, || scope::describe(&rights));
            }
        },
        Gpo::Link(how) => links::link(domain, &how).await?,
        Gpo::Unlink(at) => links::unlink(domain, &at).await?,
        Gpo::Order(how) => links::order(domain, &how).await?,
        Gpo::Enforce(how) => links::enforce(domain, &how).await?,
        Gpo::Show { gpo } => return show::show(domain, gpo.as_deref(), output).await,
        Gpo::Report { gpo } => return show::report(domain, gpo.as_deref(), output).await,
        Gpo::Members(Members::Add { group, names }) => {
            scope::add_members(domain, &group, &names).await?
        }
        Gpo::Delete { gpo } => edit::delete(domain, &gpo).await?,
        Gpo::InstallTemplates { make_store } => templates::install(domain, make_store).await?,
        Gpo::EnableHello(how) => hello::enable(domain, &how).await?,
        Gpo::Evaluate(how) => return evaluate::live(domain, &how, output).await,
    };
    output.result(&done, || done.describe())
}

impl Domain {
    /// Connects with the ticket in the default credential cache, to one domain controller of the
    /// ticket's realm.
    async fn connect() -> anyhow::Result<Self> {
        let owner = spawn_blocking(|| kerberos::Context::new()?.owner()).await?;
        let owner = owner.context("there is no ticket; get one with kinit as an administrator")?;
        let (_, realm) = owner.rsplit_once('@').context("a ticket without a realm")?;
        let directory = Directory::connect(realm, None).await?;
        let service = format!("cifs/{}", directory.dc());
        let ticket = spawn_blocking(move || {
            kerberos::Context::new()?
                .service_ticket(&service)?
                .marshal()
        });
        let sysvol = Sysvol::connect(directory.dc(), &ticket.await??).await?;
        Ok(Self { directory, sysvol })
    }

    /// The policy of that display name or GUID.
    async fn policy(&self, name: &str) -> anyhow::Result<Gpc> {
        self.find(name)
            .await?
            .with_context(|| format!("there is no group policy {name:?}"))
    }

    async fn find(&self, name: &str) -> anyhow::Result<Option<Gpc>> {
        if let Ok(guid) = name.parse() {
            return Ok(self.directory.gpo(guid).await?);
        }
        let mut found = self.directory.gpos().await?;
        found.retain(|gpc| {
            let shown = gpc.display_name.as_deref().unwrap_or_default();
            shown.to_lowercase() == name.to_lowercase()
        });
        if found.len() > 1 {
            let guids: Vec<String> = found.iter().map(|gpc| gpc.guid.to_string()).collect();
            bail!(
                "{name:?} is the name of several policies; name one by its GUID: {}",
                guids.join(", ")
            );
        }
        Ok(found.pop())
    }
}

/// A change that the domain controller refused because what it was to change was no longer so.
fn conflict(error: directory::Error) -> anyhow::Error {
    const NO_SUCH_ATTRIBUTE: u32 = 16;
    const VALUE_EXISTS: u32 = 20;
    let code = match &error {
        directory::Error::Refused { code, .. } => *code,
        _ => 0,
    };
    let error = anyhow::Error::from(error);
    if matches!(code, NO_SUCH_ATTRIBUTE | VALUE_EXISTS) {
        return error.context("somebody else changed it at the same time; try again");
    }
    error
}

impl Done {
    fn of(gpc: &Gpc) -> Self {
        let mut done = Self::default();
        done.policy(gpc);
        done
    }

    fn policy(&mut self, gpc: &Gpc) {
        self.policies.push(Named {
            name: gpc.name(),
            guid: gpc.guid,
        });
    }

    fn note(&mut self, text: impl Into<String>) {
        self.done.push(text.into());
    }

    fn describe(&self) -> String {
        let warnings = self.warnings.iter().map(|text| format!("Warning: {text}"));
        let mut lines: Vec<String> = self.done.iter().cloned().chain(warnings).collect();
        if lines.is_empty() {
            lines.push("Nothing to do.".to_owned());
        }
        lines.join("\n")
    }
}
