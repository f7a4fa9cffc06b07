//! Users: those of a directory, whom its agent brings, and the server's own.
//!
//! A user of the directory is what the agent last said; the server changes nothing of it but from
//! when on its tokens count. One of the server's own has a password here and no SID, so that
//! nothing about it ever reaches AD.

use model::{Guid, LogonHours, Sid, UnixTime};

use crate::{
    Audit, Error, Listing, Page, Result, Store, group, key, policies,
    sql::{Field, Listed, Put, Row, Sql, args, fields},
};

/// Where a user comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserKind {
    /// From a directory, through its agent.
    Synced {
        /// The domain.
        domain: Guid,
        /// objectSid.
        sid: Sid,
        /// sAMAccountName.
        sam: String,
        /// distinguishedName when it was read.
        dn: String,
    },
    /// Made here.
    Cloud,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// objectGUID, or a random id of the server's.
    pub guid: Guid,
    /// Where it comes from.
    pub kind: UserKind,
    /// The principal name.
    pub upn: String,
    /// For people.
    pub display_name: String,
    /// The mail address.
    pub mail: Option<String>,
    /// What a directory knows the user by, wherever its object goes, in base64; none where that is its
    /// objectGUID. To one of the server's own an administrator gives it.
    pub source_anchor: Option<String>,
    /// Not disabled.
    pub active: bool,
    /// From then on the account may not be used (accountExpires).
    pub account_expires: Option<UnixTime>,
    /// Until then the directory lets nobody in as this user (lockoutTime and the domain's duration).
    pub locked_until: Option<UnixTime>,
    /// When the directory lets the user sign in; none: at any hour.
    pub logon_hours: Option<LogonHours>,
    /// What was issued before is worth nothing. An agent does not change it.
    pub tokens_valid_from: UnixTime,
}

impl User {
    /// The domain, of a user of the directory.
    pub fn domain(&self) -> Option<Guid> {
        match &self.kind {
            UserKind::Synced { domain, .. } => Some(*domain),
            UserKind::Cloud => None,
        }
    }

    /// What a directory knows the user by: in base64.
    pub fn anchor(&self) -> Option<String> {
        let of_directory = || {
            self.domain()
                .map(|_| openssl::base64::encode_block(&self.guid.to_le_bytes()))
        };
        self.source_anchor.clone().or_else(of_directory)
    }

    /// The SID, of a user of the directory.
    pub fn sid(&self) -> Option<&Sid> {
        match &self.kind {
            UserKind::Synced { sid, .. } => Some(sid),
            UserKind::Cloud => None,
        }
    }

    /// distinguishedName, of a user of the directory.
    pub fn dn(&self) -> Option<&str> {
        match &self.kind {
            UserKind::Synced { dn, .. } => Some(dn),
            UserKind::Cloud => None,
        }
    }
}

/// The password of a user of the server's own.
#[derive(Clone, PartialEq, Eq)]
pub struct Password {
    /// Argon2id in PHC form.
    pub hash: String,
    /// The user chooses another one at the next sign-in.
    pub must_change: bool,
}

pub(crate) fn user(row: &Row) -> Result<User> {
    let domain: Option<Guid> = row.get("domain")?;
    let kind = match domain {
        None => UserKind::Cloud,
        Some(domain) => UserKind::Synced {
            domain,
            sid: row.get("sid")?,
            sam: row.get("sam")?,
            dn: row.get("dn")?,
        },
    };
    Ok(User {
        guid: row.get("guid")?,
        kind,
        upn: row.get("upn")?,
        display_name: row.get("display_name")?,
        mail: row.get("mail")?,
        source_anchor: row.get("source_anchor")?,
        active: row.get("active")?,
        account_expires: row.get("account_expires")?,
        locked_until: row.get("locked_until")?,
        logon_hours: row.get("logon_hours")?,
        tokens_valid_from: row.get("tokens_valid_from")?,
    })
}

fn by_guid(db: &dyn Sql, tenant: Guid, guid: Guid) -> Result<Option<User>> {
    let sql = "SELECT * FROM users WHERE tenant = ?1 AND guid = ?2";
    db.one(sql, args![tenant, guid], user)
}

/// What only one user has; nothing where two have it.
fn unique(mut users: Vec<User>) -> Option<User> {
    let first = users.pop();
    first.filter(|_| users.is_empty())
}

/// From when on tokens count is the server's to say, and one user's row is no other's.
const PUT: Put = Put {
    table: "users",
    key: "tenant, guid",
    kept: "tokens_valid_from",
    only_if: " WHERE users.domain = excluded.domain
         OR (users.domain IS NULL AND excluded.domain IS NULL)",
};

