use tokio::sync::mpsc;

use super::*;
use crate::{cycle::Cycle, scheduler::Shown, scheduling::Started, testing::Parts};

/// A running agent's socket, in a folder of the test's.
fn opened(name: &str, parts: &Parts) -> (PathBuf, Arc<Desk>) {
    let folder = std::env::temp_dir().join(format!("latchkey-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let desk = Arc::new(Desk::open(parts.folder.clone(), false).unwrap());
    let control = Control {
        desk: desk.clone(),
        lease: Lease::held(),
        pending: Arc::default(),
    };
    tokio::spawn(control.run(listen(&folder).unwrap()));
    (folder, desk)
}

/// Asks from another thread, as another program does.
async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test]
async fn what_is_set_is_shown() {
    let parts = Parts::new("control-set", "");
    let (folder, _desk) = opened("control-set", &parts);
    let shown: Shown = on_a_thread(move || {
        let mut line = Line::to(&folder).unwrap();
        let change = serde_json::from_str(r#"{"sync_cycle_enabled":false}"#).unwrap();
        let request = Request::SchedulerSet { change };
        line.ask::<Shown>(request).unwrap();
        let wrong = serde_json::from_str(r#"{"purge_run_history_interval":"soon"}"#).unwrap();
        let request = Request::SchedulerSet { change: wrong };
        let error = line.ask::<Shown>(request).unwrap_err().to_string();
        assert!(
            error.contains("soon") && error.contains("[bad_request]"),
            "{error}"
        );
        let shown = line.ask(Request::SchedulerShow).unwrap();
        fs::remove_dir_all(folder).unwrap();
        shown
    })
    .await;
    assert!(!shown.sync_cycle_enabled);
    assert_eq!(shown.next_sync_cycle_start_time_in_utc, None);
}

#[tokio::test]
async fn cycles_are_suspended_for_as_long_as_the_connection_lasts() {
    let parts = Parts::new("control-suspend", "");
    let (folder, desk) = opened("control-suspend", &parts);
    on_a_thread(move || {
        let mut holding = Line::to(&folder).unwrap();
        holding.ask::<Value>(Request::Suspend).unwrap();
        let mut other = Line::to(&folder).unwrap();
        let start = || Request::SchedulerStart {
            policy: None,
            wait: false,
        };
        let error = other.ask::<Value>(start()).unwrap_err().to_string();
        assert!(error.contains("[scheduler_suspended]"), "{error}");
        drop(holding);
        fs::remove_dir_all(folder).unwrap();
    })
    .await;
    while desk.shown().scheduler_suspended {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn whoever_waits_for_a_cycle_gets_its_steps() {
    let parts = Parts::new("control-wait", "");
    let (folder, desk) = opened("control-wait", &parts);
    // Their loops have ended.
    let (up, down) = (mpsc::channel(1).0, mpsc::channel(1).0);
    let cycle = Cycle {
        desk,
        lease: Lease::held(),
        up,
        down,
        agent: parts.agent.clone(),
        folder: parts.folder.clone(),
    };
    let change = serde_json::from_str(r#"{"sync_cycle_enabled":false}"#).unwrap();
    cycle.desk.set(&change).unwrap();
    let running = tokio::spawn(cycle.run());
    let started: Started = on_a_thread(move || {
        let request = Request::SchedulerStart {
            policy: Some(PolicyType::Delta),
            wait: true,
        };
        let started = Line::to(&folder).unwrap().ask(request).unwrap();
        fs::remove_dir_all(folder).unwrap();
        started
    })
    .await;
    running.abort();
    let started = serde_json::to_value(started).unwrap();
    assert_eq!(started["policy"], "Initial", "none has succeeded");
    let steps = started["steps"].as_array().unwrap().iter();
    let results: Vec<_> = steps.map(|step| step["result"].as_str().unwrap()).collect();
    let (aborted, failed) = ("aborted", "stopped-error");
    assert_eq!(
        results,
        [aborted, aborted, failed, failed, aborted, aborted]
    );
}

#[tokio::test]
async fn what_is_not_understood_is_answered_and_changes_nothing() {
    let parts = Parts::new("control-bad", "");
    let (folder, _desk) = opened("control-bad", &parts);
    on_a_thread(move || {
        let mut stream = net::UnixStream::connect(path(&folder)).unwrap();
        let mut answers = BufReader::new(stream.try_clone().unwrap());
        for (line, code) in [
            ("{\"v\":1,\"op\":\"fly\"}", "bad_request"),
            ("{\"v\":2,\"op\":\"pending\"}", "bad_version"),
            ("nonsense", "bad_request"),
        ] {
            writeln!(stream, "{line}").unwrap();
            let mut answer = String::new();
            answers.read_line(&mut answer).unwrap();
            assert!(answer.contains(code), "{line}: {answer}");
        }
        fs::remove_dir_all(folder).unwrap();
    })
    .await;
}

#[test]
fn no_agent_that_runs_is_no_error_of_its_own() {
    let folder = std::env::temp_dir().join(format!("latchkey-none-{}", std::process::id()));
    assert!(Line::open(&folder).unwrap().is_none());
    let error = Line::to(&folder).err().unwrap().to_string();
    assert!(error.contains("systemctl start"), "{error}");
}

#[test]
fn an_agent_that_stops_before_it_answers_is_told_from_one_that_does_not_run() {
    let folder = std::env::temp_dir().join(format!("latchkey-stops-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let listener = net::UnixListener::bind(path(&folder)).unwrap();
    let agent = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
    });
    let mut line = Line::to(&folder).unwrap();
    let error = line.ask::<Value>(Request::Status).unwrap_err().to_string();
    agent.join().unwrap();
    assert!(error.contains("journalctl -u latchkey-sync"), "{error}");
    let error = Line::to(&folder).err().unwrap().to_string();
    assert!(error.contains("does not run"), "{error}");
    fs::remove_dir_all(folder).unwrap();
}
