//! What an engine does, as OpenTelemetry has it: a span for each run, with one for each of its tasks. They are printed here; a service hands
//! them to a collector by another exporter.
//!
//!     cargo run --release -p ipvm-examples --example telemetry

use std::collections::BTreeMap;
use std::error::Error;

use ipvm::{Node, NodeOptions, Source};
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt;
use ucan_core::Ipld;

#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let exporter = opentelemetry_stdout::SpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("ipvm"));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))?;

    let folder = tempfile::tempdir()?;
    let node = Node::open(&NodeOptions::new(folder.path()))?;
    let source = Source::read(concat!(env!("CARGO_MANIFEST_DIR"), "/workflows/words.json").as_ref())?;
    for (cid, bytes) in &source.blocks {
        node.put(cid, bytes.clone()).await?;
    }
    let inputs = BTreeMap::from([("text".to_owned(), Ipld::String("To be, or not to be".to_owned()))]);
    let report = node.run(&source.document, inputs, BTreeMap::new(), &|_| {}).await?;
    provider.shutdown()?;
    println!("the run {} has {} tasks", report.run, report.steps.len());
    Ok(())
}
