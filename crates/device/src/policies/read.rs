//! One reading of the domain's policies: links and objects by LDAP, their files by SMB.

use std::{
    collections::{BTreeMap, HashMap},
    ops,
};

use directory::{By, Directory};
use model::Guid;
use policy::gpo::{self, File, Files, Inputs, Wanted};
use sysvol::Sysvol;

use super::{Set, Subject, UNKNOWN_ACCOUNT};
use crate::{Error, daemon::Daemon, error::refused};

/// The files of objects, each with the version that both halves of the object agreed on.
#[derive(Default)]
pub(super) struct Cache(HashMap<Guid, (Wanted, Files)>);

/// What a reading cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Objects that were looked at.
    pub(crate) objects: u32,
    /// Objects whose files were fetched.
    pub(crate) fetched: u32,
}

impl ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.objects += other.objects;
        self.fetched += other.fetched;
    }
}

impl Daemon {
    /// Reads a subject's policies as the machine account.
    pub(super) async fn read_policies(
        &self,
        subject: &Subject,
        cache: &mut Cache,
    ) -> Result<(Set, Counts), Error> {
        let directory = self.directory().await?;
        let inputs = inputs(&directory, subject).await?;
        let mut counts = Counts {
            objects: inputs.gpcs.len() as u32,
            fetched: 0,
        };
        let files = files(&directory, &inputs.wanted(), cache, &mut counts).await?;
        let evaluation = gpo::evaluate(&inputs, &files);
        if let Some(failure) = evaluation.failures.first() {
            let more = match evaluation.failures.len() {
                1 => String::new(),
                count => format!(", and {} others are no better", count - 1),
            };
            return Err(refused(
                "policy_unreadable",
                format!(
                    "The group policy object {} applies and cannot be read: {}{more}.",
                    failure.gpo, failure.reason
                ),
            ));
        }
        Ok((Set::new(evaluation, directory.dc()), counts))
    }
}

async fn inputs(directory: &Directory, subject: &Subject) -> Result<Inputs, Error> {
    let computer = directory.own_computer().await?;
    let user = match subject {
        Subject::Computer => None,
        Subject::Person(sid) => {
            let user = directory.user(&By::Sid(sid.clone())).await?;
            Some(user.ok_or_else(|| {
                refused(UNKNOWN_ACCOUNT, "The domain has no account of that person.")
            })?)
        }
    };
    Ok(directory.gpo_inputs(&computer, user.as_ref()).await?)
}

/// The files of what is wanted: out of the cache where the object has not changed, else fetched.
async fn files(
    directory: &Directory,
    wanted: &[Wanted],
    cache: &mut Cache,
    counts: &mut Counts,
) -> Result<BTreeMap<Guid, Files>, Error> {
    let mut all = BTreeMap::new();
    let mut session = None;
    for wanted in wanted {
        if let Some((known, files)) = cache.0.get(&wanted.guid)
            && covers(known, wanted)
        {
            all.insert(wanted.guid, files.clone());
            continue;
        }
        let session = match &mut session {
            Some(session) => session,
            none => none.insert(sysvol(directory.dc()).await?),
        };
        let files = fetch(session, wanted).await;
        counts.fetched += 1;
        if is_settled(&files, wanted.version) {
            cache.0.insert(wanted.guid, (wanted.clone(), files.clone()));
        } else {
            cache.0.remove(&wanted.guid);
        }
        all.insert(wanted.guid, files);
    }
    Ok(all)
}

/// A session as the machine account, whose ticket-granting ticket the directory's connection left.
async fn sysvol(dc: &str) -> Result<Sysvol, Error> {
    let service = format!("cifs/{dc}");
    let ticket = tokio::task::spawn_blocking(move || {
        kerberos::Context::new()?
            .service_ticket(&service)?
            .marshal()
    });
    Ok(Sysvol::connect(dc, &ticket.await??).await?)
}

/// Is what was read for `known` all that `wanted` asks for?
fn covers(known: &Wanted, wanted: &Wanted) -> bool {
    (known.version, &known.path) == (wanted.version, &wanted.path)
        && (known.machine || !wanted.machine)
        && (known.user || !wanted.user)
}

/// Files may be kept where they are of the version that the directory names, which they are not
/// while the two replicate apart.
fn is_settled(files: &Files, version: u32) -> bool {
    let of_version = match &files.gpt_ini {
        File::Bytes(text) => {
            gpo::gpt_ini::parse(text).is_ok_and(|ini| ini.version == Some(version))
        }
        _ => false,
    };
    let failed = |file: &File| matches!(file, File::Failed(_));
    of_version && !failed(&files.machine) && !failed(&files.user)
}

/// Whatever cannot be read is a part of the answer: whether it matters, the evaluation says.
async fn fetch(session: &mut Sysvol, wanted: &Wanted) -> Files {
    let folder = match sysvol::folder(&wanted.path) {
        Ok(folder) => folder,
        Err(error) => {
            let failed = File::Failed(error.to_string());
            return Files {
                gpt_ini: failed.clone(),
                machine: failed.clone(),
                user: failed,
            };
        }
    };
    let mut files = Files {
        gpt_ini: file(session, &folder, "GPT.INI").await,
        ..Files::default()
    };
    if wanted.machine {
        files.machine = file(session, &folder, "Machine/Registry.pol").await;
    }
    if wanted.user {
        files.user = file(session, &folder, "User/Registry.pol").await;
    }
    files
}

async fn file(session: &mut Sysvol, folder: &str, name: &str) -> File {
    match session.read(&format!("{folder}/{name}")).await {
        Ok(content) => content.into(),
        Err(error) => File::Failed(error.to_string()),
    }
}
