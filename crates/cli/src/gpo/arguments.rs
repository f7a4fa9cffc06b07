//! What can be typed after `latchkey gpo`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `latchkey gpo …`
#[derive(Subcommand)]
pub(crate) enum Gpo {
    /// Make a group policy object without settings, linked nowhere.
    Create {
        /// Its display name.
        name: String,
    },
    /// Set settings in a policy.
    Set(Set),
    /// Take settings out of a policy: they are then not configured by it.
    Unset(Unset),
    /// Security filtering: to whom a policy applies.
    #[command(subcommand)]
    Filter(Filter),
    /// Who may read or edit a policy.
    #[command(subcommand)]
    Delegation(Delegation),
    /// Link a policy to a domain, organizational unit or site, as the weakest there.
    Link(Link),
    /// Remove a policy's link.
    Unlink(At),
    /// Give a policy's link its place: 1 is the strongest.
    Order(Order),
    /// Enforce a policy's link, so that nothing below can block or override it.
    Enforce(Enforce),
    /// Show a policy, or list them all.
    Show {
        /// The policy: display name or GUID.
        gpo: Option<String>,
    },
    /// Explain a policy, or all that set anything about sign-in with a PIN: what each setting
    /// does, to whom it applies, and what would silently not work.
    Report {
        /// The policy: display name or GUID.
        gpo: Option<String>,
    },
    /// Members of groups.
    #[command(subcommand)]
    Members(Members),
    /// Remove a policy with its links and files.
    Delete {
        /// The policy: display name or GUID.
        gpo: String,
    },
    /// Turn on enrollment for the members of a group: group, policies, filters and links.
    EnableHello(EnableHello),
    /// Put the templates of Latchkey's own settings into the domain's central store, where editors
    /// of Windows find them.
    InstallTemplates {
        /// Make the store where there is none. Editors then look nowhere else: copy the templates
        /// of Windows into it too.
        #[arg(long)]
        make_store: bool,
    },
    /// Tell which policies apply to somebody at a computer, in the domain or by copies of it.
    Evaluate(Evaluate),
}

#[derive(Args)]
pub(crate) struct Set {
    /// The policy: display name or GUID.
    pub(crate) gpo: String,
    /// Settings by name, as docs/reference/policies.md lists them; without a value: on.
    #[arg(required = true, value_name = "SETTING[=VALUE]")]
    pub(crate) settings: Vec<String>,
    #[command(flatten)]
    pub(crate) half: Half,
}

#[derive(Args)]
pub(crate) struct Unset {
    /// The policy: display name or GUID.
    pub(crate) gpo: String,
    /// Settings by name.
    #[arg(required = true, value_name = "SETTING")]
    pub(crate) settings: Vec<String>,
    #[command(flatten)]
    pub(crate) half: Half,
}

/// For settings that both halves have; without an option it is the user half.
#[derive(Args)]
#[group(multiple = false)]
pub(crate) struct Half {
    /// In the user half.
    #[arg(long)]
    pub(crate) user: bool,
    /// In the computer half.
    #[arg(long)]
    pub(crate) computer: bool,
}

#[derive(Subcommand)]
pub(crate) enum Filter {
    /// Let a policy apply to a group; no longer to everybody.
    Add(FilterAdd),
    /// Let a policy no longer apply to a group.
    Remove(Whom),
}

#[derive(Args)]
pub(crate) struct FilterAdd {
    #[command(flatten)]
    pub(crate) whom: Whom,
    /// It goes on applying to every authenticated user too.
    #[arg(long)]
    pub(crate) keep_everybody: bool,
}

#[derive(Args)]
pub(crate) struct Whom {
    /// The policy: display name or GUID.
    pub(crate) gpo: String,
    /// The group, user or computer.
    pub(crate) group: String,
}

#[derive(Subcommand)]
pub(crate) enum Delegation {
    /// Show who has which rights.
    Show {
        /// The policy: display name or GUID.
        gpo: String,
    },
    /// Let somebody read a policy without it applying to them.
    AddRead(Whom),
    /// Let somebody change a policy's settings, but neither its rights nor delete it.
    AddEdit(Whom),
    /// Take all rights from somebody.
    Remove(Whom),
}

#[derive(Args)]
pub(crate) struct At {
    /// The policy: display name or GUID.
    pub(crate) gpo: String,
    /// The place: a domain's name, or a DN.
    pub(crate) place: String,
}

#[derive(Args)]
pub(crate) struct Link {
    #[command(flatten)]
    pub(crate) at: At,
    /// Nothing below can block or override it.
    #[arg(long)]
    pub(crate) enforced: bool,
    /// The link is there but does nothing.
    #[arg(long)]
    pub(crate) disabled: bool,
}

#[derive(Args)]
pub(crate) struct Order {
    #[command(flatten)]
    pub(crate) at: At,
    /// Its place from the strongest.
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) order: u32,
}

#[derive(Args)]
pub(crate) struct Enforce {
    #[command(flatten)]
    pub(crate) at: At,
    /// Enforce it no longer.
    #[arg(long)]
    pub(crate) off: bool,
}

#[derive(Subcommand)]
pub(crate) enum Members {
    /// Put users, computers or groups into a group.
    Add {
        /// The group.
        group: String,
        /// Who.
        #[arg(required = true)]
        names: Vec<String>,
    },
}

#[derive(Args)]
pub(crate) struct EnableHello {
    /// Whose members are offered a PIN; made if it is not there.
    #[arg(long)]
    pub(crate) group: String,
    /// Where to link: a domain's name, or a DN.
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) link: String,
    /// The policy's display name. Settings of computers go to a second one of that name with
    /// "(computers)" behind it.
    #[arg(long, default_value = "Enable Windows Hello for Business")]
    pub(crate) name: String,
    /// Keys must be in a TPM.
    #[arg(long)]
    pub(crate) require_tpm: bool,
    /// The least length of a PIN.
    #[arg(long, value_name = "LENGTH")]
    pub(crate) min_pin_length: Option<String>,
    /// Any further setting.
    #[arg(long = "set", value_name = "SETTING[=VALUE]")]
    pub(crate) settings: Vec<String>,
    /// The computers to which the settings of computers apply.
    #[arg(long, value_name = "GROUP", default_value = "Domain Computers")]
    pub(crate) computers: String,
}

#[derive(Args)]
pub(crate) struct Evaluate {
    /// A folder of LDIF files: policies, places with their links, accounts. Without copies, the
    /// domain is asked.
    #[arg(long, value_name = "DIR", requires = "sysvol")]
    pub(crate) ldif: Option<PathBuf>,
    /// A copy of the SYSVOL share.
    #[arg(long, value_name = "DIR", requires = "ldif")]
    pub(crate) sysvol: Option<PathBuf>,
    /// The user's account name.
    #[arg(long)]
    pub(crate) user: String,
    /// The computer's account name.
    #[arg(long)]
    pub(crate) computer: String,
    /// The site of the computer, where the copies have several.
    #[arg(long, requires = "ldif")]
    pub(crate) site: Option<String>,
}
