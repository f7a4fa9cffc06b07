//! Applications that people sign in to.

use model::Guid;

use crate::{
    Audit, Result, Store,
    sql::{Row, args, fields, words},
};

words! {
    /// Whether an application can keep a secret.
    pub enum AppKind {
        /// It cannot: a program on somebody's machine.
        Public = "public",
        /// It proves itself with a key of its own (RFC 7523).
        Confidential = "confidential",
    }
}

/// Weaker forms that foreign clients need; all off by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compat {
    /// Sign-in by user name and password.
    pub ropc: bool,
    /// Sign-in on another device.
    pub device_code: bool,
    /// Key derivation version 1 (MS-OAPXBC).
    pub kdf1: bool,
    /// Answers in A256CBC bodies.
    pub cbc: bool,
    /// Codes without PKCE.
    pub no_pkce: bool,
}

/// An application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// Its id, any text.
    pub client_id: String,
    /// For people.
    pub name: String,
    /// Whether it can keep a secret.
    pub kind: AppKind,
    /// Where answers may go, exactly.
    pub redirect_uris: Vec<String>,
    /// Where a browser may go after signing out, exactly.
    pub post_logout_uris: Vec<String>,
    /// The keys it proves itself with: a JWKS document.
    pub jwks: Option<String>,
    /// The audiences that it may ask tokens for.
    pub resources: Vec<String>,
    /// Weaker forms.
    pub compat: Compat,
    /// Switched off where false.
    pub enabled: bool,
}

pub(crate) fn app(row: &Row) -> Result<App> {
    Ok(App {
        client_id: row.get("client_id")?,
        name: row.get("name")?,
        kind: row.get("kind")?,
        redirect_uris: row.get("redirect_uris")?,
        post_logout_uris: row.get("post_logout_uris")?,
        jwks: row.get("jwks")?,
        resources: row.get("resources")?,
        compat: Compat {
            ropc: row.get("ropc")?,
            device_code: row.get("device_code")?,
            kdf1: row.get("kdf1")?,
            cbc: row.get("cbc")?,
            no_pkce: row.get("no_pkce")?,
        },
        enabled: row.get("enabled")?,
    })
}

pub(crate) const BY_ID: &str = "SELECT * FROM apps WHERE tenant = ?1 AND client_id = ?2";

impl Store {
    /// By its id.
    pub async fn app(&self, tenant: Guid, client_id: &str) -> Result<Option<App>> {
        let client_id = client_id.to_owned();
        self.look_up(move |db| db.one(BY_ID, args![tenant, client_id], app))
            .await
    }

    /// Every application, by name.
    pub async fn apps(&self, tenant: Guid) -> Result<Vec<App>> {
        self.read(move |db| {
            let sql = "SELECT * FROM apps WHERE tenant = ?1 ORDER BY name, client_id";
            db.all(sql, args![tenant], app)
        })
        .await
    }

    /// Makes or changes an application.
    pub async fn put_app(&self, tenant: Guid, app: App, audit: Audit) -> Result<()> {
        self.audited(tenant, audit, move |db| {
            db.put(
                "apps",
                "tenant, client_id",
                fields! {
                    tenant: tenant,
                    client_id: app.client_id,
                    name: app.name,
                    kind: app.kind,
                    redirect_uris: app.redirect_uris,
                    post_logout_uris: app.post_logout_uris,
                    jwks: app.jwks,
                    resources: app.resources,
                    ropc: app.compat.ropc,
                    device_code: app.compat.device_code,
                    kdf1: app.compat.kdf1,
                    cbc: app.compat.cbc,
                    no_pkce: app.compat.no_pkce,
                    enabled: app.enabled,
                },
            )
        })
        .await
    }

    /// Deletes an application with the refresh tokens it holds; false where it is unknown.
    pub async fn delete_app(&self, tenant: Guid, client_id: &str, audit: Audit) -> Result<bool> {
        let client_id = client_id.to_owned();
        self.audited(tenant, audit, move |db| {
            let sql = "DELETE FROM refresh_families WHERE tenant = ?1 AND client = ?2";
            db.execute(sql, args![tenant, client_id])?;
            let sql = "DELETE FROM apps WHERE tenant = ?1 AND client_id = ?2";
            db.touched(sql, args![tenant, client_id])
        })
        .await
    }
}
