-- Version 2: users and groups of the server's own, more factors, applications, sessions, tokens.
-- A principal's id is called `account`: `user` is a word of SQL. Lists are JSON; *_key is a name in
-- lower case; truth is 0 or 1. The PostgreSQL schema has the same tables and columns.

-- Nothing has ever read it: who administers holds a role, or is root.
DROP TABLE administrators;

-- Users: what only a directory's have may be missing.
CREATE TABLE users_2 (
    tenant            TEXT NOT NULL,
    guid              TEXT NOT NULL,
    domain            TEXT,
    sid               TEXT,
    sam               TEXT,
    sam_key           TEXT,
    dn                TEXT,
    upn               TEXT NOT NULL,
    upn_key           TEXT NOT NULL,
    display_name      TEXT NOT NULL,
    mail              TEXT,
    mail_key          TEXT,
    source_anchor     TEXT,
    active            INTEGER NOT NULL,
    account_expires   INTEGER,
    locked_until      INTEGER,
    logon_hours       BLOB,
    tokens_valid_from INTEGER NOT NULL,
    PRIMARY KEY (tenant, guid)
) STRICT, WITHOUT ROWID;
INSERT INTO users_2 SELECT tenant, guid, domain, sid, sam, lower_case(sam), dn, upn, upn_key,
    display_name, NULL, NULL, NULL, active, NULL, NULL, NULL, 0 FROM users;
DROP TABLE users;
ALTER TABLE users_2 RENAME TO users;
-- Not unique: while names move from one user to another, both may have it for a moment.
CREATE INDEX users_by_upn ON users (tenant, upn_key, guid);
-- Of the server's own alone, who may turn out to be a directory's.
CREATE INDEX users_by_mail ON users (tenant, mail_key) WHERE domain IS NULL;
-- Few have one that is not their objectGUID.
CREATE INDEX users_by_source_anchor ON users (tenant, source_anchor) WHERE source_anchor IS NOT NULL;
CREATE INDEX users_by_sam ON users (tenant, sam_key, domain);

CREATE TABLE passwords (
    tenant      TEXT NOT NULL,
    account     TEXT NOT NULL,
    hash        TEXT NOT NULL,
    must_change INTEGER NOT NULL,
    PRIMARY KEY (tenant, account)
) STRICT, WITHOUT ROWID;

-- Groups.
CREATE TABLE groups_2 (
    tenant   TEXT NOT NULL,
    guid     TEXT NOT NULL,
    domain   TEXT,
    sid      TEXT,
    dn       TEXT,
    name     TEXT NOT NULL,
    name_key TEXT NOT NULL,
    PRIMARY KEY (tenant, guid)
) STRICT, WITHOUT ROWID;
INSERT INTO groups_2 SELECT tenant, guid, domain, sid, dn, name, lower_case(name) FROM groups;
DROP TABLE groups;
ALTER TABLE groups_2 RENAME TO groups;
CREATE INDEX groups_by_name ON groups (tenant, name_key, guid);

ALTER TABLE members RENAME COLUMN "group" TO parent;
DROP INDEX members_by_member;
CREATE INDEX members_by_member ON members (tenant, member, parent);

-- Roles.
CREATE TABLE role_assignments (
    tenant     TEXT NOT NULL,
    principal  TEXT NOT NULL,
    role       TEXT NOT NULL,
    scope_tags TEXT NOT NULL,
    PRIMARY KEY (tenant, principal, role)
) STRICT, WITHOUT ROWID;

