//! The files of group policy objects, fetched again only where an object has changed.
//!
//! What cannot be read is a part of the answer: whether it matters, the evaluation says.

use std::{
    collections::{BTreeMap, HashMap},
    pin::pin,
};

use model::Guid;
use policy::gpo::{File, Files, Wanted, gpt_ini};

use crate::{Sysvol, child, folder};

/// The files of objects, each with the version that both halves of the object agreed on.
#[derive(Default)]
pub struct Cache(HashMap<Guid, (Wanted, Files)>);

/// What [`Cache::read`] brings.
pub struct Read {
    /// The files of each object.
    pub files: BTreeMap<Guid, Files>,
    /// How many objects' files were fetched.
    pub fetched: u32,
}

impl Cache {
    /// The files of what is wanted: out of the cache where the object has not changed, else through
    /// the session that `connect` comes to, which is not begun before it is needed.
    ///
    /// # Errors
    /// Those of `connect`.
    pub async fn read<E>(
        &mut self,
        wanted: &[Wanted],
        connect: impl Future<Output = Result<Sysvol, E>>,
    ) -> Result<Read, E> {
        let (mut files, mut fetched) = (BTreeMap::new(), 0);
        let mut connect = pin!(connect);
        let mut session = None;
        for wanted in wanted {
            if let Some((known, kept)) = self.0.get(&wanted.guid)
                && covers(known, wanted)
            {
                files.insert(wanted.guid, kept.clone());
                continue;
            }
            let session = match &mut session {
                Some(session) => session,
                none => none.insert(connect.as_mut().await?),
            };
            let fresh = fetch(session, wanted).await;
            fetched += 1;
            if is_settled(&fresh, wanted.version) {
                self.0.insert(wanted.guid, (wanted.clone(), fresh.clone()));
            } else {
                self.0.remove(&wanted.guid);
            }
            files.insert(wanted.guid, fresh);
        }
        Ok(Read { files, fetched })
    }
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
        File::Bytes(text) => gpt_ini::parse(text).is_ok_and(|ini| ini.version == Some(version)),
        _ => false,
    };
    let failed = |file: &File| matches!(file, File::Failed(_));
    of_version && !failed(&files.machine) && !failed(&files.user)
}

/// Fetches what is wanted of one object.
pub async fn fetch(session: &mut Sysvol, wanted: &Wanted) -> Files {
    let folder = match folder(&wanted.path) {
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
    match session.read(&child(folder, name)).await {
        Ok(content) => content.into(),
        Err(error) => File::Failed(error.to_string()),
    }
}
