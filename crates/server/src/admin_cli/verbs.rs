//! The administrator's verbs.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::policies::{EnrollmentVerb, PolicyVerb};

#[derive(Subcommand)]
pub(super) enum Noun {
    /// Agents.
    #[command(subcommand)]
    Agent(AgentVerb),
    /// Users.
    #[command(subcommand)]
    User(UserVerb),
    /// Groups.
    #[command(subcommand)]
    Group(GroupVerb),
    /// Roles of administrators.
    #[command(subcommand)]
    Role(RoleVerb),
    /// Scope tags: each limits roles to the members of a group.
    #[command(subcommand)]
    ScopeTag(ScopeTagVerb),
    /// Devices.
    #[command(subcommand)]
    Device(DeviceVerb),
    /// Policies: what devices and people are given.
    #[command(subcommand)]
    Policies(PolicyVerb),
    /// The enrollment configuration: what devices get once, when they join.
    #[command(subcommand)]
    Enrollment(EnrollmentVerb),
    /// Sign-ins on another device that wait for somebody.
    #[command(subcommand)]
    DeviceCode(DeviceCodeVerb),
    /// Keys.
    #[command(subcommand)]
    Key(KeyVerb),
    /// Applications that people sign in to.
    #[command(subcommand)]
    App(AppVerb),
    /// Settings.
    #[command(subcommand)]
    Settings(SettingsVerb),
    /// Further names under which this server is reached.
    #[command(subcommand)]
    Host(HostVerb),
    /// Keys that sign tokens.
    #[command(subcommand)]
    SigningKey(SigningKeyVerb),
    /// The authority that issues device certificates.
    #[command(subcommand)]
    Ca(CaVerb),
    /// Endorsement keys of TPMs that are believed.
    #[command(subcommand)]
    Endorsement(EndorsementVerb),
    /// Manufacturers of TPMs that are believed.
    #[command(subcommand)]
    TpmRoot(TpmRootVerb),
    /// The audit log.
    #[command(subcommand)]
    Audit(AuditVerb),
    /// The sign-in log.
    #[command(subcommand)]
    SignIn(SignInVerb),
}

#[derive(Subcommand)]
pub(super) enum AgentVerb {
    /// Makes a one-time code that enrolls an agent within the hour.
    Code,
    /// Lists all, and which of them writes.
    List,
    /// Ends an agent's credential; it is refused from then on.
    Revoke {
        /// Its id.
        agent: String,
    },
}

/// Which rows of a list.
#[derive(Args)]
pub(super) struct Some {
    /// Only those whose name begins so.
    #[arg(long, default_value = "")]
    pub(super) prefix: String,
}

#[derive(Subcommand)]
pub(super) enum UserVerb {
    /// Lists all.
    List(Some),
    /// Shows one with its keys.
    Show {
        /// A principal name, DOMAIN\NAME, or a sAMAccountName alone.
        upn: String,
    },
    /// Lists what became of policies for one, on each device.
    Policies {
        /// The user.
        upn: String,
    },
    /// Makes one of the server's own.
    Create {
        /// The user principal name.
        upn: String,
        /// For people.
        #[arg(long)]
        name: Option<String>,
        /// The mail address.
        #[arg(long)]
        mail: Option<String>,
        /// Takes the password from standard input; without it nobody knows one.
        #[arg(long)]
        password_stdin: bool,
        /// The user chooses another one at the first sign-in.
        #[arg(long)]
        must_change: bool,
    },
    /// Changes one of the server's own.
    Set {
        /// The user.
        upn: String,
        /// Another principal name.
        #[arg(long = "upn")]
        new_upn: Option<String>,
        /// For people.
        #[arg(long)]
        name: Option<String>,
        /// The mail address.
        #[arg(long)]
        mail: Option<String>,
        /// When the account ends, in unix seconds; 0 is never.
        #[arg(long)]
        expires: Option<i64>,
        /// What a directory knows the user by, in base64: the user of AD that has it becomes this
        /// one, where the setting block-hard-match is off.
        #[arg(long)]
        source_anchor: Option<String>,
    },
    /// Shuts one of the server's own out, until it is enabled.
    Disable {
        /// The user.
        upn: String,
    },
    /// Lets one of the server's own in again.
    Enable {
        /// The user.
        upn: String,
    },
    /// Deletes one of the server's own.
    Delete {
        /// The user.
        upn: String,
    },
    /// Takes a new password of one of the server's own from standard input.
    Password {
        /// The user.
        upn: String,
        /// The user chooses another one at the next sign-in.
        #[arg(long)]
        must_change: bool,
    },
    /// Ends every session and token of a user.
    SignOut {
        /// The user.
        upn: String,
    },
    /// Shows what group policy asks of a key that the user makes on a device.
    Policy {
        /// The user principal name.
        upn: String,
        /// The device's name or id.
        device: String,
    },
    /// Gives the user a new one-time password generator and prints its URI, this once.
    Totp {
        /// The user principal name.
        upn: String,
        /// Takes the secret (base32) from standard input and prints nothing of it.
        #[arg(long)]
        secret_stdin: bool,
    },
    /// Lists what the user can confirm a sign-in with.
    Factors {
        /// The user.
        upn: String,
    },
    /// Issues a Temporary Access Pass and prints it, this once: it stands for password and second
    /// factor, and lets its user register the first one.
    AccessPass {
        /// The user.
        upn: String,
        /// For how many minutes it is good.
        #[arg(long, default_value_t = 60)]
        minutes: u32,
        /// In how many minutes it begins.
        #[arg(long, default_value_t = 0)]
        starts_in_minutes: u32,
        /// It may be used again as long as it is good.
        #[arg(long)]
        reusable: bool,
    },
    /// Takes the Temporary Access Pass of a user.
    ForgetAccessPass {
        /// The user.
        upn: String,
    },
    /// Takes every second factor and pass of a user.
    ForgetFactors {
        /// The user.
        upn: String,
    },
}

