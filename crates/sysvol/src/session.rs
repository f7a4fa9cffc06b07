//! One session to the share, and what is done in it.

use std::time::Duration;

use crate::{
    Error,
    path::{SHARE, checked},
    security, ticket,
};
use smb2::{
    ErrorKind, KerberosCredentials, RenameOptions, Session,
    client::{Connection, Tree},
    types::Dialect,
};

const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(30);
/// No file of a policy that a device looks at is near this size.
const LARGEST: u64 = 16 * 1024 * 1024;
/// What a single READ may ask for without paying more than one credit (MS-SMB2 3.1.5.2).
const SMALL: u64 = 64 * 1024;

/// One signed session to the SYSVOL share of one domain controller, as the owner of a ticket.
pub struct Sysvol {
    connection: Connection,
    tree: Tree,
}

/// What a folder holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Whether it is a folder.
    pub folder: bool,
}

impl Sysvol {
    /// Connects to the domain controller `host`, which is that of the LDAP connection, with a
    /// ticket for `cifs/host` as libkrb5 marshals it.
    pub async fn connect(host: &str, ticket: &[u8]) -> Result<Self, Error> {
        let cache = ticket::read(ticket)?;
        let unreachable = |error: smb2::Error| Error::Unreachable(format!("{host}: {error}"));
        let mut connection = Connection::connect(&format!("{host}:445"), CONNECT)
            .await
            .map_err(unreachable)?;
        connection.set_response_timeout(Some(ANSWER));
        connection.negotiate().await.map_err(unreachable)?;
        let dialect = connection.params().map(|agreed| agreed.dialect);
        if dialect != Some(Dialect::Smb3_1_1) {
            return Err(Error::NotTrusted(format!(
                "{host} does not offer SMB 3.1.1"
            )));
        }
        let owner = cache.default_principal.clone();
        let server = cache.credentials.first().map(|ticket| &ticket.server.realm);
        let credentials = KerberosCredentials {
            username: owner.components.join("/"),
            password: String::new(),
            realm: server.cloned().unwrap_or_default(),
            kdc_address: String::new(),
        };
        let session =
            Session::setup_kerberos_from_ccache(&mut connection, &credentials, host, &cache)
                .await
                .map_err(|error| Error::NotTrusted(format!("{host}: {error}")))?;
        if !session.should_sign {
            return Err(Error::NotTrusted(format!("{host} would not sign")));
        }
        let tree = Tree::connect(&mut connection, SHARE)
            .await
            .map_err(|error| sort(SHARE, error))?;
        Ok(Self { connection, tree })
    }

