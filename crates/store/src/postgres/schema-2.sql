-- Version 2, the first one that PostgreSQL has: the tables, columns and indexes of SQLite's version 2,
-- which says what they are. Texts compare by their bytes, as in SQLite, whatever the
-- database was made with: pages and prefixes rely on it.

CREATE TABLE tenants (
    id      TEXT COLLATE "C" NOT NULL,
    name    TEXT COLLATE "C" NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE sealed (
    tenant TEXT COLLATE "C" NOT NULL,
    name   TEXT COLLATE "C" NOT NULL,
    value  BYTEA NOT NULL,
    PRIMARY KEY (tenant, name)
);

CREATE TABLE signing_keys (
    tenant     TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    alg        TEXT COLLATE "C" NOT NULL,
    sealed     BYTEA NOT NULL,
    not_before BIGINT NOT NULL,
    retires    BIGINT,
    PRIMARY KEY (tenant, name)
);

CREATE TABLE settings (
    tenant TEXT COLLATE "C" NOT NULL,
    body   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant)
);

CREATE TABLE hosts (
    tenant TEXT COLLATE "C" NOT NULL,
    name   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, name)
);

-- Where accounts have signed in from.
CREATE TABLE sources (
    tenant  TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    source  TEXT COLLATE "C" NOT NULL,
    expires BIGINT NOT NULL,
    PRIMARY KEY (tenant, account, source)
);
CREATE INDEX sources_by_end ON sources (expires);

CREATE TABLE domains (
    tenant       TEXT COLLATE "C" NOT NULL,
    guid         TEXT COLLATE "C" NOT NULL,
    sid          TEXT COLLATE "C" NOT NULL,
    dns_name     TEXT COLLATE "C" NOT NULL,
    netbios_name TEXT COLLATE "C" NOT NULL,
    added        BIGINT NOT NULL,
    PRIMARY KEY (tenant, guid)
);

CREATE TABLE enrollment_codes (
    tenant  TEXT COLLATE "C" NOT NULL,
    digest  BYTEA NOT NULL,
    expires BIGINT NOT NULL,
    PRIMARY KEY (tenant, digest)
);
CREATE INDEX enrollment_codes_by_end ON enrollment_codes (expires);

CREATE TABLE agents (
    tenant     TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    domain     TEXT COLLATE "C" NOT NULL,
    principal  TEXT COLLATE "C" NOT NULL,
    public_key BYTEA NOT NULL,
    enrolled   BIGINT NOT NULL,
    host       TEXT COLLATE "C",
    version    TEXT COLLATE "C",
    staging    BIGINT NOT NULL DEFAULT 0,
    seen       BIGINT,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE agent_leases (
    tenant   TEXT COLLATE "C" NOT NULL,
    domain   TEXT COLLATE "C" NOT NULL,
    agent    TEXT COLLATE "C" NOT NULL,
    instance TEXT COLLATE "C" NOT NULL,
    host     TEXT COLLATE "C" NOT NULL,
    until    BIGINT NOT NULL,
    PRIMARY KEY (tenant, domain)
);

CREATE TABLE spent_statements (
    tenant  TEXT COLLATE "C" NOT NULL,
    id      BYTEA NOT NULL,
    expires BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX spent_statements_by_end ON spent_statements (expires);

CREATE TABLE users (
    tenant            TEXT COLLATE "C" NOT NULL,
    guid              TEXT COLLATE "C" NOT NULL,
    domain            TEXT COLLATE "C",
    sid               TEXT COLLATE "C",
    sam               TEXT COLLATE "C",
    sam_key           TEXT COLLATE "C",
    dn                TEXT COLLATE "C",
    upn               TEXT COLLATE "C" NOT NULL,
    upn_key           TEXT COLLATE "C" NOT NULL,
    display_name      TEXT COLLATE "C" NOT NULL,
    mail              TEXT COLLATE "C",
    mail_key          TEXT COLLATE "C",
    source_anchor     TEXT COLLATE "C",
    active            BIGINT NOT NULL,
    account_expires   BIGINT,
    locked_until      BIGINT,
    logon_hours       BYTEA,
    tokens_valid_from BIGINT NOT NULL,
    PRIMARY KEY (tenant, guid)
);
CREATE INDEX users_by_upn ON users (tenant, upn_key, guid);
-- Of the server's own alone, who may turn out to be a directory's.
CREATE INDEX users_by_mail ON users (tenant, mail_key) WHERE domain IS NULL;
-- Few have one that is not their objectGUID.
CREATE INDEX users_by_source_anchor ON users (tenant, source_anchor) WHERE source_anchor IS NOT NULL;
CREATE INDEX users_by_sam ON users (tenant, sam_key, domain);

CREATE TABLE passwords (
    tenant      TEXT COLLATE "C" NOT NULL,
    account     TEXT COLLATE "C" NOT NULL,
    hash        TEXT COLLATE "C" NOT NULL,
    must_change BIGINT NOT NULL,
    PRIMARY KEY (tenant, account)
);

CREATE TABLE groups (
    tenant   TEXT COLLATE "C" NOT NULL,
    guid     TEXT COLLATE "C" NOT NULL,
    domain   TEXT COLLATE "C",
    sid      TEXT COLLATE "C",
    dn       TEXT COLLATE "C",
    name     TEXT COLLATE "C" NOT NULL,
    name_key TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, guid)
);
CREATE INDEX groups_by_name ON groups (tenant, name_key, guid);

CREATE TABLE members (
    tenant TEXT COLLATE "C" NOT NULL,
    parent TEXT COLLATE "C" NOT NULL,
    member TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, parent, member)
);
CREATE INDEX members_by_member ON members (tenant, member, parent);