#[derive(Subcommand)]
pub(super) enum GroupVerb {
    /// Lists all.
    List(Some),
    /// Makes one of the server's own.
    Create {
        /// Its name.
        name: String,
    },
    /// Renames one of the server's own.
    Rename {
        /// The group.
        group: String,
        /// Its new name.
        name: String,
    },
    /// Deletes one of the server's own.
    Delete {
        /// The group.
        group: String,
    },
    /// Lists the direct members.
    Members {
        /// The group.
        group: String,
    },
    /// Puts a user, device or group into one of the server's own.
    Add {
        /// The group.
        group: String,
        /// The member's name or id.
        member: String,
    },
    /// Takes a member out of one of the server's own.
    Remove {
        /// The group.
        group: String,
        /// The member's name or id.
        member: String,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum RoleName {
    /// Everything, roles too.
    Global,
    /// Policies, settings, groups and devices.
    Policy,
    /// Factors and how people sign in.
    Authentication,
    /// Passes, passwords and sessions of people without a role.
    Helpdesk,
    /// Looking only.
    Reader,
}

#[derive(Subcommand)]
pub(super) enum RoleVerb {
    /// Lists who holds which.
    List,
    /// Gives one to a user or a group.
    Add {
        /// The role.
        role: RoleName,
        /// The user or group.
        principal: String,
        /// Limits it to what a scope tag covers; several are together.
        #[arg(long = "scope")]
        scopes: Vec<String>,
    },
    /// Takes one back.
    Remove {
        /// The role.
        role: RoleName,
        /// The user or group.
        principal: String,
    },
}

#[derive(Subcommand)]
pub(super) enum ScopeTagVerb {
    /// Lists all.
    List,
    /// Makes one that covers the members of a group.
    Add {
        /// The group.
        group: String,
        /// Its name; else the group's.
        #[arg(long)]
        name: Option<String>,
        /// For people.
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Deletes one to which no role is limited.
    Delete {
        /// The group.
        group: String,
    },
}

#[derive(Subcommand)]
pub(super) enum DeviceVerb {
    /// Lists all.
    List(Some),
    /// Shows one with its keys.
    Show {
        /// Its name or id.
        device: String,
    },
    /// Lists what became of policies on one, and for each person there.
    Policies {
        /// Its name or id.
        device: String,
    },
    /// Suspends one, until it is enabled.
    Disable {
        /// Its name or id.
        device: String,
    },
    /// Lets one go on that was suspended.
    Enable {
        /// Its name or id.
        device: String,
    },
    /// Makes a code for the person at one whose TPM refuses everybody after too many wrong tries: good
    /// once, for an hour.
    Unlock {
        /// Its name or id.
        device: String,
    },
    /// Deletes for good; each learns of it and wipes itself.
    Delete {
        /// Their names or ids.
        #[arg(required = true)]
        devices: Vec<String>,
        /// What was shown when these were asked for: many at once are confirmed.
        #[arg(long)]
        confirm: Option<String>,
    },
}

#[derive(Subcommand)]
pub(super) enum DeviceCodeVerb {
    /// Signs a user in on the device that shows a code, without any factor of theirs.
    Approve {
        /// The code.
        code: String,
        /// As whom.
        #[arg(long)]
        user: String,
    },
    /// Refuses one.
    Deny {
        /// The code.
        code: String,
    },
}

#[derive(Subcommand)]
pub(super) enum KeyVerb {
    /// Lists all.
    List,
    /// Deletes one, here and in AD.
    Delete {
        /// Its id.
        kid: String,
    },
}

#[derive(Subcommand)]
pub(super) enum AppVerb {
    /// Lists all.
    List,
    /// Shows one.
    Show {
        /// Its id.
        client: String,
    },
    /// Makes or replaces one.
    Put(Box<AppSettings>),
    /// Deletes one.
    Delete {
        /// Its id.
        client: String,
    },
}

/// A weaker form that a foreign client needs.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Weaker {
    /// Sign-in by user name and password.
    Ropc,
    /// Sign-in on another device.
    DeviceCode,
    /// Key derivation version 1.
    Kdf1,
    /// Answers in A256CBC bodies.
    Cbc,
    /// Codes without PKCE.
    NoPkce,
}

#[derive(Args)]
pub(super) struct AppSettings {
    /// Its id.
    pub(super) client: String,
    /// For people.
    #[arg(long)]
    pub(super) name: Option<String>,
    /// Where answers may go, exactly.
    #[arg(long = "redirect-uri")]
    pub(super) redirect_uris: Vec<String>,
    /// Where a browser may go after signing out, exactly.
    #[arg(long = "post-logout-uri")]
    pub(super) post_logout_uris: Vec<String>,
    /// An audience that it may ask tokens for; of Graph also one permission:
    /// `https://graph.microsoft.com/User.Read.All`.
    #[arg(long = "resource")]
    pub(super) resources: Vec<String>,
    /// The public keys that it proves itself with (a JWKS file), which makes it confidential.
    #[arg(long)]
    pub(super) jwks: Option<PathBuf>,
    /// Allows a weaker form.
    #[arg(long = "allow")]
    pub(super) weaker: Vec<Weaker>,
    /// Switches it off.
    #[arg(long)]
    pub(super) disabled: bool,
}

#[derive(Subcommand)]
pub(super) enum SettingsVerb {
    /// Shows all.
    Show,
    /// Sets one: groups by their names, or `none`; numbers; `on` or `off`.
    Set {
        /// `register-keys-group` (without any nobody may register keys), `join-devices-group`
        /// (without any every computer of the domain may join, and no user), `devices-per-user`, and
        /// what else `show` names.
        name: String,
        /// The value; several where the setting is a list.
        #[arg(required = true)]
        values: Vec<String>,
    },
}

#[derive(Subcommand)]
pub(super) enum HostVerb {
    /// Lists all.
    List,
    /// Adds one.
    Add {
        /// HOST or HOST:PORT.
        name: String,
    },
    /// Removes one.
    Remove {
        /// As it was added.
        name: String,
    },
}

#[derive(Subcommand)]
pub(super) enum SigningKeyVerb {
    /// Lists all.
    List,
    /// Makes a new one, which signs from tomorrow on: clients have its public half by then.
    Rotate {
        /// It signs at once, because another one got out.
        #[arg(long)]
        at_once: bool,
    },
    /// Retires one at once: what it signed is worth nothing from now on.
    Retire {
        /// Its id.
        kid: String,
    },
}

#[derive(Subcommand)]
pub(super) enum CaVerb {
    /// Shows it and those before it, and how many devices have a certificate of each.
    Show,
    /// Makes a new one, which issues from now on. Devices move over as they renew; those before are
    /// trusted until the last that they issued has ended.
    Rotate {
        /// For so many days only: 0 where the key got out. Whatever device still has a certificate of
        /// theirs then joins again.
        #[arg(long)]
        trust_former_days: Option<u32>,
    },
}

#[derive(Subcommand)]
pub(super) enum EndorsementVerb {
    /// Lists all.
    List,
    /// Names endorsement keys by the SHA-256 of their SubjectPublicKeyInfo.
    Add {
        /// In hexadecimal.
        #[arg(required = true)]
        hashes: Vec<String>,
        /// For people: where they come from.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Takes a name back.
    Remove {
        /// In hexadecimal.
        hash: String,
    },
}

#[derive(Subcommand)]
pub(super) enum TpmRootVerb {
    /// Lists all.
    List,
    /// Adds a manufacturer's certificate.
    Add {
        /// For people.
        name: String,
        /// Its certificate in PEM.
        file: PathBuf,
    },
    /// Removes one.
    Remove {
        /// SHA-256 of the certificate.
        hash: String,
    },
}

#[derive(Subcommand)]
pub(super) enum AuditVerb {
    /// Lists the newest rows.
    List,
    /// Looks whether a row was taken out, put in or changed.
    Check,
    /// Prints rows as JSON, one a line, the oldest first.
    Export {
        /// Only rows behind this id.
        #[arg(long, default_value_t = 0)]
        after: u64,
    },
}

#[derive(Subcommand)]
pub(super) enum SignInVerb {
    /// Lists the newest rows.
    List {
        /// Of this user alone.
        #[arg(long)]
        user: Option<String>,
    },
    /// Prints rows as JSON, one a line, the oldest first.
    Export {
        /// Only rows behind this id.
        #[arg(long, default_value_t = 0)]
        after: u64,
    },
}
