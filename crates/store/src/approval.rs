//! Approvals by number matching: a sign-in shows a number, and its user picks it where a session of
//! theirs is open already.

use model::{Guid, UnixTime};

use crate::{
    Digest, Result, Store,
    sql::{Row, args, fields, words},
    store::Touches,
};

words! {
    /// Where an approval stands. One whose time is over is none any more.
    pub enum ApprovalState {
        /// Nobody has answered.
        Pending = "pending",
        /// The right number was picked.
        Approved = "approved",
        /// It was refused, or a wrong number was picked.
        Denied = "denied",
    }
}

/// An approval that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// SHA-256 of what the sign-in holds.
    pub id: Digest,
    /// Who is asked.
    pub user: Guid,
    /// The number that the sign-in shows.
    pub number: u32,
    /// What the asked one is told: application, address, device; JSON, opaque here.
    pub context: String,
    /// Where it stands.
    pub state: ApprovalState,
    /// When it was asked for.
    pub created: UnixTime,
    /// From then on it is worth nothing.
    pub expires: UnixTime,
    /// The browser session that answered.
    pub session: Option<Digest>,
}

fn approval(row: &Row) -> Result<Approval> {
    Ok(Approval {
        id: row.get("id")?,
        user: row.get("account")?,
        number: row.get("number")?,
        context: row.get("context")?,
        state: row.get("state")?,
        created: row.get("created")?,
        expires: row.get("expires")?,
        session: row.get("session")?,
    })
}

impl Store {
    /// Asks for an approval.
    pub async fn begin_approval(
        &self,
        tenant: Guid,
        approval: Approval,
        now: UnixTime,
    ) -> Result<()> {
        self.sweep(now).await?;
        self.write(Touches::Rows, move |db| {
            db.insert(
                "approvals",
                fields! {
                    tenant: tenant,
                    id: approval.id,
                    account: approval.user,
                    number: approval.number,
                    context: approval.context,
                    state: approval.state,
                    created: approval.created,
                    expires: approval.expires,
                    session: approval.session,
                },
            )
        })
        .await
    }

    /// One whose time is not over at `now`.
    pub async fn approval(
        &self,
        tenant: Guid,
        id: Digest,
        now: UnixTime,
    ) -> Result<Option<Approval>> {
        self.read(move |db| {
            let sql = "SELECT * FROM approvals WHERE tenant = ?1 AND id = ?2 AND expires > ?3";
            db.one(sql, args![tenant, id, now], approval)
        })
        .await
    }

    /// Those that a user has not answered, the newest first.
    pub async fn pending_approvals(
        &self,
        tenant: Guid,
        user: Guid,
        now: UnixTime,
    ) -> Result<Vec<Approval>> {
        self.read(move |db| {
            let sql = "SELECT * FROM approvals
                 WHERE tenant = ?1 AND account = ?2 AND expires > ?3 AND state = 'pending'
                 ORDER BY created DESC, id";
            db.all(sql, args![tenant, user, now], approval)
        })
        .await
    }

    /// Answers one of a user's; false where it is answered already, over, or another's.
    pub async fn answer_approval(
        &self,
        tenant: Guid,
        asked: (Digest, Guid),
        state: ApprovalState,
        session: Option<Digest>,
        now: UnixTime,
    ) -> Result<bool> {
        let (id, user) = asked;
        self.write(Touches::Rows, move |db| {
            let sql = "UPDATE approvals SET state = ?4, session = ?5
                 WHERE tenant = ?1 AND id = ?2 AND account = ?3 AND expires > ?6
                   AND state = 'pending'";
            db.touched(sql, args![tenant, id, user, state, session, now])
        })
        .await
    }

    /// Spends one that was approved, so that it lets in one sign-in; false where it was not.
    pub async fn spend_approval(&self, tenant: Guid, id: Digest, now: UnixTime) -> Result<bool> {
        self.write(Touches::Rows, move |db| {
            let sql = "DELETE FROM approvals
                 WHERE tenant = ?1 AND id = ?2 AND expires > ?3 AND state = 'approved'";
            db.touched(sql, args![tenant, id, now])
        })
        .await
    }
}
