//! The directory: one sealed connection, what was learnt when it was made, and paged searches.

use std::collections::VecDeque;

use model::{Guid, Sid, UnixTime};
use tokio::sync::Mutex;

use crate::{
    Error, Locator, Need, accounts,
    connection::Connection,
    entry::Entry,
    filter::Filter,
    message::{Outcome, Request, Scope, Search},
};

/// One sealed connection to one domain controller. Calls queue; after an error that
/// [`Error::is_broken`], connect again.
pub struct Directory {
    connection: Mutex<Connection>,
    dc: String,
    invocation_id: Guid,
    writable: bool,
    /// What its clock said when the connection was made.
    clock: Option<UnixTime>,
    domain: Domain,
}

/// The domain of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// objectGUID.
    pub guid: Guid,
    /// objectSid.
    pub sid: Sid,
    /// Its DNS name.
    pub dns_name: String,
    /// Its NetBIOS name.
    pub netbios_name: String,
    /// The DN of its naming context.
    pub dn: String,
    /// The DN of the forest's configuration.
    pub configuration: String,
    /// How many seconds an account is locked out by wrong passwords; `i64::MAX` is until somebody
    /// unlocks it, and none where that is not to be read.
    pub lockout_s: Option<i64>,
}

/// Result codes (RFC 4511 4.1.9): attributeOrValueExists, noSuchObject, entryAlreadyExists.
pub(crate) const VALUE_EXISTS: u32 = 20;
pub(crate) const NO_SUCH_OBJECT: u32 = 32;
pub(crate) const ENTRY_EXISTS: u32 = 68;

impl Directory {
    /// Connects to a domain controller of `realm`, this `host` or the best that DNS names, with
    /// the credentials of the process (`KRB5CCNAME`, `KRB5_CLIENT_KTNAME`).
    pub async fn connect(realm: &str, host: Option<&str>) -> Result<Self, Error> {
        Locator::new(realm, host, Need::Read).connect().await
    }

    pub(crate) async fn bound(mut connection: Connection) -> Result<Self, Error> {
        let root = root(&mut connection, &ROOT).await?;
        let dn = root.required_text("defaultNamingContext")?;
        let configuration = root.required_text("configurationNamingContext")?;
        let dc = root.required_text("dnsHostName")?;

        let any = Filter::Present("objectClass");
        let settings = Search {
            base: &root.required_text("dsServiceName")?,
            scope: Scope::Base,
            filter: &any,
            attributes: &["invocationId", "objectCategory"],
            page: None,
            extended_dn: false,
        };
        let settings = one(&mut connection, &settings).await?;
        let settings = settings.ok_or(Error::Missing("the domain controller's settings"))?;
        let invocation_id = settings
            .value("invocationId")
            .and_then(|value| value.try_into().ok())
            .map(Guid::from_le_bytes)
            .ok_or(Error::Missing("the domain controller's invocationId"))?;
        let naming_context = Search {
            base: &dn,
            scope: Scope::Base,
            filter: &any,
            attributes: &["objectGUID", "objectSid", "lockoutDuration"],
            page: None,
            extended_dn: false,
        };
        let own = one(&mut connection, &naming_context).await?;
        let own = own.ok_or(Error::Missing("the domain's own object"))?;

        let named = Filter::And(vec![
            Filter::equal("nCName", dn.as_bytes()),
            Filter::Present("nETBIOSName"),
        ]);
        let cross_reference = Search {
            base: &format!("CN=Partitions,{configuration}"),
            scope: Scope::Children,
            filter: &named,
            attributes: &["nETBIOSName", "dnsRoot"],
            page: None,
            extended_dn: false,
        };
        let names = one(&mut connection, &cross_reference).await?;
        let names = names.ok_or(Error::Missing("the domain's cross reference"))?;

        let domain = Domain {
            guid: own.guid()?,
            sid: own.sid()?,
            lockout_s: own.text("lockoutDuration").and_then(accounts::duration_s),
            dns_name: names.required_text("dnsRoot")?,
            netbios_name: names.required_text("nETBIOSName")?,
            dn,
            configuration,
        };
        Ok(Self {
            connection: Mutex::new(connection),
            dc,
            invocation_id,
            // MS-ADTS 6.1.1.2.2.1.2.1.1: the settings of a read-only one are of a category of their own.
            writable: !settings
                .required_text("objectCategory")?
                .to_ascii_uppercase()
                .starts_with("CN=NTDS-DSA-RO,"),
            clock: root.text("currentTime").and_then(UnixTime::of_generalized),
            domain,
        })
    }

    /// The DNS name of the domain controller.
    pub fn dc(&self) -> &str {
        &self.dc
    }

    /// The database that this domain controller's update sequence numbers count the changes of: another
    /// one at another controller, or after its database was restored.
    pub fn invocation_id(&self) -> Guid {
        self.invocation_id
    }

    /// Whether it takes changes; a read-only domain controller does not.
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// What the domain controller's clock said when the connection was made.
    pub fn clock(&self) -> Option<UnixTime> {
        self.clock
    }

    /// The domain.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// highestCommittedUSN: no change that the domain controller has made visible is above it.
    pub async fn highest_usn(&self) -> Result<u64, Error> {
        let mut connection = self.connection.lock().await;
        Ok(root(&mut connection, &["highestCommittedUSN"])
            .await?
            .number("highestCommittedUSN"))
    }

