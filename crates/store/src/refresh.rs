//! Refresh tokens (RFC 9700 4.14.2): each is good once and gives the next one; whoever shows one a
//! second time, thief or owner, ends the whole family, since nobody can tell which of them it is.

use model::{Guid, UnixTime};

use crate::{
    Digest, Result, Store,
    sql::{Row, Sql, args, fields},
    store::Touches,
};

/// What began with one sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshFamily {
    /// Its id.
    pub id: Guid,
    /// Who signed in.
    pub user: Guid,
    /// The client that holds the tokens.
    pub client: String,
    /// The device they are bound to.
    pub device: Option<Guid>,
    /// How the user signed in.
    pub methods: Vec<String>,
    /// When.
    pub auth_time: UnixTime,
    /// When the second factor was given.
    pub mfa_time: Option<UnixTime>,
    /// When it began.
    pub created: UnixTime,
    /// From then on it is worth nothing, whatever was rotated.
    pub expires: UnixTime,
    /// A token was shown twice, or somebody ended it.
    pub revoked: bool,
}

/// One token of a family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshToken {
    /// SHA-256 of the token.
    pub digest: Digest,
    /// Its family.
    pub family: Guid,
    /// The audience it was asked for.
    pub resource: String,
    /// What was asked for.
    pub scope: String,
    /// When it was issued.
    pub issued: UnixTime,
    /// From then on it is worth nothing.
    pub expires: UnixTime,
    /// When it gave the next one.
    pub spent_at: Option<UnixTime>,
}

/// What became of a token that was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redeemed {
    /// It gave the next one.
    Rotated,
    /// It had been spent: its family is revoked now.
    Reused,
    /// It is unknown or over, or its family is.
    Over,
}

fn family(row: &Row) -> Result<RefreshFamily> {
    Ok(RefreshFamily {
        id: row.get("id")?,
        user: row.get("account")?,
        client: row.get("client")?,
        device: row.get("device")?,
        methods: row.get("methods")?,
        auth_time: row.get("auth_time")?,
        mfa_time: row.get("mfa_time")?,
        created: row.get("created")?,
        expires: row.get("expires")?,
        revoked: row.get("revoked")?,
    })
}

fn token(row: &Row) -> Result<RefreshToken> {
    Ok(RefreshToken {
        digest: row.get("digest")?,
        family: row.get("family")?,
        resource: row.get("resource")?,
        scope: row.get("scope")?,
        issued: row.get("issued")?,
        expires: row.get("expires")?,
        spent_at: row.get("spent_at")?,
    })
}

fn insert_token(db: &dyn Sql, tenant: Guid, token: &RefreshToken) -> Result<()> {
    db.insert(
        "refresh_tokens",
        fields! {
            tenant: tenant,
            digest: token.digest,
            family: token.family,
            resource: token.resource,
            scope: token.scope,
            issued: token.issued,
            expires: token.expires,
            spent_at: token.spent_at,
        },
    )
}

fn find(
    db: &dyn Sql,
    tenant: Guid,
    digest: Digest,
) -> Result<Option<(RefreshFamily, RefreshToken)>> {
    let sql = "SELECT * FROM refresh_tokens WHERE tenant = ?1 AND digest = ?2";
    let Some(token) = db.one(sql, args![tenant, digest], token)? else {
        return Ok(None);
    };
    let sql = "SELECT * FROM refresh_families WHERE tenant = ?1 AND id = ?2";
    let family = db.one(sql, args![tenant, token.family], family)?;
    Ok(family.map(|family| (family, token)))
}

impl Store {
    /// Begins a family with its first token.
    pub async fn begin_family(
        &self,
        tenant: Guid,
        family: RefreshFamily,
        token: RefreshToken,
        now: UnixTime,
    ) -> Result<()> {
        self.sweep(now).await?;
        self.write(Touches::Rows, move |db| {
            db.insert(
                "refresh_families",
                fields! {
                    tenant: tenant,
                    id: family.id,
                    account: family.user,
                    client: family.client,
                    device: family.device,
                    methods: family.methods,
                    auth_time: family.auth_time,
                    mfa_time: family.mfa_time,
                    created: family.created,
                    expires: family.expires,
                    revoked: family.revoked,
                },
            )?;
            insert_token(db, tenant, &token)
        })
        .await
    }

    /// A token with its family, spent, revoked or expired as it may be: whether everything else
    /// about a request is right is to be known before the token is redeemed.
    pub async fn refresh_token(
        &self,
        tenant: Guid,
        digest: Digest,
    ) -> Result<Option<(RefreshFamily, RefreshToken)>> {
        self.read(move |db| find(db, tenant, digest)).await
    }

    /// Spends a token and stores the next one, of the same family whatever it says, in one commit;
    /// where it was spent before, revokes the family instead.
    pub async fn redeem(
        &self,
        tenant: Guid,
        digest: Digest,
        next: RefreshToken,
        now: UnixTime,
    ) -> Result<Redeemed> {
        self.write(Touches::Rows, move |db| {
            let Some((family, token)) = find(db, tenant, digest)? else {
                return Ok(Redeemed::Over);
            };
            if token.spent_at.is_some() {
                revoke(db, tenant, family.id)?;
                return Ok(Redeemed::Reused);
            }
            if family.revoked || family.expires <= now || token.expires <= now {
                return Ok(Redeemed::Over);
            }
            let sql = "UPDATE refresh_tokens SET spent_at = ?3 WHERE tenant = ?1 AND digest = ?2";
            db.execute(sql, args![tenant, digest, now])?;
            let next = RefreshToken {
                family: family.id,
                ..next.clone()
            };
            insert_token(db, tenant, &next)?;
            Ok(Redeemed::Rotated)
        })
        .await
    }

    /// Ends a family; false where it is unknown, or ended already.
    pub async fn revoke_family(&self, tenant: Guid, family: Guid) -> Result<bool> {
        self.write(Touches::Rows, move |db| revoke(db, tenant, family))
            .await
    }

    /// A user's families that are not over at `now`, the newest first.
    pub async fn families_of(
        &self,
        tenant: Guid,
        user: Guid,
        now: UnixTime,
    ) -> Result<Vec<RefreshFamily>> {
        self.read(move |db| {
            let sql = "SELECT * FROM refresh_families
                 WHERE tenant = ?1 AND account = ?2 AND expires > ?3 AND revoked = 0
                 ORDER BY created DESC, id";
            db.all(sql, args![tenant, user, now], family)
        })
        .await
    }
}

fn revoke(db: &dyn Sql, tenant: Guid, family: Guid) -> Result<bool> {
    let sql =
        "UPDATE refresh_families SET revoked = 1 WHERE tenant = ?1 AND id = ?2 AND revoked = 0";
    db.touched(sql, args![tenant, family])
}
