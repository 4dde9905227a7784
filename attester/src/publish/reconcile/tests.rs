#![expect(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeSet, future::pending, net::IpAddr, sync::Mutex};

use tokio::task::JoinHandle;

use crate::{
    publish::battery,
    records::{Name, Record},
    verify::fixture,
};

use super::*;

/// A provider held in memory, with the troubles that providers have.
#[derive(Clone, Default)]
struct Provider(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    records: BTreeSet<Record>,
    trouble: Trouble,
    observed: u32,
    applied: Vec<Changes>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Trouble {
    #[default]
    None,
    CannotObserve,
    /// Fails after the first record of a batch, as a provider that takes one record a call does.
    FailsHalfWay,
    Hangs,
}

impl Provider {
    fn holding(records: BTreeSet<Record>) -> Self {
        let provider = Self::default();
        provider.0.lock().unwrap().records = records;
        provider
    }

    fn trouble(&self, trouble: Trouble) {
        self.0.lock().unwrap().trouble = trouble;
    }

    fn records(&self) -> BTreeSet<Record> {
        self.0.lock().unwrap().records.clone()
    }

    fn calls(&self) -> (u32, usize) {
        let state = self.0.lock().unwrap();
        (state.observed, state.applied.len())
    }
}

fn failure(operation: &'static str) -> PublishError {
    PublishError::TimedOut {
        operation,
        after: Duration::ZERO,
    }
}

impl Publisher for Provider {
    async fn observe(&self) -> Result<Arc<BTreeSet<Record>>, PublishError> {
        let trouble = {
            let mut state = self.0.lock().unwrap();
            state.observed += 1;
            state.trouble
        };
        match trouble {
            Trouble::CannotObserve => Err(failure("observe")),
            Trouble::Hangs => pending().await,
            _ => Ok(Arc::new(self.records())),
        }
    }

    async fn apply(&self, changes: &Changes) -> Result<(), PublishError> {
        let mut state = self.0.lock().unwrap();
        let zone = Name::parse(battery::ZONE).unwrap();
        if let Some(stray) = changes.add.iter().find(|record| !record.name.is_within(&zone)) {
            let name = stray.name.clone();
            return Err(PublishError::OutsideZone { name, zone });
        }
        if state.trouble == Trouble::FailsHalfWay {
            state.records.extend(changes.add.iter().take(1).cloned());
            return Err(failure("apply"));
        }
        state.applied.push(changes.clone());
        changes.apply_to(&mut state.records);
        Ok(())
    }
}

struct Running {
    publication: Publication,
    token: CancellationToken,
    task: JoinHandle<()>,
}

fn start(provider: &Provider) -> Running {
    let (reconciler, publication) = Reconciler::new(provider.clone(), Timing::default());
    let token = CancellationToken::new();
    let task = tokio::spawn(reconciler.run(token.clone()));
    Running {
        publication,
        token,
        task,
    }
}

impl Running {
    /// Hands in and waits until it was published; time is paused in these tests, so the deadline costs nothing.
    async fn publish(&self, desired: &Desired) {
        let generation = self.publication.desire(desired.clone());
        let deadline = Instant::now() + Duration::from_secs(600);
        self.publication.wait_published(generation, deadline).await.unwrap();
    }

    async fn until(&self, reached: impl FnMut(&Reconciled) -> bool) {
        let mut reconciled = self.publication.reconciled();
        let reached = reconciled.wait_for(reached);
        let _ = timeout(Duration::from_secs(600), reached).await.unwrap().unwrap();
    }

    async fn stop(self) {
        self.token.cancel();
        self.task.await.unwrap();
    }
}

fn peers(numbers: impl IntoIterator<Item = u8>) -> Desired {
    let zone = Name::parse(battery::ZONE).unwrap();
    let mut desired = Desired::new();
    for number in numbers {
        let address = IpAddr::from([127, 77, number, 1]);
        desired.name_peer(zone.child(&format!("peer-{number}")).unwrap(), [address]);
        desired.admit(zone.child("roundrobin").unwrap(), &fixture::member(address));
    }
    desired
}

#[tokio::test]
async fn the_test_provider_passes_the_battery() {
    battery::run(async || Provider::default()).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_touched_before_state_was_restored() {
    let provider = Provider::holding(peers([1, 2]).records());
    let running = start(&provider);
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(provider.calls(), (0, 0));
    assert_eq!(provider.records(), peers([1, 2]).records());
    assert!(!running.publication.reconciled().borrow().in_sync);

    // An empty state that was restored is another matter: then the records are orphans.
    running.publish(&Desired::new()).await;
    assert!(provider.records().is_empty());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_publisher_hears_that_state_was_restored_even_when_nothing_changes() {
    let provider = Provider::holding(peers([1]).records());
    let running = start(&provider);
    running.publish(&peers([1])).await;
    assert_eq!(provider.0.lock().unwrap().applied, [Changes::default()]);
    sleep(Duration::from_secs(60)).await;
    let (observed, applied) = provider.calls();
    assert_eq!(applied, 1);
    assert!(observed > 10, "{observed}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn adds_removes_and_repairs() {
    let provider = Provider::default();
    let running = start(&provider);
    running.publish(&peers([1, 2])).await;
    assert_eq!(provider.records(), peers([1, 2]).records());
    running.publish(&peers([2, 3])).await;
    assert_eq!(provider.records(), peers([2, 3]).records());

    // Somebody else's hand: an orphan appears, a record disappears. The next tick puts both right.
    {
        let mut state = provider.0.lock().unwrap();
        state.records.pop_first().unwrap();
        state.records.extend(peers([9]).records());
    }
    sleep(Timing::default().tick * 2).await;
    assert_eq!(provider.records(), peers([2, 3]).records());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_changes_is_one_batch_and_equal_records_are_no_change() {
    let provider = Provider::default();
    let running = start(&provider);
    running.publish(&Desired::new()).await;
    let before = provider.calls().1;
    let mut generation = 0;
    for last in 1..=50 {
        generation = running.publication.desire(peers(1..=last));
    }
    assert_eq!(running.publication.desire(peers(1..=50)), generation);
    running
        .until(|state| state.generation == generation && state.in_sync)
        .await;
    assert_eq!(provider.records(), peers(1..=50).records());
    assert_eq!(provider.calls().1, before + 1);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn recovers_from_every_trouble() {
    for trouble in [Trouble::CannotObserve, Trouble::FailsHalfWay, Trouble::Hangs] {
        let provider = Provider::holding(peers([1, 9]).records());
        let running = start(&provider);
        running.publish(&peers([1])).await;
        provider.trouble(trouble);
        let generation = running.publication.desire(peers([2]));
        running.until(|state| state.failures >= 4).await;

        let state = running.publication.reconciled().borrow().clone();
        assert!(!state.in_sync);
        assert_eq!(state.generation, generation - 1);
        let soon = Instant::now() + Duration::from_millis(1);
        let late = running.publication.wait_published(generation, soon).await.unwrap_err();
        assert!(late.last_error.is_some());

        provider.trouble(Trouble::None);
        running.until(|state| state.in_sync).await;
        let state = running.publication.reconciled().borrow().clone();
        assert_eq!((state.generation, state.failures), (generation, 0));
        assert!(state.last_error.is_none());
        assert_eq!(provider.records(), peers([2]).records());
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_in_trouble_is_asked_less_and_less() {
    let provider = Provider::default();
    provider.trouble(Trouble::CannotObserve);
    let running = start(&provider);
    let started = Instant::now();
    for last in 1..=200 {
        running.publication.desire(peers([last]));
        sleep(Duration::from_secs(3)).await;
    }
    // 600 s: 250 ms doubled seven times is 32 s, capped to 30.
    let asked = provider.calls().0;
    assert_eq!(started.elapsed(), Duration::from_secs(600));
    assert!((20..=30).contains(&asked), "{asked}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn stops_while_a_provider_hangs_and_without_a_publication() {
    let provider = Provider::default();
    provider.trouble(Trouble::Hangs);
    let running = start(&provider);
    running.publication.desire(peers([1]));
    sleep(Duration::from_secs(1)).await;
    running.stop().await;

    let (reconciler, publication) = Reconciler::new(provider, Timing::default());
    drop(publication);
    let token = CancellationToken::new();
    let task = tokio::spawn(reconciler.run(token.clone()));
    sleep(Duration::from_secs(1)).await;
    assert!(!task.is_finished());
    token.cancel();
    task.await.unwrap();
}

#[test]
fn pauses_double_up_to_the_longest() {
    let timing = Timing::default();
    let pauses: Vec<u128> = (1..=9)
        .map(|failures| timing.pause_after(failures).as_millis())
        .collect();
    assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    assert_eq!(timing.pause_after(u32::MAX).as_millis(), 30_000);
}

/// Peers that change their address or their key all the time are in the log once a minute.
#[tokio::test(start_paused = true)]
async fn changes_without_end_do_not_fill_the_log() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(lines.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let running = start(&Provider::default());
    let began = Instant::now();
    let mut changes = 0;
    while began.elapsed() < Duration::from_secs(600) {
        changes += 1;
        running.publish(&peers([1 + (changes % 2) as u8])).await;
        sleep(Duration::from_millis(300)).await;
    }
    // The last ones are told too, although nothing follows them.
    sleep(2 * TOLD).await;
    running.stop().await;
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let told: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("DNS records changed"))
        .collect();
    assert!(changes > 1000, "{changes}");
    assert!(
        (2..=13).contains(&told.len()),
        "{} lines for {changes} changes",
        told.len()
    );
    let batches = |line: &&str| {
        line.split("batches=")
            .nth(1)
            .and_then(|rest| rest.trim().parse::<u64>().ok())
    };
    assert_eq!(told.iter().filter_map(batches).sum::<u64>(), changes);
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
