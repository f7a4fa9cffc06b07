//! What is told about policy: to a person, to a browser, to a program.
//!
//! The report holds plain texts, so that it can travel as JSON and be rendered elsewhere. Names in
//! it come from a directory that many may write to; each rendering makes them harmless for where it
//! is shown.

mod html;
mod text;

use serde::{Deserialize, Serialize};

use crate::gpo::{Evaluation, Half, HalfResult, Loopback};
use crate::merge::{Effective, Loser, Resolved, Source};
use crate::settings::{self, Effect, Setting, Value};

/// Everything about the policy of one user on one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whose policy, and how fresh it is.
    pub about: About,
    /// What becomes of enrollment.
    pub enrollment: Enrollment,
    /// What a new PIN must be, a sentence for each rule.
    pub pin_rules: Vec<String>,
    /// What an administrator should know.
    pub notes: Vec<String>,
    /// Every setting, in the order of the table.
    pub settings: Vec<SettingReport>,
    /// Every link to a group policy object, and whether the object applies.
    pub gpos: Vec<GpoReport>,
}

/// Whose policy, and how fresh it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The user; nothing where the report is about the computer alone.
    pub user: Option<String>,
    /// The computer.
    pub computer: String,
    /// When the set was fetched, in seconds since 1970; nothing where there is none.
    pub taken_at: Option<u64>,
    /// Why the last refresh failed, if it did.
    pub error: Option<String>,
    /// When a server's policies came in, in seconds since 1970; nothing where none did.
    #[serde(default)]
    pub server_at: Option<u64>,
}

/// What becomes of enrollment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrollment {
    /// Is it offered when a session begins?
    pub offered: bool,
    /// May it be asked for?
    pub allowed: bool,
    /// The event that says so, as far as policy decides it.
    pub event: u16,
    /// Why.
    pub why: String,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingReport {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The value that counts; nothing where the default holds.
    pub value: Option<Value>,
    /// The value, or what holds without one, in words.
    pub shown: String,
    /// Who set it.
    pub winner: Option<Source>,
    /// Who else did, strongest first.
    pub losers: Vec<Loser>,
    /// What else is to be said.
    pub notes: Vec<String>,
    /// What becomes of it on this device: `acts`, `pending`, `not-on-linux` or
    /// `refused`.
    pub effect: String,
}

/// One link to a group policy object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpoReport {
    /// The half that this is about.
    pub half: Half,
    /// The object's name.
    pub name: String,
    /// Its GUID.
    pub guid: Option<String>,
    /// The place where it is linked.
    pub linked_to: String,
    /// Is the link enforced?
    pub enforced: bool,
    /// Does it apply?
    pub applied: bool,
    /// Its place in the order of application, from 1; the last one wins.
    pub order: Option<u32>,
    /// Why it does not apply, or that it does.
    pub why: String,
    /// What was odd about it.
    pub notes: Vec<String>,
}

impl Report {
    /// The report on a merged set and the evaluation that it was made from.
    pub fn new(about: About, effective: &Effective, evaluation: &Evaluation) -> Self {
        let provision = effective.provision();
        let mut notes = effective.notes().to_vec();
        notes.extend(evaluation.notes.iter().cloned());
        match evaluation.loopback {
            Loopback::None => {}
            Loopback::Merge => notes.push(
                "Loopback: the user half of the computer's own objects comes on top of the user's."
                    .to_owned(),
            ),
            Loopback::Replace => notes.push(
                "Loopback: the user half of the computer's own objects stands in place of the \
                 user's."
                    .to_owned(),
            ),
        }
        notes.extend(evaluation.failures.iter().map(|failure| {
            let (gpo, half, reason) = (&failure.gpo, failure.half, &failure.reason);
            format!("\"{gpo}\" ({half} half) could not be taken: {reason}")
        }));
        let user = evaluation
            .user
            .iter()
            .flat_map(|half| links(Half::User, half));
        let gpos = links(Half::Computer, &evaluation.computer)
            .chain(user)
            .collect();
        Self {
            about,
            enrollment: Enrollment {
                offered: provision.is_offered(),
                allowed: provision.is_allowed(),
                event: provision.event(),
                why: provision.why().to_owned(),
            },
            pin_rules: effective.pin_rules().sentences(),
            notes,
            settings: effective.settings().iter().map(setting).collect(),
            gpos,
        }
    }

    /// The report of a device that never got to know its policy.
    pub fn without_policy(about: About) -> Self {
        Self {
            about,
            enrollment: Enrollment {
                offered: false,
                allowed: false,
                event: 360,
                why: "The policy is not known yet, so nobody enrolls.".to_owned(),
            },
            pin_rules: Vec::new(),
            notes: Vec::new(),
            settings: Vec::new(),
            gpos: Vec::new(),
        }
    }

    /// One setting with its row of the table; nothing where no setting has that name.
    fn find(&self, name: &str) -> Option<(&SettingReport, &'static Setting)> {
        let row = settings::by_id(name)?;
        let setting = self.settings.iter().find(|setting| setting.id == row.id)?;
        Some((setting, row))
    }

    /// How old the set is and whether the last refresh failed, in sentences.
    fn freshness(&self, now: u64) -> String {
        let age = |at: Option<u64>| at.map(|at| age(now.saturating_sub(at)));
        let taken = match (age(self.about.taken_at), &self.about.error) {
            (Some(taken), None) => format!("Taken {taken}."),
            (Some(taken), Some(error)) => {
                format!("The last refresh failed: {error} What was taken {taken} stays in force.")
            }
            (None, Some(error)) => format!("No policy is known. The last refresh failed: {error}"),
            (None, None) => "No policy is known yet.".to_owned(),
        };
        match age(self.about.server_at) {
            Some(server) => format!("{taken} What a server assigns came in {server}."),
            None => taken,
        }
    }
}

impl SettingReport {
    /// Did anybody set it, even in vain?
    fn is_configured(&self) -> bool {
        self.winner.is_some() || !self.losers.is_empty()
    }
}

fn setting(resolved: &Resolved) -> SettingReport {
    let setting = resolved.setting;
    let value = resolved.winner.as_ref().map(|(value, _)| value);
    SettingReport {
        id: setting.id.to_owned(),
        name: setting.name.to_owned(),
        value: value.cloned(),
        shown: value.map_or_else(
            || format!("unset ({})", setting.default),
            |value| setting.describe(value),
        ),
        winner: resolved.winner.as_ref().map(|(_, source)| source.clone()),
        losers: resolved.losers.clone(),
        notes: resolved.notes.clone(),
        effect: match setting.effect {
            Effect::Acts if setting.pending => "pending",
            Effect::Acts => "acts",
            Effect::NotOnLinux => "not-on-linux",
            Effect::Refused => "refused",
        }
        .to_owned(),
    }
}

fn links(half: Half, result: &HalfResult) -> impl Iterator<Item = GpoReport> {
    result.links.iter().map(move |link| GpoReport {
        half,
        name: link.gpo.name.clone(),
        guid: link.gpo.guid.as_ref().map(ToString::to_string),
        linked_to: link.som.clone(),
        enforced: link.enforced,
        applied: link.verdict.is_applied(),
        order: link.order,
        why: link.verdict.to_string(),
        notes: link.notes.clone(),
    })
}

/// How long ago, roughly.
fn age(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..60 => return "just now".to_owned(),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

#[cfg(test)]
mod tests;
