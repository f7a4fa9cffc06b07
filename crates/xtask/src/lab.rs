//! `cargo xtask lab`: the lab by hand.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use lexopt::Arg::{Long, Value};
use testkit::lab::{Lab, Options};
use testkit::packages;

use crate::{build, complain, say};

struct Request {
    verb: String,
    name: String,
    workstations: u8,
    controllers: Vec<String>,
    crowd: u32,
    json: bool,
    words: Vec<String>,
}

/// Runs what follows `lab` on the command line.
pub(crate) fn run(words: lexopt::Parser) -> Result<ExitCode> {
    let request = read(words)?;
    match request.verb.as_str() {
        "up" => up(&request),
        "down" => {
            Lab::down(&request.name)?;
            say(&format!("the lab {} is down", request.name));
            Ok(ExitCode::SUCCESS)
        }
        "status" => status(&request),
        "shell" => enter(&request, &["bash", "--login"]),
        "run" => {
            let words: Vec<&str> = request.words.iter().skip(1).map(String::as_str).collect();
            if words.is_empty() {
                bail!("lab run HOST -- CMD…");
            }
            enter(&request, &words)
        }
        other => bail!("no verb {other}: up, down, status, shell, run"),
    }
}

fn read(mut parser: lexopt::Parser) -> Result<Request> {
    let mut request = Request {
        verb: String::new(),
        name: "lab".to_owned(),
        workstations: 1,
        controllers: Vec::new(),
        crowd: 0,
        json: false,
        words: Vec::new(),
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Long("name") => request.name = parser.value()?.to_string_lossy().into_owned(),
            Long("workstations") => {
                let count = parser.value()?.to_string_lossy().into_owned();
                request.workstations = count.parse().context("--workstations N")?;
            }
            Long("controllers") => {
                let names = parser.value()?.to_string_lossy().into_owned();
                request.controllers = names.split(',').map(str::to_owned).collect();
            }
            Long("crowd") => {
                let count = parser.value()?.to_string_lossy().into_owned();
                request.crowd = count.parse().context("--crowd N")?;
            }
            Long("json") => request.json = true,
            Value(word) if request.verb.is_empty() => {
                request.verb = word.to_string_lossy().into_owned();
            }
            Value(word) => request.words.push(word.to_string_lossy().into_owned()),
            other => return Err(other.unexpected().into()),
        }
    }
    match (request.verb.as_str(), request.words.as_slice()) {
        ("shell" | "run", _) | (_, []) => {}
        (_, [name]) => request.name = name.clone(),
        (verb, words) => bail!("lab {verb} takes one name, not {}", words.join(" ")),
    }
    Ok(request)
}

fn up(request: &Request) -> Result<ExitCode> {
    Lab::is_possible(complain)?;
    // The certificates of the lab's KDC are made by our own program.
    packages::install(&[packages::BUILD], complain)?;
    build(&["--package", "cli"])?;
    let start = Instant::now();
    let options = Options {
        workstations: request.workstations,
        crowd: request.crowd,
        say: complain,
    };
    let mut lab = Lab::up(&request.name, options)?;
    for controller in &request.controllers {
        lab.add_controller(controller)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    say(&format!(
        "the lab {} is up: Samba {}, {seconds:.1} s",
        lab.name(),
        lab.samba()
    ));
    say("look around: cargo xtask lab status, cargo xtask lab shell ws1");
    Ok(ExitCode::SUCCESS)
}

fn status(request: &Request) -> Result<ExitCode> {
    let status = Lab::attach(&request.name)?.status();
    if request.json {
        say(&serde_json::to_string(&status)?);
        return Ok(ExitCode::SUCCESS);
    }
    for host in &status.hosts {
        let state = if host.up { "up" } else { "down" };
        say(&format!("{:<8} {:<12} {state}", host.name, host.address));
        for (name, runs) in &host.daemons {
            say(&format!(
                "  {name:<18} {}",
                if *runs { "runs" } else { "ended" }
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn enter(request: &Request, words: &[&str]) -> Result<ExitCode> {
    let host = request
        .words
        .first()
        .context("which host? dc, server, ws1, …")?;
    let lab = Lab::attach(&request.name)?;
    let mut call = lab.host(host)?.command(words);
    if let Ok(terminal) = std::env::var("TERM") {
        call = call.env("TERM", &terminal);
    }
    let status = call.attached()?;
    Ok(ExitCode::from(u8::try_from(status).unwrap_or(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Request> {
        read(lexopt::Parser::from_args(line.split(' ')))
    }

    #[test]
    fn a_lab_is_named_either_way_and_a_host_is_no_lab() {
        assert_eq!(of("down").unwrap().name, "lab");
        for line in ["down mine", "down --name mine", "status mine", "up mine"] {
            assert_eq!(of(line).unwrap().name, "mine", "{line}");
        }
        let shell = of("shell ws1 --name mine").unwrap();
        assert_eq!(
            (&*shell.name, &*shell.words),
            ("mine", &["ws1".to_owned()][..])
        );
        assert!(of("down mine yours").is_err());
    }
}
