//! From an honest peer's start to its place in the rotation, with the default configuration: most of it is chosen spacing.

use std::time::Duration;

use harness::{Behaviour, Cluster, Options, Peer};
use tokio::time::Instant;

use crate::{
    Scale,
    report::{Budget, Row, Unit},
    samples::Samples,
};

pub(crate) fn measure(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let rounds = scale.pick(5, 1);
    let mut took = Samples::default();
    let runtime = tokio::runtime::Runtime::new()?;
    for round in 1..=rounds {
        eprintln!("bench: admission: round {round} of {rounds}");
        took.push(runtime.block_on(Box::pin(one(scale)))?);
    }
    let row = Row::alone(
        "admission",
        "from a peer's start to the rotation, defaults",
        Unit::Seconds,
        &took,
    );
    Ok(row.map(|row| row.within(Budget::AtMost(10.0))).into_iter().collect())
}

async fn one(scale: Scale) -> anyhow::Result<f64> {
    let seconds = Duration::from_secs;
    let defaults = Options {
        spacing: seconds(2),
        interval: seconds(60),
        lease: seconds(300),
        receipt_within: seconds(3),
        ..Options::demo()
    };
    let cluster = Cluster::start(scale.pick(defaults, Options::quick())).await?;
    // An origin that has just started refuses challenges of its first second.
    tokio::time::sleep(seconds(1)).await;
    let start = Instant::now();
    let peer = Peer::start(&cluster, 1, Behaviour::All).await?;
    cluster.wait_rotation_of(&[&peer]).await?;
    Ok(start.elapsed().as_secs_f64())
}