/// Writes users; false for one who is there already, of another domain.
pub(crate) fn put(db: &dyn Sql, tenant: Guid, users: &[&User]) -> Result<Vec<bool>> {
    let rows: Vec<_> = users.iter().map(|user| columns(tenant, user)).collect();
    db.put_each(&PUT, &rows)
}

fn columns(tenant: Guid, user: &User) -> Vec<Field> {
    let (sam, dn) = match &user.kind {
        UserKind::Synced { sam, dn, .. } => (Some(sam), Some(dn)),
        UserKind::Cloud => (None, None),
    };
    fields! {
        tenant: tenant,
        guid: user.guid,
        domain: user.domain(),
        sid: user.sid(),
        sam: sam,
        sam_key: sam.map(|sam| sam.to_lowercase()),
        dn: dn,
        upn: user.upn,
        upn_key: user.upn.to_lowercase(),
        display_name: user.display_name,
        mail: user.mail,
        mail_key: user.mail.as_ref().map(|mail| mail.to_lowercase()),
        source_anchor: user.source_anchor,
        active: user.active,
        account_expires: user.account_expires,
        locked_until: user.locked_until,
        logon_hours: user.logon_hours,
        tokens_valid_from: user.tokens_valid_from,
    }
    .to_vec()
}

/// Ends whatever lets the user in without signing in anew.
fn end_tokens(db: &dyn Sql, tenant: Guid, guid: Guid) -> Result<()> {
    for table in [
        "sessions",
        "codes",
        "refresh_families",
        "prts",
        "device_codes",
    ] {
        let sql = format!("DELETE FROM {table} WHERE tenant = ?1 AND account = ?2");
        db.execute(&sql, args![tenant, guid])?;
    }
    Ok(())
}

/// Deletes the user with all that hangs on it; its keys go out of AD.
pub(crate) fn delete(db: &dyn Sql, tenant: Guid, guid: Guid) -> Result<()> {
    end_tokens(db, tenant, guid)?;
    for (table, column) in [
        ("totp", "account"),
        ("security_keys", "account"),
        ("access_passes", "account"),
        ("approvals", "account"),
        ("evaluations", "account"),
        ("passwords", "account"),
        ("sources", "account"),
        ("role_assignments", "principal"),
        ("users", "guid"),
    ] {
        let sql = format!("DELETE FROM {table} WHERE tenant = ?1 AND {column} = ?2");
        db.execute(&sql, args![tenant, guid])?;
    }
    group::leave_own(db, tenant, guid)?;
    policies::moved(db, tenant)?;
    key::remove_all(db, tenant, "account", guid)
}

impl Store {
    /// By objectGUID.
    pub async fn user(&self, tenant: Guid, guid: Guid) -> Result<Option<User>> {
        self.look_up(move |db| by_guid(db, tenant, guid)).await
    }

    /// Those of these SIDs who are known, in the order of the SIDs.
    pub async fn users_by_sid(&self, tenant: Guid, sids: Vec<Sid>) -> Result<Vec<User>> {
        self.read(move |db| {
            let sql = "SELECT * FROM users WHERE tenant = ?1 AND sid = ?2";
            let found = sids.iter().map(|sid| db.one(sql, args![tenant, sid], user));
            found.filter_map(Result::transpose).collect()
        })
        .await
    }

    /// By principal name, in any case; `None` where two users have it.
    pub async fn user_by_upn(&self, tenant: Guid, upn: &str) -> Result<Option<User>> {
        let upn = upn.to_lowercase();
        self.read(move |db| {
            let sql = "SELECT * FROM users WHERE tenant = ?1 AND upn_key = ?2 LIMIT 2";
            Ok(unique(db.all(sql, args![tenant, upn], user)?))
        })
        .await
    }

    /// By sAMAccountName, in any case: in the domain of that NetBIOS name, or in any where none is
    /// given; `None` where two users have it.
    pub async fn user_by_sam(
        &self,
        tenant: Guid,
        netbios_name: Option<&str>,
        sam: &str,
    ) -> Result<Option<User>> {
        let (netbios_name, sam) = (netbios_name.map(str::to_lowercase), sam.to_lowercase());
        self.read(move |db| {
            let Some(name) = &netbios_name else {
                let sql = "SELECT * FROM users WHERE tenant = ?1 AND sam_key = ?2 LIMIT 2";
                return Ok(unique(db.all(sql, args![tenant, sam], user)?));
            };
            let sql = "SELECT u.* FROM domains d
                 JOIN users u ON u.tenant = d.tenant AND u.sam_key = ?2 AND u.domain = d.guid
                 WHERE d.tenant = ?1 AND lower(d.netbios_name) = ?3 LIMIT 2";
            Ok(unique(db.all(sql, args![tenant, sam, name], user)?))
        })
        .await
    }

