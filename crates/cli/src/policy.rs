//! `latchkey policy`.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use ipc::{PolicyRefresh, PolicyShow};
use policy::report::Report;

use crate::{
    arguments::{Person, Policy},
    daemon::{self, PATIENT},
    output::Output,
};

pub(crate) fn run(policy: Policy, output: &Output) -> anyhow::Result<()> {
    match policy {
        Policy::Show(person) => {
            let report = report(&person)?;
            output.result(&report, || report.show(now()))
        }
        Policy::Explain { setting, person } => {
            let report = report(&person)?;
            let unknown = || anyhow!("there is no setting {setting}; `policy show` lists them");
            let row = policy::settings::by_id(&setting).with_context(unknown)?;
            let found = report.settings.iter().find(|found| found.id == row.id);
            let text = report.explain(row.id, now()).unwrap_or_default();
            output.result(&found.with_context(unknown)?, || text)
        }
        Policy::Report { html, person } => {
            let report = report(&person)?;
            if html {
                return output.write(report.html(now()).as_bytes());
            }
            output.result(&report, || report.text(now()))
        }
        Policy::Refresh { force } => {
            let answer = daemon::ask(&PolicyRefresh { force }, PATIENT)?;
            output.result(&answer, || {
                format!(
                    "Read {} group policy objects in {} ms, {} of them anew.",
                    answer.objects, answer.took_ms, answer.fetched
                )
            })
        }
    }
}

fn report(person: &Person) -> anyhow::Result<Report> {
    let user = person.user.clone();
    let answer = daemon::ask(&PolicyShow { user }, PATIENT)?;
    serde_json::from_str(answer.report.get()).context("the daemon is of another release")
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