CREATE TABLE scope_tags (
    tenant      TEXT NOT NULL,
    id          TEXT NOT NULL,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

-- Settings: one JSON object, whose absent members are as in a new tenant.
CREATE TABLE settings_2 (
    tenant TEXT PRIMARY KEY REFERENCES tenants,
    body   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO settings_2 SELECT tenant, json_object(
    'register_keys_groups',
    CASE WHEN register_keys_group IS NULL THEN json_array()
         ELSE json_array(register_keys_group) END,
    'join_devices_groups',
    CASE WHEN join_devices_group IS NULL THEN json_array()
         ELSE json_array(join_devices_group) END
) FROM settings;
DROP TABLE settings;
ALTER TABLE settings_2 RENAME TO settings;

CREATE TABLE hosts (
    tenant TEXT NOT NULL,
    name   TEXT NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

-- Where accounts have signed in from.
CREATE TABLE sources (
    tenant  TEXT NOT NULL,
    account TEXT NOT NULL,
    source  TEXT NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (tenant, account, source)
) STRICT, WITHOUT ROWID;
CREATE INDEX sources_by_end ON sources (expires);

-- Factors.
ALTER TABLE totp RENAME COLUMN user TO account;
ALTER TABLE totp ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE totp ADD COLUMN created INTEGER NOT NULL DEFAULT 0;
ALTER TABLE totp ADD COLUMN confirmed INTEGER NOT NULL DEFAULT 1;

CREATE TABLE security_keys (
    tenant    TEXT NOT NULL,
    id        BLOB NOT NULL,
    account   TEXT NOT NULL,
    name      TEXT NOT NULL,
    public    TEXT NOT NULL,
    counter   INTEGER NOT NULL,
    created   INTEGER NOT NULL,
    last_used INTEGER,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX security_keys_by_account ON security_keys (tenant, account);

CREATE TABLE access_passes (
    tenant  TEXT NOT NULL,
    account TEXT NOT NULL,
    digest  BLOB NOT NULL,
    starts  INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    once    INTEGER NOT NULL,
    used    INTEGER,
    PRIMARY KEY (tenant, account)
) STRICT, WITHOUT ROWID;

CREATE TABLE approvals (
    tenant  TEXT NOT NULL,
    id      BLOB NOT NULL,
    account TEXT NOT NULL,
    number  INTEGER NOT NULL,
    context TEXT NOT NULL,
    state   TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    session BLOB,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX approvals_by_account ON approvals (tenant, account);
CREATE INDEX approvals_by_end ON approvals (expires);

-- Applications.
CREATE TABLE apps (
    tenant           TEXT NOT NULL,
    client_id        TEXT NOT NULL,
    name             TEXT NOT NULL,
    kind             TEXT NOT NULL,
    redirect_uris    TEXT NOT NULL,
    post_logout_uris TEXT NOT NULL,
    jwks             TEXT,
    resources        TEXT NOT NULL,
    ropc             INTEGER NOT NULL,
    device_code      INTEGER NOT NULL,
    kdf1             INTEGER NOT NULL,
    cbc              INTEGER NOT NULL,
    no_pkce          INTEGER NOT NULL,
    enabled          INTEGER NOT NULL,
    PRIMARY KEY (tenant, client_id)
) STRICT, WITHOUT ROWID;

-- Sign-ins. Those that are under way begin anew.
DROP TABLE attempts;
CREATE TABLE attempts (
    tenant         TEXT NOT NULL,
    id             BLOB NOT NULL,
    kind           TEXT NOT NULL,
    client         TEXT NOT NULL,
    device         TEXT,
    username       TEXT NOT NULL,
    account        TEXT,
    resource       TEXT NOT NULL,
    code_challenge TEXT,
    two_factors    INTEGER NOT NULL,
    request        TEXT NOT NULL,
    password_at    INTEGER,
    methods        TEXT NOT NULL,
    mfa_time       INTEGER,
    webauthn       TEXT,
    approval       BLOB,
    expires        INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_by_device ON attempts (tenant, device);
CREATE INDEX attempts_by_end ON attempts (expires);

DROP TABLE codes;
CREATE TABLE codes (
    tenant         TEXT NOT NULL,
    id             BLOB NOT NULL,
    client         TEXT NOT NULL,
    device         TEXT,
    account        TEXT NOT NULL,
    resource       TEXT NOT NULL,
    scope          TEXT NOT NULL,
    redirect_uri   TEXT,
    nonce          TEXT,
    code_challenge TEXT,
    methods        TEXT NOT NULL,
    auth_time      INTEGER NOT NULL,
    mfa_time       INTEGER,
    prt            BLOB,
    session        BLOB,
    expires        INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX codes_by_account ON codes (tenant, account);
CREATE INDEX codes_by_device ON codes (tenant, device);
CREATE INDEX codes_by_end ON codes (expires);

CREATE TABLE sessions (
    tenant    TEXT NOT NULL,
    id        BLOB NOT NULL,
    account   TEXT NOT NULL,
    device    TEXT,
    methods   TEXT NOT NULL,
    auth_time INTEGER NOT NULL,
    mfa_time  INTEGER,
    created   INTEGER NOT NULL,
    expires   INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_account ON sessions (tenant, account);
CREATE INDEX sessions_by_device ON sessions (tenant, device);
CREATE INDEX sessions_by_end ON sessions (expires);

CREATE TABLE device_codes (
    tenant    TEXT NOT NULL,
    digest    BLOB NOT NULL,
    user_code TEXT NOT NULL,
    client    TEXT NOT NULL,
    resource  TEXT NOT NULL,
    scope     TEXT NOT NULL,
    wanted    TEXT NOT NULL,
    state     TEXT NOT NULL,
    account   TEXT,
    methods   TEXT NOT NULL,
    auth_time INTEGER,
    mfa_time  INTEGER,
    created   INTEGER NOT NULL,
    expires   INTEGER NOT NULL,
    last_poll INTEGER,
    PRIMARY KEY (tenant, digest)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX device_codes_by_user_code ON device_codes (tenant, user_code);
CREATE INDEX device_codes_by_account ON device_codes (tenant, account);
CREATE INDEX device_codes_by_end ON device_codes (expires);

-- Tokens that are kept.
CREATE TABLE refresh_families (
    tenant    TEXT NOT NULL,
    id        TEXT NOT NULL,
    account   TEXT NOT NULL,
    client    TEXT NOT NULL,
    device    TEXT,
    methods   TEXT NOT NULL,
    auth_time INTEGER NOT NULL,
    mfa_time  INTEGER,
    created   INTEGER NOT NULL,
    expires   INTEGER NOT NULL,
    revoked   INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_families_by_account ON refresh_families (tenant, account);
CREATE INDEX refresh_families_by_client ON refresh_families (tenant, client);
CREATE INDEX refresh_families_by_device ON refresh_families (tenant, device);
CREATE INDEX refresh_families_by_end ON refresh_families (expires);

CREATE TABLE refresh_tokens (
    tenant   TEXT NOT NULL,
    digest   BLOB NOT NULL,
    family   TEXT NOT NULL,
    resource TEXT NOT NULL,
    scope    TEXT NOT NULL,
    issued   INTEGER NOT NULL,
    expires  INTEGER NOT NULL,
    spent_at INTEGER,
    PRIMARY KEY (tenant, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_by_end ON refresh_tokens (expires);

CREATE TABLE prts (
    tenant      TEXT NOT NULL,
    digest      BLOB NOT NULL,
    account     TEXT NOT NULL,
    device      TEXT NOT NULL,
    session_key BLOB NOT NULL,
    methods     TEXT NOT NULL,
    auth_time   INTEGER NOT NULL,
    mfa_time    INTEGER,
    issued      INTEGER NOT NULL,
    expires     INTEGER NOT NULL,
    previous    BLOB,
    PRIMARY KEY (tenant, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX prts_by_account ON prts (tenant, account, device);
CREATE INDEX prts_by_device ON prts (tenant, device);
CREATE INDEX prts_by_previous ON prts (tenant, previous) WHERE previous IS NOT NULL;
CREATE INDEX prts_by_end ON prts (expires);

-- Keys that sign tokens; the one of version 1 keeps the name that it is sealed under.
CREATE TABLE signing_keys (
    tenant     TEXT NOT NULL,
    name       TEXT NOT NULL,
    alg        TEXT NOT NULL,
    sealed     BLOB NOT NULL,
    not_before INTEGER NOT NULL,
    retires    INTEGER,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;
INSERT INTO signing_keys SELECT s.tenant, s.name, 'RS256', s.value, t.created, NULL
    FROM sealed s JOIN tenants t ON t.id = s.tenant WHERE s.name = 'token-key';
DELETE FROM sealed WHERE name = 'token-key';

-- Devices.
CREATE TABLE devices_2 (
    tenant                  TEXT NOT NULL,
    id                      TEXT NOT NULL,
    domain                  TEXT,
    owner                   TEXT,
    join_type               INTEGER NOT NULL,
    display_name            TEXT NOT NULL,
    name_key                TEXT NOT NULL,
    os_version              TEXT NOT NULL,
    certificate             BLOB NOT NULL,
    certificate_hash        BLOB NOT NULL,
    transport_key           BLOB,
    transport_jwk           TEXT,
    attestation_key         BLOB,
    attestation_trust       TEXT NOT NULL,
    endorsement_key         BLOB,
    endorsement_hash        BLOB,
    endorsement_certificate BLOB,
    enabled                 INTEGER NOT NULL,
    joined                  INTEGER NOT NULL,
    last_seen               INTEGER,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
INSERT INTO devices_2 SELECT tenant, id, domain, NULL, 6, display_name, lower_case(display_name),
    os_version, certificate, sha256(certificate), transport_key, NULL, attestation_key, 'none',
    endorsement_key, NULL, endorsement_certificate, enabled, joined, NULL FROM devices;
DROP TABLE devices;
ALTER TABLE devices_2 RENAME TO devices;
CREATE INDEX devices_by_name ON devices (tenant, name_key, id);
CREATE INDEX devices_by_owner ON devices (tenant, owner);
CREATE INDEX devices_by_certificate ON devices (tenant, certificate_hash);

CREATE TABLE device_tombstones (
    tenant     TEXT NOT NULL,
    id         TEXT NOT NULL,
    deleted    INTEGER NOT NULL,
    deleted_by TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE endorsements (
    tenant TEXT NOT NULL,
    hash   BLOB NOT NULL,
    note   TEXT NOT NULL,
    added  INTEGER NOT NULL,
    PRIMARY KEY (tenant, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE tpm_roots (
    tenant TEXT NOT NULL,
    hash   BLOB NOT NULL,
    name   TEXT NOT NULL,
    der    BLOB NOT NULL,
    added  INTEGER NOT NULL,
    PRIMARY KEY (tenant, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE evaluations (
    tenant            TEXT NOT NULL,
    account           TEXT NOT NULL,
    device            TEXT NOT NULL,
    requires_hardware INTEGER NOT NULL,
    evaluated         INTEGER NOT NULL,
    PRIMARY KEY (tenant, account, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX evaluations_by_device ON evaluations (tenant, device);

-- What agents say of themselves, and which of a domain's may write.
ALTER TABLE agents ADD COLUMN host TEXT;
ALTER TABLE agents ADD COLUMN version TEXT;
ALTER TABLE agents ADD COLUMN staging INTEGER NOT NULL DEFAULT 0;
ALTER TABLE agents ADD COLUMN seen INTEGER;
CREATE TABLE agent_leases (
    tenant   TEXT NOT NULL,
    domain   TEXT NOT NULL,
    agent    TEXT NOT NULL,
    instance TEXT NOT NULL,
    host     TEXT NOT NULL,
    until    INTEGER NOT NULL,
    PRIMARY KEY (tenant, domain)
) STRICT, WITHOUT ROWID;

-- The lockout values of devices' TPMs, and the code of each that gives it back.
CREATE TABLE lockouts (
    tenant  TEXT NOT NULL,
    device  TEXT NOT NULL,
    value   BLOB NOT NULL,
    code    BLOB,
    expires INTEGER,
    wrong   INTEGER NOT NULL,
    PRIMARY KEY (tenant, device)
) STRICT, WITHOUT ROWID;

-- Keys: one of a user whom AD does not have stays here.
CREATE TABLE keys_2 (
    tenant        TEXT NOT NULL,
    kid           TEXT NOT NULL,
    domain        TEXT,
    account       TEXT NOT NULL,
    sid           TEXT,
    device        TEXT NOT NULL,
    material      BLOB NOT NULL,
    material_hash BLOB NOT NULL,
    attestation   TEXT,
    level         TEXT NOT NULL,
    reason        TEXT NOT NULL,
    attested      INTEGER NOT NULL,
    state         TEXT NOT NULL,
    code          TEXT,
    detail        TEXT,
    dc            TEXT,
    registered_ms INTEGER NOT NULL,
    confirmed_ms  INTEGER,
    PRIMARY KEY (tenant, kid)
) STRICT, WITHOUT ROWID;
INSERT INTO keys_2 SELECT tenant, kid, domain, user, sid, device, material, sha256(material),
    attestation, 'none', '', registered_ms / 1000, state, code, detail, dc, registered_ms,
    confirmed_ms FROM keys;
DROP TABLE keys;
ALTER TABLE keys_2 RENAME TO keys;
CREATE INDEX keys_by_sid ON keys (tenant, sid);
CREATE INDEX keys_by_account ON keys (tenant, account, device);
CREATE INDEX keys_by_device ON keys (tenant, device);
CREATE INDEX keys_by_time ON keys (tenant, registered_ms, kid);
-- One key per user and device, and one owner per key, as long as it is not on its way out.
CREATE UNIQUE INDEX keys_in_use ON keys (tenant, account, device)
    WHERE state NOT IN ('removing', 'removed');
CREATE UNIQUE INDEX material_in_use ON keys (tenant, material_hash)
    WHERE state NOT IN ('removing', 'removed');

CREATE INDEX changes_by_place ON changes (tenant, seq);

-- Logs.
CREATE TABLE sign_ins (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant   TEXT NOT NULL,
    at_ms    INTEGER NOT NULL,
    account  TEXT,
    name     TEXT NOT NULL,
    client   TEXT NOT NULL,
    resource TEXT NOT NULL,
    device   TEXT,
    ip       TEXT NOT NULL,
    stage    TEXT NOT NULL,
    result   INTEGER NOT NULL,
    request  TEXT NOT NULL
) STRICT;
CREATE INDEX sign_ins_by_place ON sign_ins (tenant, id);
CREATE INDEX sign_ins_by_account ON sign_ins (tenant, account, id);

-- The hashes of rows that are there are filled in by the step that runs this.
ALTER TABLE audit ADD COLUMN hash BLOB NOT NULL DEFAULT
    x'0000000000000000000000000000000000000000000000000000000000000000';
CREATE INDEX audit_by_place ON audit (tenant, id);
CREATE TABLE audit_ends (
    tenant TEXT PRIMARY KEY,
    hash   BLOB NOT NULL,
    count  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX enrollment_codes_by_end ON enrollment_codes (expires);
CREATE INDEX spent_statements_by_end ON spent_statements (expires);

-- Policies. What stands in one, and whom it reaches, is one JSON object; former versions stay.
CREATE INDEX users_by_sid ON users (tenant, sid);
CREATE TABLE policies (
    tenant      TEXT NOT NULL,
    id          TEXT NOT NULL,
    name_key    TEXT NOT NULL,
    version     INTEGER NOT NULL,
    content     TEXT NOT NULL,
    created     INTEGER NOT NULL,
    modified    INTEGER NOT NULL,
    modified_by TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX policies_by_name ON policies (tenant, name_key, id);
CREATE TABLE policy_versions (
    tenant      TEXT NOT NULL,
    policy      TEXT NOT NULL,
    version     INTEGER NOT NULL,
    content     TEXT NOT NULL,
    modified    INTEGER NOT NULL,
    modified_by TEXT NOT NULL,
    PRIMARY KEY (tenant, policy, version)
) STRICT, WITHOUT ROWID;
-- Moved by whatever may change what policies come to for somebody.
CREATE TABLE policy_stamps (
    tenant TEXT NOT NULL,
    stamp  INTEGER NOT NULL,
    PRIMARY KEY (tenant)
) STRICT, WITHOUT ROWID;
CREATE TABLE enrollment_configurations (
    tenant      TEXT NOT NULL,
    id          TEXT NOT NULL,
    priority    INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    content     TEXT NOT NULL,
    created     INTEGER NOT NULL,
    modified    INTEGER NOT NULL,
    modified_by TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
-- As they were, column by column.
CREATE TABLE enrollment_versions (
    tenant      TEXT NOT NULL,
    id          TEXT NOT NULL,
    priority    INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    content     TEXT NOT NULL,
    created     INTEGER NOT NULL,
    modified    INTEGER NOT NULL,
    modified_by TEXT NOT NULL,
    PRIMARY KEY (tenant, id, version)
) STRICT, WITHOUT ROWID;
-- What a device got when it joined.
CREATE TABLE device_enrollments (
    tenant        TEXT NOT NULL,
    device        TEXT NOT NULL,
    configuration TEXT NOT NULL,
    given         TEXT NOT NULL,
    at            INTEGER NOT NULL,
    PRIMARY KEY (tenant, device)
) STRICT, WITHOUT ROWID;
-- What a device said last became of its policies.
CREATE TABLE policy_reports (
    tenant   TEXT NOT NULL,
    device   TEXT NOT NULL,
    etag     TEXT NOT NULL,
    reports  TEXT NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (tenant, device)
) STRICT, WITHOUT ROWID;
