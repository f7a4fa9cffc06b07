//! The report for a browser: one page without scripts, images or anything fetched from elsewhere.

use super::{GpoReport, Report, SettingReport};
use crate::gpo::Half;

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
    <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src \
    'unsafe-inline'\">\n";

const STYLE: &str = "<style>\n\
    body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 72em; \
    padding: 0 1em; color: #222 }\n\
    h1 { font-size: 1.4em } h2 { font-size: 1.15em; margin-top: 2em }\n\
    table { border-collapse: collapse; width: 100% }\n\
    th, td { text-align: left; vertical-align: top; padding: .35em .6em; \
    border-bottom: 1px solid #ddd }\n\
    .lost, .off { color: #666 } code { font-size: .95em }\n\
    </style>\n";

impl Report {
    /// The whole report as a page.
    pub fn html(&self, now: u64) -> String {
        let mut page = Page {
            html: HEAD.to_owned(),
        };
        let computer = &self.about.computer;
        let title = match &self.about.user {
            Some(user) => format!("Policy of {user} on {computer}"),
            None => format!("Policy of {computer}"),
        };
        page.element("title", &title);
        page.raw(STYLE);
        page.raw("</head>\n<body>\n");
        page.element("h1", &title);
        page.element("p", &self.freshness(now));
        page.element("h2", "Enrollment");
        let verdict = match (self.enrollment.offered, self.enrollment.allowed) {
            (true, _) => "Offered at sign-in.",
            (false, true) => "By hand only.",
            (false, false) => "Refused.",
        };
        page.element("p", &format!("{verdict} {}", self.enrollment.why));
        page.list("What a PIN must be", &self.pin_rules);
        page.list("Notes", &self.notes);
        page.element("h2", "Settings");
        page.table(&["Setting", "Value", "Set by", "Others, and remarks"]);
        for setting in &self.settings {
            page.setting(setting);
        }
        page.raw("</table>\n");
        for (half, title) in [
            (Half::Computer, "Group policy objects: computer half"),
            (Half::User, "Group policy objects: user half"),
        ] {
            let mut links = self.gpos.iter().filter(|gpo| gpo.half == half).peekable();
            if links.peek().is_none() {
                continue;
            }
            page.element("h2", title);
            page.table(&["Order", "Object", "Linked to", "Verdict"]);
            for gpo in links {
                page.gpo(gpo);
            }
            page.raw("</table>\n");
        }
        page.raw("</body>\n</html>\n");
        page.html
    }
}

struct Page {
    html: String,
}

impl Page {
    fn raw(&mut self, markup: &str) {
        self.html.push_str(markup);
    }

    /// Text, with everything escaped that could end it, in an element or in an attribute.
    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.raw("&amp;"),
                '<' => self.raw("&lt;"),
                '>' => self.raw("&gt;"),
                '"' => self.raw("&quot;"),
                '\'' => self.raw("&#39;"),
                c if c.is_control() => self.html.push(char::REPLACEMENT_CHARACTER),
                c => self.html.push(c),
            }
        }
    }

    fn element(&mut self, tag: &str, text: &str) {
        self.raw(&format!("<{tag}>"));
        self.text(text);
        self.raw(&format!("</{tag}>\n"));
    }

    fn list(&mut self, title: &str, sentences: &[String]) {
        if sentences.is_empty() {
            return;
        }
        self.element("h2", title);
        self.raw("<ul>\n");
        for sentence in sentences {
            self.element("li", sentence);
        }
        self.raw("</ul>\n");
    }

    /// Begins a table; the caller ends it.
    fn table(&mut self, columns: &[&str]) {
        self.raw("<table>\n<tr>");
        for column in columns {
            self.element("th", column);
        }
        self.raw("</tr>\n");
    }

    fn setting(&mut self, setting: &SettingReport) {
        let class = if setting.winner.is_some() {
            ""
        } else {
            " class=\"off\""
        };
        self.raw(&format!("<tr{class}><td><code>"));
        self.text(&setting.id);
        self.raw("</code><br>");
        self.text(&setting.name);
        self.raw("</td>");
        self.element("td", &setting.shown);
        let winner = setting.winner.as_ref().map(ToString::to_string);
        self.element("td", winner.as_deref().unwrap_or("nobody"));
        self.raw("<td>");
        for loser in &setting.losers {
            self.raw("<div class=\"lost\">");
            self.text(&format!(
                "not {}, from {}: {}",
                loser.value, loser.source, loser.why
            ));
            self.raw("</div>");
        }
        for note in &setting.notes {
            self.element("div", note);
        }
        self.raw("</td></tr>\n");
    }

    fn gpo(&mut self, gpo: &GpoReport) {
        let class = if gpo.applied { "" } else { " class=\"off\"" };
        self.raw(&format!("<tr{class}>"));
        let order = gpo.order.map(|order| order.to_string());
        self.element("td", order.as_deref().unwrap_or("-"));
        self.raw("<td>");
        self.text(&gpo.name);
        if let Some(guid) = &gpo.guid {
            self.raw("<br><code>");
            self.text(guid);
            self.raw("</code>");
        }
        self.raw("</td><td>");
        self.text(&gpo.linked_to);
        self.raw(if gpo.enforced {
            " (enforced)</td><td>"
        } else {
            "</td><td>"
        });
        self.text(&gpo.why);
        for note in &gpo.notes {
            self.element("div", note);
        }
        self.raw("</td></tr>\n");
    }
}