    /// A file's content; `None` where there is no such file.
    pub async fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = checked(path)?;
        let Self { connection, tree } = self;
        // Nearly every file is small and comes in one round trip.
        let small = tree.read_file_compound_sized(connection, path, SMALL);
        let read = match small.await {
            Err(error) if error.kind() == ErrorKind::TooLarge => {
                let found = tree.stat(connection, path).await;
                if found.map_err(|error| sort(path, error))?.size > LARGEST {
                    return Err(Error::TooLarge(path.to_owned()));
                }
                tree.read_file_pipelined(connection, path).await
            }
            read => read,
        };
        match read {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(sort(path, error)),
        }
    }

    /// What a folder holds; `None` where there is no such folder.
    pub async fn list(&mut self, path: &str) -> Result<Option<Vec<Found>>, Error> {
        let path = checked(path)?;
        let Self { connection, tree } = self;
        match tree.list_directory(connection, path).await {
            Ok(found) => Ok(Some(
                found
                    .into_iter()
                    .filter(|entry| entry.name != "." && entry.name != "..")
                    .map(|entry| Found {
                        name: entry.name,
                        folder: entry.is_directory,
                    })
                    .collect(),
            )),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(sort(path, error)),
        }
    }

    /// Writes a file, so that a reader has either the old content or the new: under another name
    /// first, then renamed over it.
    pub async fn write(&mut self, path: &str, content: &[u8]) -> Result<(), Error> {
        let path = checked(path)?;
        let Self { connection, tree } = self;
        let fresh = format!("{path}.new");
        tree.write_file(connection, &fresh, content)
            .await
            .map_err(|error| sort(path, error))?;
        let over = RenameOptions::new().replace_if_exists(true);
        let renamed = tree.rename_with(connection, &fresh, path, over).await;
        if renamed.is_err() {
            // The rename's error is the one to tell; a leftover is written over by the next try.
            let _ = tree.delete_file(connection, &fresh).await;
        }
        renamed.map_err(|error| sort(path, error))
    }

    /// Makes a folder; one that is there already is no error.
    pub async fn make_folder(&mut self, path: &str) -> Result<(), Error> {
        let path = checked(path)?;
        match self.tree.create_directory(&mut self.connection, path).await {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(sort(path, error)),
            _ => Ok(()),
        }
    }

    /// Removes a folder and everything in it; one that is not there is no error.
    pub async fn remove_tree(&mut self, path: &str) -> Result<(), Error> {
        // Folders are met before what is in them; the other way round they can be removed.
        let mut folders = vec![checked(path)?.to_owned()];
        let mut at = 0;
        while let Some(folder) = folders.get(at).cloned() {
            at += 1;
            for found in self.list(&folder).await?.unwrap_or_default() {
                let path = crate::child(&folder, &found.name);
                if found.folder {
                    folders.push(path);
                } else {
                    let gone = self.tree.delete_file(&mut self.connection, &path).await;
                    absent_is_fine(&path, gone)?;
                }
            }
        }
        for folder in folders.iter().rev() {
            let gone = self
                .tree
                .delete_directory(&mut self.connection, folder)
                .await;
            absent_is_fine(folder, gone)?;
        }
        Ok(())
    }

    /// Owner, group and DACL of a file or folder, self-relative (MS-DTYP 2.4.6).
    pub async fn descriptor(&mut self, path: &str) -> Result<Vec<u8>, Error> {
        let path = checked(path)?;
        security::read(&mut self.connection, &self.tree, path)
            .await
            .map_err(|error| sort(path, error))
    }

    /// Sets owner, group and DACL of a file or folder; nothing is inherited.
    pub async fn set_descriptor(&mut self, path: &str, descriptor: &[u8]) -> Result<(), Error> {
        let path = checked(path)?;
        security::write(&mut self.connection, &self.tree, path, descriptor)
            .await
            .map_err(|error| sort(path, error))
    }

    /// Sets the descriptor of a folder and of everything in it.
    pub async fn set_descriptor_of_tree(
        &mut self,
        path: &str,
        descriptor: &[u8],
    ) -> Result<(), Error> {
        let mut folders = vec![path.to_owned()];
        while let Some(folder) = folders.pop() {
            self.set_descriptor(&folder, descriptor).await?;
            for found in self.list(&folder).await?.unwrap_or_default() {
                let path = crate::child(&folder, &found.name);
                if found.folder {
                    folders.push(path);
                } else {
                    self.set_descriptor(&path, descriptor).await?;
                }
            }
        }
        Ok(())
    }
}

fn absent_is_fine(path: &str, outcome: smb2::Result<()>) -> Result<(), Error> {
    match outcome {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(sort(path, error)),
        _ => Ok(()),
    }
}

fn sort(path: &str, error: smb2::Error) -> Error {
    match error.kind() {
        ErrorKind::AccessDenied => Error::Denied(path.to_owned()),
        ErrorKind::TooLarge => Error::TooLarge(path.to_owned()),
        ErrorKind::ConnectionLost
        | ErrorKind::TimedOut
        | ErrorKind::SessionExpired
        | ErrorKind::Io => Error::Unreachable(error.to_string()),
        ErrorKind::SigningRequired
        | ErrorKind::SignatureInvalid
        | ErrorKind::GuestSessionRefused
        | ErrorKind::AuthRequired => Error::NotTrusted(error.to_string()),
        _ => Error::Refused {
            path: path.to_owned(),
            message: error.to_string(),
        },
    }
}