    /// The account that is bound: `DOMAIN\account`.
    pub async fn who_am_i(&self) -> Result<String, Error> {
        let outcome = success(self.call(&Request::WhoAmI).await?)?;
        let text = String::from_utf8(outcome.value)
            .map_err(|_| Error::Malformed("who am I: not a text"))?;
        text.strip_prefix("u:")
            .map(str::to_owned)
            .ok_or(Error::Missing("a name of who is bound"))
    }

    /// Sends a request that is answered by its end alone.
    pub(crate) async fn call(&self, request: &Request<'_>) -> Result<Outcome, Error> {
        self.connection.lock().await.call(request, |_| Ok(())).await
    }

    /// The only entry of a search; `None` where there is none or the base does not exist.
    pub(crate) async fn one(&self, search: &Search<'_>) -> Result<Option<Entry>, Error> {
        one(&mut *self.connection.lock().await, search).await
    }

    /// The entry that has this GUID, wherever it is.
    pub(crate) async fn by_guid(
        &self,
        guid: Guid,
        filter: &Filter,
        attributes: &[&str],
    ) -> Result<Option<Entry>, Error> {
        let search = Search {
            base: &format!("<GUID={guid}>"),
            scope: Scope::Base,
            filter,
            attributes,
            page: None,
            extended_dn: false,
        };
        self.one(&search).await
    }

    /// All entries of a search that has few.
    pub(crate) async fn all(&self, search: &Search<'_>) -> Result<Vec<Entry>, Error> {
        Ok(entries(&mut *self.connection.lock().await, search).await?.0)
    }

    /// A search page by page.
    pub(crate) fn pages<T>(&self, query: Query<T>) -> Pages<'_, T> {
        Pages {
            directory: self,
            query,
            is_paged: true,
            cookie: Some(Vec::new()),
        }
    }
}

/// What a paged search is for.
pub(crate) struct Query<T> {
    pub(crate) base: String,
    pub(crate) scope: Scope,
    pub(crate) filter: Filter,
    pub(crate) attributes: &'static [&'static str],
    pub(crate) extended_dn: bool,
    pub(crate) read: fn(&Entry, &Domain) -> Result<T, Error>,
}

/// A search that is read page by page, so that its answer never is in memory as a whole.
pub struct Pages<'d, T> {
    directory: &'d Directory,
    query: Query<T>,
    /// One page has room for all that is there, otherwise: Samba looks anew for each entry of a page.
    pub(crate) is_paged: bool,
    /// None after the last page.
    cookie: Option<Vec<u8>>,
}

impl<T> Pages<'_, T> {
    /// The next page; `None` after the last. An entry that is not understood is left out and
    /// named in the log.
    pub async fn next(&mut self) -> Result<Option<VecDeque<T>>, Error> {
        let Some(cookie) = self.cookie.take() else {
            return Ok(None);
        };
        let search = Search {
            base: &self.query.base,
            scope: self.query.scope,
            filter: &self.query.filter,
            attributes: self.query.attributes,
            page: self.is_paged.then_some(&cookie),
            extended_dn: self.query.extended_dn,
        };
        let (mut page, domain) = (VecDeque::new(), &self.directory.domain);
        let outcome = self
            .directory
            .connection
            .lock()
            .await
            .call(&Request::Search(&search), |entry| {
                page.extend(understood(&entry, (self.query.read)(&entry, domain)));
                Ok(())
            })
            .await?;
        let outcome = success(outcome)?;
        self.cookie = Some(outcome.cookie).filter(|cookie| !cookie.is_empty());
        Ok(Some(page))
    }

    /// All pages in one.
    pub async fn all(mut self) -> Result<VecDeque<T>, Error> {
        let mut all = VecDeque::new();
        while let Some(mut page) = self.next().await? {
            all.append(&mut page);
        }
        Ok(all)
    }
}

/// What was read of an entry. One that is not understood is named in the log, and left out.
pub(crate) fn understood<T>(entry: &Entry, read: Result<T, Error>) -> Option<T> {
    read.inspect_err(|error| tracing::warn!(dn = %entry.dn, %error, "entry left out"))
        .ok()
}

/// An outcome other than success is an error.
pub(crate) fn success(outcome: Outcome) -> Result<Outcome, Error> {
    match outcome.code {
        0 => Ok(outcome),
        code => Err(Error::Refused {
            code,
            message: outcome.message,
        }),
    }
}

const ROOT: [&str; 5] = [
    "defaultNamingContext",
    "configurationNamingContext",
    "dnsHostName",
    "dsServiceName",
    "currentTime",
];

async fn root(connection: &mut Connection, attributes: &[&str]) -> Result<Entry, Error> {
    let filter = Filter::Present("objectClass");
    let search = Search {
        base: "",
        scope: Scope::Base,
        filter: &filter,
        attributes,
        page: None,
        extended_dn: false,
    };
    one(connection, &search)
        .await?
        .ok_or(Error::Missing("the root of the directory"))
}

async fn one(connection: &mut Connection, search: &Search<'_>) -> Result<Option<Entry>, Error> {
    let (mut found, _) = entries(connection, search).await?;
    match found.len() {
        0 | 1 => Ok(found.pop()),
        _ => Err(Error::Malformed("two entries where one is possible")),
    }
}

async fn entries(
    connection: &mut Connection,
    search: &Search<'_>,
) -> Result<(Vec<Entry>, Outcome), Error> {
    let mut found = Vec::new();
    let collect = |entry| {
        found.push(entry);
        Ok(())
    };
    let outcome = connection.call(&Request::Search(search), collect).await?;
    if outcome.code == NO_SUCH_OBJECT {
        return Ok((Vec::new(), outcome));
    }
    Ok((found, success(outcome)?))
}
