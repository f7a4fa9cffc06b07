//! `latchkey-server admin`: the administrator's verbs, over the running server's local socket.

mod call;
mod policies;
mod show;
mod verbs;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args as ClapArgs;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Bytes};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use self::{
    call::{Call, Shown, call},
    show::{show, show_lines},
    verbs::Noun,
};
use crate::{admin::NEXT, config, config::Config, say};

/// Talks to the running server as its administrator.
#[derive(ClapArgs)]
pub struct Args {
    /// The server's configuration.
    #[arg(long, default_value = config::PATH, global = true)]
    config: PathBuf,
    /// The answer as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    noun: Noun,
}

/// Runs the verb.
pub fn main(args: &Args) -> anyhow::Result<()> {
    let config = Config::read(&args.config)?;
    let call = call(&args.noun)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(&config.admin_socket, &call, args.json))
}

async fn run(socket: &Path, call: &Call, json: bool) -> anyhow::Result<()> {
    let mut all = Vec::new();
    let mut path = call.path.clone();
    loop {
        let answer = send(socket, call, &path).await?;
        if !answer.is_good {
            if json {
                say(&serde_json::to_string(&answer.body)?)?;
            }
            let sentence = answer.body.get("sentence").and_then(Value::as_str);
            bail!(
                "{}",
                sentence.unwrap_or("the server refuses and does not say why")
            );
        }
        let rows = match answer.body {
            Value::Array(rows) => rows,
            one if json => return Ok(say(&serde_json::to_string(&one)?)?),
            one => return show(&one, call.shown),
        };
        if call.shown == Shown::Lines {
            show_lines(&rows)?;
        } else {
            all.extend(rows);
        }
        let Some(next) = answer.next else { break };
        path = continued(&call.path, &next);
    }
    match call.shown {
        Shown::Lines => Ok(()),
        _ if json => Ok(say(&serde_json::to_string(&all)?)?),
        shown => show(&Value::Array(all), shown),
    }
}

/// The path of the page behind a place.
fn continued(path: &str, next: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let kept = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("after="));
    let pairs: Vec<String> = kept
        .map(str::to_owned)
        .chain([format!("after={next}")])
        .collect();
    format!("{path}?{}", pairs.join("&"))
}

struct Answer {
    is_good: bool,
    body: Value,
    next: Option<String>,
}

async fn send(socket: &Path, call: &Call, path: &str) -> anyhow::Result<Answer> {
    let stream = UnixStream::connect(socket).await.with_context(|| {
        format!(
            "{}: the server does not run, or you are not root",
            socket.display()
        )
    })?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let body = call
        .body
        .as_ref()
        .map(|body| body.to_vec())
        .unwrap_or_default();
    let request = Request::builder()
        .method(call.method.clone())
        .uri(path)
        .header("host", "localhost")
        .body(Full::new(Bytes::from(body)))?;
    let response = sender.send_request(request).await?;
    let is_good = response.status().is_success();
    let next = response.headers().get(NEXT);
    let next = next.and_then(|place| place.to_str().ok().map(str::to_owned));
    let body = response.into_body().collect().await?.to_bytes();
    drop(sender);
    driver.await??;
    let body = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&body)?
    };
    Ok(Answer {
        is_good,
        body,
        next,
    })
}

#[cfg(test)]
mod tests {
    use super::continued;

    #[test]
    fn the_next_page_is_asked_for_with_what_the_list_was_asked_for() {
        for (path, expected) in [
            ("/users", "/users?after=x"),
            ("/users?prefix=a", "/users?prefix=a&after=x"),
            ("/audit?after=0", "/audit?after=x"),
        ] {
            assert_eq!(continued(path, "x"), expected);
        }
    }
}
