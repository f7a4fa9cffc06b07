//! The report for a terminal.

use super::{GpoReport, Report, SettingReport};
use crate::gpo::Half;
use crate::settings::{Effect, Scope};

impl Report {
    /// What counts and who set it.
    pub fn show(&self, now: u64) -> String {
        let mut lines = Lines::default();
        let computer = &self.about.computer;
        match &self.about.user {
            Some(user) => lines.add(0, &format!("Policy of {user} on {computer}")),
            None => lines.add(0, &format!("Policy of {computer}")),
        }
        lines.add(0, &self.freshness(now));
        let enrollment = match (self.enrollment.offered, self.enrollment.allowed) {
            (true, _) => "offered at sign-in",
            (false, true) => "by hand only",
            (false, false) => "refused",
        };
        lines.add(
            0,
            &format!("Enrollment: {enrollment}. {}", self.enrollment.why),
        );
        lines.section("PIN", &self.pin_rules);
        lines.section("Notes", &self.notes);
        lines.heading("Settings");
        let configured: Vec<_> = self.settings.iter().filter(|s| s.is_configured()).collect();
        for setting in &configured {
            lines.setting(setting);
        }
        match configured.len() {
            0 => lines.add(1, "Nobody sets any."),
            _ => lines.add(1, "Nobody sets any other."),
        }
        lines.text
    }

    /// The same, and why each group policy object does or does not apply.
    pub fn text(&self, now: u64) -> String {
        let mut lines = Lines {
            text: self.show(now),
        };
        for (half, title) in [
            (Half::Computer, "Group policy objects, computer half"),
            (Half::User, "Group policy objects, user half"),
        ] {
            let mut links = self.gpos.iter().filter(|gpo| gpo.half == half).peekable();
            if links.peek().is_some() {
                lines.heading(title);
            }
            for gpo in links {
                lines.gpo(gpo);
            }
        }
        lines.text
    }

    /// All about one setting; nothing where no setting has that name.
    pub fn explain(&self, name: &str, now: u64) -> Option<String> {
        let (setting, row) = self.find(name)?;
        let mut lines = Lines::default();
        lines.add(0, &format!("{}: {}", row.id, row.name));
        lines.add(0, row.meaning);
        lines.add(
            0,
            &format!("It may be: {}. Unset: {}.", row.range(), row.default),
        );
        lines.add(
            0,
            match row.effect {
                Effect::Acts if row.pending => "This version of Latchkey does not act on it.",
                Effect::Acts => "Latchkey acts on it.",
                Effect::NotOnLinux => "It has no counterpart on Linux.",
                Effect::Refused => "Latchkey refuses to enroll under it.",
            },
        );
        if let Some(gpo) = row.gpo {
            lines.add(0, &format!("Group policy: {}\\{}", gpo.key, gpo.value));
        }
        for scope in [Scope::User, Scope::Device] {
            if let Some(uri) = row.loc_uri(scope) {
                lines.add(0, &format!("Server: {uri}"));
            }
        }
        lines.add(0, &self.freshness(now));
        lines.heading("Here");
        lines.setting(setting);
        if !setting.is_configured() {
            lines.add(2, "Nobody sets it.");
        }
        let skipped: Vec<_> = self.gpos.iter().filter(|gpo| !gpo.applied).collect();
        if row.gpo.is_some() && !skipped.is_empty() {
            lines.heading("Group policy objects that had no say");
            for gpo in skipped {
                lines.gpo(gpo);
            }
        }
        Some(lines.text)
    }
}

#[derive(Default)]
struct Lines {
    text: String,
}

impl Lines {
    /// One line. What a directory says may hold control characters; a terminal must not obey them.
    fn add(&mut self, depth: usize, line: &str) {
        self.text.push_str(&"  ".repeat(depth));
        let harmless = |c: char| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        };
        self.text.extend(line.chars().map(harmless));
        self.text.push('\n');
    }

    fn heading(&mut self, title: &str) {
        self.text.push('\n');
        self.add(0, title);
    }

    fn section(&mut self, title: &str, sentences: &[String]) {
        if sentences.is_empty() {
            return;
        }
        self.heading(title);
        for sentence in sentences {
            self.add(1, sentence);
        }
    }

    fn setting(&mut self, setting: &SettingReport) {
        self.add(1, &format!("{} = {}", setting.id, setting.shown));
        if let Some(winner) = &setting.winner {
            self.add(2, &format!("set by {winner}"));
        }
        for loser in &setting.losers {
            self.add(
                2,
                &format!("not {}, from {}: {}", loser.value, loser.source, loser.why),
            );
        }
        for note in &setting.notes {
            self.add(2, note);
        }
    }

    fn gpo(&mut self, gpo: &GpoReport) {
        let order = gpo
            .order
            .map_or_else(|| "-".to_owned(), |order| order.to_string());
        let enforced = if gpo.enforced { ", enforced" } else { "" };
        self.add(1, &format!("{order:>3}  {}: {}", gpo.name, gpo.why));
        self.add(3, &format!("linked to {}{enforced}", gpo.linked_to));
        for note in &gpo.notes {
            self.add(3, note);
        }
    }
}
