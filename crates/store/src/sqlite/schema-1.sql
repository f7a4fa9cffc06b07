-- Version 1. Every row carries its tenant, and its domain where the directory made it.
-- Guids and SIDs are text, times are unix seconds, *_ms are unix milliseconds.

CREATE TABLE tenants (
    id      TEXT PRIMARY KEY,
    name    TEXT NOT NULL,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE administrators (
    tenant        TEXT NOT NULL REFERENCES tenants,
    name          TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE sealed (
    tenant TEXT NOT NULL REFERENCES tenants,
    name   TEXT NOT NULL,
    value  BLOB NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE settings (
    tenant              TEXT PRIMARY KEY REFERENCES tenants,
    register_keys_group TEXT,
    join_devices_group  TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE domains (
    tenant       TEXT NOT NULL REFERENCES tenants,
    guid         TEXT NOT NULL,
    sid          TEXT NOT NULL,
    dns_name     TEXT NOT NULL,
    netbios_name TEXT NOT NULL,
    added        INTEGER NOT NULL,
    PRIMARY KEY (tenant, guid)
) STRICT, WITHOUT ROWID;

CREATE TABLE enrollment_codes (
    tenant  TEXT NOT NULL REFERENCES tenants,
    digest  BLOB NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (tenant, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE agents (
    tenant     TEXT NOT NULL REFERENCES tenants,
    id         TEXT NOT NULL,
    domain     TEXT NOT NULL,
    principal  TEXT NOT NULL,
    public_key BLOB NOT NULL,
    enrolled   INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE spent_statements (
    tenant  TEXT NOT NULL,
    id      BLOB NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    tenant       TEXT NOT NULL,
    guid         TEXT NOT NULL,
    domain       TEXT NOT NULL,
    sid          TEXT NOT NULL,
    upn          TEXT NOT NULL,
    upn_key      TEXT NOT NULL,          -- the principal name in lower case
    sam          TEXT NOT NULL,
    display_name TEXT NOT NULL,
    dn           TEXT NOT NULL,
    active       INTEGER NOT NULL,
    PRIMARY KEY (tenant, guid)
) STRICT, WITHOUT ROWID;
-- Not unique: while names move from one user to another, both may have it for a moment.
CREATE INDEX users_by_upn ON users (tenant, upn_key);

CREATE TABLE groups (
    tenant TEXT NOT NULL,
    guid   TEXT NOT NULL,
    domain TEXT NOT NULL,
    sid    TEXT NOT NULL,
    name   TEXT NOT NULL,
    dn     TEXT NOT NULL,
    PRIMARY KEY (tenant, guid)
) STRICT, WITHOUT ROWID;

CREATE TABLE members (
    tenant TEXT NOT NULL,
    "group" TEXT NOT NULL,
    member TEXT NOT NULL,
    PRIMARY KEY (tenant, "group", member)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_by_member ON members (tenant, member);

CREATE TABLE computers (
    tenant TEXT NOT NULL,
    guid   TEXT NOT NULL,
    domain TEXT NOT NULL,
    sid    TEXT NOT NULL,
    name   TEXT NOT NULL,
    dn     TEXT NOT NULL,
    active INTEGER NOT NULL,
    PRIMARY KEY (tenant, guid)
) STRICT, WITHOUT ROWID;

CREATE TABLE computer_certificates (
    tenant   TEXT NOT NULL,
    computer TEXT NOT NULL,
    place    INTEGER NOT NULL,
    der      BLOB NOT NULL,
    PRIMARY KEY (tenant, computer, place)
) STRICT, WITHOUT ROWID;

CREATE TABLE devices (
    tenant                  TEXT NOT NULL,
    id                      TEXT NOT NULL,
    domain                  TEXT NOT NULL,
    display_name            TEXT NOT NULL,
    os_version              TEXT NOT NULL,
    certificate             BLOB NOT NULL,
    transport_key           BLOB NOT NULL,
    attestation_key         BLOB,
    endorsement_key         BLOB,
    endorsement_certificate BLOB,
    enabled                 INTEGER NOT NULL,
    joined                  INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE totp (
    tenant    TEXT NOT NULL,
    user      TEXT NOT NULL,
    sealed    BLOB NOT NULL,
    last_step INTEGER NOT NULL,
    PRIMARY KEY (tenant, user)
) STRICT, WITHOUT ROWID;

CREATE TABLE tries (
    id      INTEGER PRIMARY KEY,
    tenant  TEXT NOT NULL,
    factor  TEXT NOT NULL,
    subject TEXT NOT NULL,
    at      INTEGER NOT NULL
) STRICT;
CREATE INDEX tries_by_subject ON tries (tenant, factor, subject, at);
CREATE INDEX tries_by_time ON tries (at);

CREATE TABLE attempts (
    tenant         TEXT NOT NULL,
    id             BLOB NOT NULL,
    client         TEXT NOT NULL,
    device         TEXT NOT NULL,
    username       TEXT NOT NULL,
    user           TEXT,
    resource       TEXT NOT NULL,
    code_challenge TEXT NOT NULL,
    two_factors    INTEGER NOT NULL,
    password_at    INTEGER,
    expires        INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE codes (
    tenant         TEXT NOT NULL,
    id             BLOB NOT NULL,
    client         TEXT NOT NULL,
    device         TEXT NOT NULL,
    user           TEXT NOT NULL,
    resource       TEXT NOT NULL,
    code_challenge TEXT NOT NULL,
    methods        TEXT NOT NULL,        -- separated by spaces
    mfa_time       INTEGER,
    expires        INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    tenant        TEXT NOT NULL,
    kid           TEXT NOT NULL,
    domain        TEXT NOT NULL,
    user          TEXT NOT NULL,
    sid           TEXT NOT NULL,
    device        TEXT NOT NULL,
    material      BLOB NOT NULL,
    attestation   TEXT,
    state         TEXT NOT NULL,
    code          TEXT,
    detail        TEXT,
    dc            TEXT,
    registered_ms INTEGER NOT NULL,
    confirmed_ms  INTEGER,
    PRIMARY KEY (tenant, kid)
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_by_sid ON keys (tenant, sid);
-- One key per user and device, and one owner per key, as long as it is not on its way out.
CREATE UNIQUE INDEX keys_in_use ON keys (tenant, user, device)
    WHERE state NOT IN ('removing', 'removed');
CREATE UNIQUE INDEX material_in_use ON keys (tenant, material)
    WHERE state NOT IN ('removing', 'removed');

CREATE TABLE changes (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant   TEXT NOT NULL,
    domain   TEXT NOT NULL,
    kid      TEXT NOT NULL,
    op       TEXT NOT NULL,
    evidence TEXT,
    open     INTEGER NOT NULL            -- 0: its outcome is known, or a newer change replaces it
) STRICT;
CREATE INDEX open_changes ON changes (tenant, domain, seq) WHERE open = 1;
CREATE INDEX changes_by_key ON changes (tenant, kid, seq);

CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant  TEXT NOT NULL,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    action  TEXT NOT NULL,
    subject TEXT NOT NULL
) STRICT;