    /// Users by principal name.
    pub async fn users(&self, tenant: Guid, page: Page) -> Result<Listing<User>> {
        const USERS: Listed = Listed {
            table: "users",
            name: "upn_key",
            id: "guid",
        };
        self.read(move |db| USERS.page(db, tenant, &page, user))
            .await
    }

    /// How many users there are.
    pub async fn count_users(&self, tenant: Guid) -> Result<u64> {
        let sql = "SELECT count(*) FROM users WHERE tenant = ?1";
        self.read(move |db| Ok(db.only(sql, args![tenant])?.unwrap_or(0)))
            .await
    }

    /// Makes a user of the server's own. Contradicts what is stored where the principal name is
    /// taken.
    pub async fn create_user(
        &self,
        tenant: Guid,
        user: User,
        password: Password,
        audit: Audit,
    ) -> Result<()> {
        self.audited(tenant, audit, move |db| {
            only_cloud(&user)?;
            expect_free(db, tenant, &user)?;
            put(db, tenant, &[&user])?;
            put_password(db, tenant, user.guid, &password)
        })
        .await
    }

    /// Changes a user of the server's own; false where there is none. From when on its tokens count
    /// stays.
    pub async fn update_user(&self, tenant: Guid, user: User, audit: Audit) -> Result<bool> {
        self.audited_keys(tenant, audit, move |db| {
            only_cloud(&user)?;
            if !is_cloud(db, tenant, user.guid)? {
                return Ok(false);
            }
            expect_free(db, tenant, &user)?;
            put(db, tenant, &[&user])?;
            Ok(true)
        })
        .await
    }

    /// Deletes a user of the server's own, with its factors, sessions, tokens and keys; false where
    /// there is none.
    pub async fn delete_user(&self, tenant: Guid, guid: Guid, audit: Audit) -> Result<bool> {
        self.audited_policies(tenant, audit, move |db| {
            let is_there = is_cloud(db, tenant, guid)?;
            if is_there {
                delete(db, tenant, guid)?;
            }
            Ok(is_there)
        })
        .await
    }

    /// The password of a user of the server's own.
    pub async fn password(&self, tenant: Guid, guid: Guid) -> Result<Option<Password>> {
        self.read(move |db| {
            let sql = "SELECT * FROM passwords WHERE tenant = ?1 AND account = ?2";
            db.one(sql, args![tenant, guid], |row| {
                Ok(Password {
                    hash: row.get("hash")?,
                    must_change: row.get("must_change")?,
                })
            })
        })
        .await
    }

    /// Gives a user of the server's own another password; false where there is no such user.
    pub async fn set_password(
        &self,
        tenant: Guid,
        guid: Guid,
        password: Password,
        audit: Audit,
    ) -> Result<bool> {
        self.audited(tenant, audit, move |db| {
            let is_there = is_cloud(db, tenant, guid)?;
            if is_there {
                put_password(db, tenant, guid, &password)?;
            }
            Ok(is_there)
        })
        .await
    }

    /// From `from` on the user's tokens count anew: sessions, codes, refresh tokens and PRTs end.
    /// False where the user is unknown.
    pub async fn revoke_tokens(
        &self,
        tenant: Guid,
        guid: Guid,
        from: UnixTime,
        audit: Audit,
    ) -> Result<bool> {
        self.audited_keys(tenant, audit, move |db| {
            end_tokens(db, tenant, guid)?;
            let sql = "UPDATE users SET tokens_valid_from = ?3 WHERE tenant = ?1 AND guid = ?2";
            db.touched(sql, args![tenant, guid, from])
        })
        .await
    }
}

fn only_cloud(user: &User) -> Result<()> {
    match user.kind {
        UserKind::Cloud => Ok(()),
        UserKind::Synced { .. } => Err(Error::Conflict("users of a directory are its agent's")),
    }
}

fn is_cloud(db: &dyn Sql, tenant: Guid, guid: Guid) -> Result<bool> {
    let found = by_guid(db, tenant, guid)?;
    Ok(found.is_some_and(|user| user.kind == UserKind::Cloud))
}

fn expect_free(db: &dyn Sql, tenant: Guid, user: &User) -> Result<()> {
    let sql =
        "SELECT EXISTS (SELECT 1 FROM users WHERE tenant = ?1 AND upn_key = ?2 AND guid <> ?3)";
    if db.holds(sql, args![tenant, user.upn.to_lowercase(), user.guid])? {
        return Err(Error::Conflict("another user has this principal name"));
    }
    Ok(())
}

fn put_password(db: &dyn Sql, tenant: Guid, guid: Guid, password: &Password) -> Result<()> {
    db.put(
        "passwords",
        "tenant, account",
        fields! {
            tenant: tenant,
            account: guid,
            hash: password.hash,
            must_change: password.must_change,
        },
    )
}
