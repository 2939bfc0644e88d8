//! What a run tells the host's subscriber and recorder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::io::Write;
use std::sync::{Arc, Mutex};

use common::{Knows, World};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tracing_subscriber::fmt::format::FmtSpan;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const WORKFLOW: &str = r#"{"v": "1.0.0", "tasks": {
    "sum": {"cmd": "/pure", "args": {"of": [20, 22]}},
    "ask": {"cmd": "/ask", "args": {"name": "ask", "fails": 1}, "config": {"retry": {"attempts": 2}}},
    "do": {"cmd": "/do", "args": {"name": "secret-name", "of": [{"await/ok": "sum"}]}},
    "fail": {"cmd": "/do", "args": {"name": "fail", "fails": -1}}
}}"#;

#[tokio::test]
async fn runs_and_tasks_are_counted_and_have_spans() {
    let recorder = DebuggingRecorder::new();
    let seen = recorder.snapshotter();
    let _recorded = metrics::set_default_local_recorder(&recorder);
    let log = Log::default();
    let written = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(move || written.clone())
        .finish();
    let _traced = tracing::subscriber::set_default(subscriber);
    let world = World::new(Knows::Nothing);
    let report = world.run(WORKFLOW).await;
    assert!(!report.succeeded());

    let counted: Vec<(String, u64)> = seen
        .snapshot()
        .into_vec()
        .into_iter()
        .filter_map(|(key, _, _, value)| {
            let key = key.key();
            let labels: Vec<&str> = key.labels().map(|label| label.value()).collect();
            let DebugValue::Counter(count) = value else { return None };
            Some((format!("{} {}", key.name(), labels.join(" ")), count))
        })
        .collect();
    let count = |name: &str| counted.iter().find(|(key, _)| key == name).map_or(0, |(_, count)| *count);
    assert_eq!(count("ipvm_tasks_total deterministic ran ok"), 1, "{counted:?}");
    assert_eq!(count("ipvm_tasks_total mutable ran ok"), 1, "{counted:?}");
    assert_eq!(count("ipvm_tasks_total mutable ran error"), 1, "{counted:?}");
    assert_eq!(count("ipvm_attempts_failed_total "), 1, "{counted:?}");
    assert_eq!(count("ipvm_runs_total error"), 1, "{counted:?}");

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // The span of each task closes within that of its run.
    let run = format!("run{{run={}}}", report.run);
    for step in &report.steps {
        let task = format!("{run}:task{{label=\"{}\" task={}", step.label, step.task);
        assert!(log.lines().any(|line| line.contains(&task) && line.contains("close")), "{}: {log}", step.label);
    }
    assert!(log.contains("a task failed"), "{log}");
    assert!(!log.contains("secret-name"), "arguments are nobody's business");
}
