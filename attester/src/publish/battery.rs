//! One battery for every publisher: what the reconciler relies on. A publisher's own tests call [`run`] with a
//! function that makes a fresh one for the zone [`ZONE`].

use std::collections::BTreeSet;

use crate::records::{Changes, Name, Record, RecordData};

use super::{PublishError, Publisher};

/// The zone that the publisher under test has to be for.
pub(crate) const ZONE: &str = "demo.test";

/// Runs every case over a publisher that shows nothing yet.
pub(crate) async fn run<P: Publisher>(fresh: impl AsyncFn() -> P) {
    starts_empty(fresh().await).await;
    shows_what_was_added_and_no_longer_what_was_removed(fresh().await).await;
    repeating_changes_is_harmless(fresh().await).await;
    replaces_a_ttl(fresh().await).await;
    takes_a_large_batch(fresh().await).await;
    refuses_other_zones_without_applying_anything(fresh().await).await;
}

async fn starts_empty(publisher: impl Publisher) {
    assert_eq!(*publisher.observe().await.unwrap(), BTreeSet::new());
    publisher.apply(&Changes::default()).await.unwrap();
    assert_eq!(*publisher.observe().await.unwrap(), BTreeSet::new());
}

async fn shows_what_was_added_and_no_longer_what_was_removed(publisher: impl Publisher) {
    let first = three_kinds("peer-a");
    reach(&publisher, &first).await;
    let both = first.union(&three_kinds("peer-b")).cloned().collect();
    reach(&publisher, &both).await;
    reach(&publisher, &three_kinds("peer-b")).await;
    reach(&publisher, &BTreeSet::new()).await;
}

async fn repeating_changes_is_harmless(publisher: impl Publisher) {
    let records = three_kinds("peer-a");
    let add = Changes {
        add: records.clone(),
        remove: BTreeSet::new(),
    };
    publisher.apply(&add).await.unwrap();
    publisher.apply(&add).await.unwrap();
    assert_eq!(*publisher.observe().await.unwrap(), records);
    let remove = Changes {
        add: BTreeSet::new(),
        remove: records,
    };
    publisher.apply(&remove).await.unwrap();
    publisher.apply(&remove).await.unwrap();
    assert_eq!(*publisher.observe().await.unwrap(), BTreeSet::new());
}

async fn replaces_a_ttl(publisher: impl Publisher) {
    let new = three_kinds("peer-a");
    let old = new
        .iter()
        .map(|record| Record {
            ttl: 300,
            ..record.clone()
        })
        .collect();
    reach(&publisher, &old).await;
    reach(&publisher, &new).await;
}

async fn takes_a_large_batch(publisher: impl Publisher) {
    let many = (0..60u8).flat_map(|peer| {
        let member = Record::new(name("roundrobin"), RecordData::A([127, 77, peer, 1].into()));
        three_kinds(&format!("peer-{peer}")).into_iter().chain([member])
    });
    reach(&publisher, &many.collect()).await;
    reach(&publisher, &BTreeSet::new()).await;
}

async fn refuses_other_zones_without_applying_anything(publisher: impl Publisher) {
    let mut add = three_kinds("peer-a");
    add.insert(Record::new(Name::parse("www.example.org").unwrap(), RecordData::Caa));
    let changes = Changes {
        add,
        remove: BTreeSet::new(),
    };
    let error = publisher.apply(&changes).await.unwrap_err();
    assert!(matches!(error, PublishError::OutsideZone { .. }), "{error}");
    assert_eq!(*publisher.observe().await.unwrap(), BTreeSet::new());
}

/// Does what the reconciler does, and checks that it was enough.
async fn reach(publisher: &impl Publisher, desired: &BTreeSet<Record>) {
    let observed = publisher.observe().await.unwrap();
    publisher.apply(&Changes::between(&observed, desired)).await.unwrap();
    assert_eq!(*publisher.observe().await.unwrap(), *desired);
}

fn three_kinds(label: &str) -> BTreeSet<Record> {
    let kinds = [
        RecordData::A([127, 77, 1, 1].into()),
        RecordData::Aaaa([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()),
        RecordData::Caa,
    ];
    kinds.map(|data| Record::new(name(label), data)).into()
}

fn name(label: &str) -> Name {
    Name::parse(ZONE).unwrap().child(label).unwrap()
}