CREATE TABLE role_assignments (
    tenant     TEXT COLLATE "C" NOT NULL,
    principal  TEXT COLLATE "C" NOT NULL,
    role       TEXT COLLATE "C" NOT NULL,
    scope_tags TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, principal, role)
);

CREATE TABLE scope_tags (
    tenant      TEXT COLLATE "C" NOT NULL,
    id          TEXT COLLATE "C" NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE computers (
    tenant TEXT COLLATE "C" NOT NULL,
    guid   TEXT COLLATE "C" NOT NULL,
    domain TEXT COLLATE "C" NOT NULL,
    sid    TEXT COLLATE "C" NOT NULL,
    name   TEXT COLLATE "C" NOT NULL,
    dn     TEXT COLLATE "C" NOT NULL,
    active BIGINT NOT NULL,
    PRIMARY KEY (tenant, guid)
);

CREATE TABLE computer_certificates (
    tenant   TEXT COLLATE "C" NOT NULL,
    computer TEXT COLLATE "C" NOT NULL,
    place    BIGINT NOT NULL,
    der      BYTEA NOT NULL,
    PRIMARY KEY (tenant, computer, place)
);

CREATE TABLE devices (
    tenant                  TEXT COLLATE "C" NOT NULL,
    id                      TEXT COLLATE "C" NOT NULL,
    domain                  TEXT COLLATE "C",
    owner                   TEXT COLLATE "C",
    join_type               BIGINT NOT NULL,
    display_name            TEXT COLLATE "C" NOT NULL,
    name_key                TEXT COLLATE "C" NOT NULL,
    os_version              TEXT COLLATE "C" NOT NULL,
    certificate             BYTEA NOT NULL,
    certificate_hash        BYTEA NOT NULL,
    transport_key           BYTEA,
    transport_jwk           TEXT COLLATE "C",
    attestation_key         BYTEA,
    attestation_trust       TEXT COLLATE "C" NOT NULL,
    endorsement_key         BYTEA,
    endorsement_hash        BYTEA,
    endorsement_certificate BYTEA,
    enabled                 BIGINT NOT NULL,
    joined                  BIGINT NOT NULL,
    last_seen               BIGINT,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX devices_by_name ON devices (tenant, name_key, id);
CREATE INDEX devices_by_owner ON devices (tenant, owner);
CREATE INDEX devices_by_certificate ON devices (tenant, certificate_hash);

CREATE TABLE device_tombstones (
    tenant     TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    deleted    BIGINT NOT NULL,
    deleted_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE endorsements (
    tenant TEXT COLLATE "C" NOT NULL,
    hash   BYTEA NOT NULL,
    note   TEXT COLLATE "C" NOT NULL,
    added  BIGINT NOT NULL,
    PRIMARY KEY (tenant, hash)
);

CREATE TABLE tpm_roots (
    tenant TEXT COLLATE "C" NOT NULL,
    hash   BYTEA NOT NULL,
    name   TEXT COLLATE "C" NOT NULL,
    der    BYTEA NOT NULL,
    added  BIGINT NOT NULL,
    PRIMARY KEY (tenant, hash)
);

CREATE TABLE evaluations (
    tenant            TEXT COLLATE "C" NOT NULL,
    account           TEXT COLLATE "C" NOT NULL,
    device            TEXT COLLATE "C" NOT NULL,
    requires_hardware BIGINT NOT NULL,
    evaluated         BIGINT NOT NULL,
    PRIMARY KEY (tenant, account, device)
);
CREATE INDEX evaluations_by_device ON evaluations (tenant, device);

CREATE TABLE totp (
    tenant    TEXT COLLATE "C" NOT NULL,
    account   TEXT COLLATE "C" NOT NULL,
    sealed    BYTEA NOT NULL,
    last_step BIGINT NOT NULL,
    name      TEXT COLLATE "C" NOT NULL,
    created   BIGINT NOT NULL,
    confirmed BIGINT NOT NULL,
    PRIMARY KEY (tenant, account)
);

CREATE TABLE security_keys (
    tenant    TEXT COLLATE "C" NOT NULL,
    id        BYTEA NOT NULL,
    account   TEXT COLLATE "C" NOT NULL,
    name      TEXT COLLATE "C" NOT NULL,
    public    TEXT COLLATE "C" NOT NULL,
    counter   BIGINT NOT NULL,
    created   BIGINT NOT NULL,
    last_used BIGINT,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX security_keys_by_account ON security_keys (tenant, account);

CREATE TABLE access_passes (
    tenant  TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    digest  BYTEA NOT NULL,
    starts  BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    once    BIGINT NOT NULL,
    used    BIGINT,
    PRIMARY KEY (tenant, account)
);

CREATE TABLE approvals (
    tenant  TEXT COLLATE "C" NOT NULL,
    id      BYTEA NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    number  BIGINT NOT NULL,
    context TEXT COLLATE "C" NOT NULL,
    state   TEXT COLLATE "C" NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    session BYTEA,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX approvals_by_account ON approvals (tenant, account);
CREATE INDEX approvals_by_end ON approvals (expires);

CREATE TABLE tries (
    id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant  TEXT COLLATE "C" NOT NULL,
    factor  TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    at      BIGINT NOT NULL
);
CREATE INDEX tries_by_subject ON tries (tenant, factor, subject, at);
CREATE INDEX tries_by_time ON tries (at);

CREATE TABLE apps (
    tenant           TEXT COLLATE "C" NOT NULL,
    client_id        TEXT COLLATE "C" NOT NULL,
    name             TEXT COLLATE "C" NOT NULL,
    kind             TEXT COLLATE "C" NOT NULL,
    redirect_uris    TEXT COLLATE "C" NOT NULL,
    post_logout_uris TEXT COLLATE "C" NOT NULL,
    jwks             TEXT COLLATE "C",
    resources        TEXT COLLATE "C" NOT NULL,
    ropc             BIGINT NOT NULL,
    device_code      BIGINT NOT NULL,
    kdf1             BIGINT NOT NULL,
    cbc              BIGINT NOT NULL,
    no_pkce          BIGINT NOT NULL,
    enabled          BIGINT NOT NULL,
    PRIMARY KEY (tenant, client_id)
);

CREATE TABLE attempts (
    tenant         TEXT COLLATE "C" NOT NULL,
    id             BYTEA NOT NULL,
    kind           TEXT COLLATE "C" NOT NULL,
    client         TEXT COLLATE "C" NOT NULL,
    device         TEXT COLLATE "C",
    username       TEXT COLLATE "C" NOT NULL,
    account        TEXT COLLATE "C",
    resource       TEXT COLLATE "C" NOT NULL,
    code_challenge TEXT COLLATE "C",
    two_factors    BIGINT NOT NULL,
    request        TEXT COLLATE "C" NOT NULL,
    password_at    BIGINT,
    methods        TEXT COLLATE "C" NOT NULL,
    mfa_time       BIGINT,
    webauthn       TEXT COLLATE "C",
    approval       BYTEA,
    expires        BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX attempts_by_device ON attempts (tenant, device);
CREATE INDEX attempts_by_end ON attempts (expires);

CREATE TABLE codes (
    tenant         TEXT COLLATE "C" NOT NULL,
    id             BYTEA NOT NULL,
    client         TEXT COLLATE "C" NOT NULL,
    device         TEXT COLLATE "C",
    account        TEXT COLLATE "C" NOT NULL,
    resource       TEXT COLLATE "C" NOT NULL,
    scope          TEXT COLLATE "C" NOT NULL,
    redirect_uri   TEXT COLLATE "C",
    nonce          TEXT COLLATE "C",
    code_challenge TEXT COLLATE "C",
    methods        TEXT COLLATE "C" NOT NULL,
    auth_time      BIGINT NOT NULL,
    mfa_time       BIGINT,
    prt            BYTEA,
    session        BYTEA,
    expires        BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX codes_by_account ON codes (tenant, account);
CREATE INDEX codes_by_device ON codes (tenant, device);
CREATE INDEX codes_by_end ON codes (expires);

CREATE TABLE sessions (
    tenant    TEXT COLLATE "C" NOT NULL,
    id        BYTEA NOT NULL,
    account   TEXT COLLATE "C" NOT NULL,
    device    TEXT COLLATE "C",
    methods   TEXT COLLATE "C" NOT NULL,
    auth_time BIGINT NOT NULL,
    mfa_time  BIGINT,
    created   BIGINT NOT NULL,
    expires   BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX sessions_by_account ON sessions (tenant, account);
CREATE INDEX sessions_by_device ON sessions (tenant, device);
CREATE INDEX sessions_by_end ON sessions (expires);

CREATE TABLE device_codes (
    tenant    TEXT COLLATE "C" NOT NULL,
    digest    BYTEA NOT NULL,
    user_code TEXT COLLATE "C" NOT NULL,
    client    TEXT COLLATE "C" NOT NULL,
    resource  TEXT COLLATE "C" NOT NULL,
    scope     TEXT COLLATE "C" NOT NULL,
    wanted    TEXT COLLATE "C" NOT NULL,
    state     TEXT COLLATE "C" NOT NULL,
    account   TEXT COLLATE "C",
    methods   TEXT COLLATE "C" NOT NULL,
    auth_time BIGINT,
    mfa_time  BIGINT,
    created   BIGINT NOT NULL,
    expires   BIGINT NOT NULL,
    last_poll BIGINT,
    PRIMARY KEY (tenant, digest)
);
CREATE UNIQUE INDEX device_codes_by_user_code ON device_codes (tenant, user_code);
CREATE INDEX device_codes_by_account ON device_codes (tenant, account);
CREATE INDEX device_codes_by_end ON device_codes (expires);

CREATE TABLE refresh_families (
    tenant    TEXT COLLATE "C" NOT NULL,
    id        TEXT COLLATE "C" NOT NULL,
    account   TEXT COLLATE "C" NOT NULL,
    client    TEXT COLLATE "C" NOT NULL,
    device    TEXT COLLATE "C",
    methods   TEXT COLLATE "C" NOT NULL,
    auth_time BIGINT NOT NULL,
    mfa_time  BIGINT,
    created   BIGINT NOT NULL,
    expires   BIGINT NOT NULL,
    revoked   BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX refresh_families_by_account ON refresh_families (tenant, account);
CREATE INDEX refresh_families_by_client ON refresh_families (tenant, client);
CREATE INDEX refresh_families_by_device ON refresh_families (tenant, device);
CREATE INDEX refresh_families_by_end ON refresh_families (expires);

CREATE TABLE refresh_tokens (
    tenant   TEXT COLLATE "C" NOT NULL,
    digest   BYTEA NOT NULL,
    family   TEXT COLLATE "C" NOT NULL,
    resource TEXT COLLATE "C" NOT NULL,
    scope    TEXT COLLATE "C" NOT NULL,
    issued   BIGINT NOT NULL,
    expires  BIGINT NOT NULL,
    spent_at BIGINT,
    PRIMARY KEY (tenant, digest)
);
CREATE INDEX refresh_tokens_by_end ON refresh_tokens (expires);

CREATE TABLE prts (
    tenant      TEXT COLLATE "C" NOT NULL,
    digest      BYTEA NOT NULL,
    account     TEXT COLLATE "C" NOT NULL,
    device      TEXT COLLATE "C" NOT NULL,
    session_key BYTEA NOT NULL,
    methods     TEXT COLLATE "C" NOT NULL,
    auth_time   BIGINT NOT NULL,
    mfa_time    BIGINT,
    issued      BIGINT NOT NULL,
    expires     BIGINT NOT NULL,
    previous    BYTEA,
    PRIMARY KEY (tenant, digest)
);
CREATE INDEX prts_by_account ON prts (tenant, account, device);
CREATE INDEX prts_by_device ON prts (tenant, device);
CREATE INDEX prts_by_previous ON prts (tenant, previous) WHERE previous IS NOT NULL;
CREATE INDEX prts_by_end ON prts (expires);

CREATE TABLE lockouts (
    tenant  TEXT COLLATE "C" NOT NULL,
    device  TEXT COLLATE "C" NOT NULL,
    value   BYTEA NOT NULL,
    code    BYTEA,
    expires BIGINT,
    wrong   BIGINT NOT NULL,
    PRIMARY KEY (tenant, device)
);

CREATE TABLE keys (
    tenant        TEXT COLLATE "C" NOT NULL,
    kid           TEXT COLLATE "C" NOT NULL,
    domain        TEXT COLLATE "C",
    account       TEXT COLLATE "C" NOT NULL,
    sid           TEXT COLLATE "C",
    device        TEXT COLLATE "C" NOT NULL,
    material      BYTEA NOT NULL,
    material_hash BYTEA NOT NULL,
    attestation   TEXT COLLATE "C",
    level         TEXT COLLATE "C" NOT NULL,
    reason        TEXT COLLATE "C" NOT NULL,
    attested      BIGINT NOT NULL,
    state         TEXT COLLATE "C" NOT NULL,
    code          TEXT COLLATE "C",
    detail        TEXT COLLATE "C",
    dc            TEXT COLLATE "C",
    registered_ms BIGINT NOT NULL,
    confirmed_ms  BIGINT,
    PRIMARY KEY (tenant, kid)
);
CREATE INDEX keys_by_sid ON keys (tenant, sid);
CREATE INDEX keys_by_account ON keys (tenant, account, device);
CREATE INDEX keys_by_device ON keys (tenant, device);
CREATE INDEX keys_by_time ON keys (tenant, registered_ms, kid);
CREATE UNIQUE INDEX keys_in_use ON keys (tenant, account, device)
    WHERE state NOT IN ('removing', 'removed');
CREATE UNIQUE INDEX material_in_use ON keys (tenant, material_hash)
    WHERE state NOT IN ('removing', 'removed');

CREATE TABLE changes (
    seq      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant   TEXT COLLATE "C" NOT NULL,
    domain   TEXT COLLATE "C" NOT NULL,
    kid      TEXT COLLATE "C" NOT NULL,
    op       TEXT COLLATE "C" NOT NULL,
    evidence TEXT COLLATE "C",
    open     BIGINT NOT NULL
);
CREATE INDEX open_changes ON changes (tenant, domain, seq) WHERE open = 1;
CREATE INDEX changes_by_key ON changes (tenant, kid, seq);
CREATE INDEX changes_by_place ON changes (tenant, seq);

CREATE TABLE sign_ins (
    id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant   TEXT COLLATE "C" NOT NULL,
    at_ms    BIGINT NOT NULL,
    account  TEXT COLLATE "C",
    name     TEXT COLLATE "C" NOT NULL,
    client   TEXT COLLATE "C" NOT NULL,
    resource TEXT COLLATE "C" NOT NULL,
    device   TEXT COLLATE "C",
    ip       TEXT COLLATE "C" NOT NULL,
    stage    TEXT COLLATE "C" NOT NULL,
    result   BIGINT NOT NULL,
    request  TEXT COLLATE "C" NOT NULL
);
CREATE INDEX sign_ins_by_place ON sign_ins (tenant, id);
CREATE INDEX sign_ins_by_account ON sign_ins (tenant, account, id);

CREATE TABLE audit (
    id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant  TEXT COLLATE "C" NOT NULL,
    at      BIGINT NOT NULL,
    actor   TEXT COLLATE "C" NOT NULL,
    action  TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    hash    BYTEA NOT NULL
);
CREATE INDEX audit_by_place ON audit (tenant, id);

CREATE TABLE audit_ends (
    tenant TEXT COLLATE "C" NOT NULL,
    hash   BYTEA NOT NULL,
    count  BIGINT NOT NULL,
    PRIMARY KEY (tenant)
);

-- Policies. What stands in one, and whom it reaches, is one JSON object; former versions stay.
CREATE INDEX users_by_sid ON users (tenant, sid);
CREATE TABLE policies (
    tenant      TEXT COLLATE "C" NOT NULL,
    id          TEXT COLLATE "C" NOT NULL,
    name_key    TEXT COLLATE "C" NOT NULL,
    version     BIGINT NOT NULL,
    content     TEXT COLLATE "C" NOT NULL,
    created     BIGINT NOT NULL,
    modified    BIGINT NOT NULL,
    modified_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX policies_by_name ON policies (tenant, name_key, id);
CREATE TABLE policy_versions (
    tenant      TEXT COLLATE "C" NOT NULL,
    policy      TEXT COLLATE "C" NOT NULL,
    version     BIGINT NOT NULL,
    content     TEXT COLLATE "C" NOT NULL,
    modified    BIGINT NOT NULL,
    modified_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, policy, version)
);
-- Moved by whatever may change what policies come to for somebody.
CREATE TABLE policy_stamps (
    tenant TEXT COLLATE "C" NOT NULL,
    stamp  BIGINT NOT NULL,
    PRIMARY KEY (tenant)
);
CREATE TABLE enrollment_configurations (
    tenant      TEXT COLLATE "C" NOT NULL,
    id          TEXT COLLATE "C" NOT NULL,
    priority    BIGINT NOT NULL,
    version     BIGINT NOT NULL,
    content     TEXT COLLATE "C" NOT NULL,
    created     BIGINT NOT NULL,
    modified    BIGINT NOT NULL,
    modified_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, id)
);
-- As they were, column by column.
CREATE TABLE enrollment_versions (
    tenant      TEXT COLLATE "C" NOT NULL,
    id          TEXT COLLATE "C" NOT NULL,
    priority    BIGINT NOT NULL,
    version     BIGINT NOT NULL,
    content     TEXT COLLATE "C" NOT NULL,
    created     BIGINT NOT NULL,
    modified    BIGINT NOT NULL,
    modified_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, id, version)
);
-- What a device got when it joined.
CREATE TABLE device_enrollments (
    tenant        TEXT COLLATE "C" NOT NULL,
    device        TEXT COLLATE "C" NOT NULL,
    configuration TEXT COLLATE "C" NOT NULL,
    given         TEXT COLLATE "C" NOT NULL,
    at            BIGINT NOT NULL,
    PRIMARY KEY (tenant, device)
);
-- What a device said last became of its policies.
CREATE TABLE policy_reports (
    tenant   TEXT COLLATE "C" NOT NULL,
    device   TEXT COLLATE "C" NOT NULL,
    etag     TEXT COLLATE "C" NOT NULL,
    reports  TEXT COLLATE "C" NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (tenant, device)
);
