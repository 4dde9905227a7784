//! Announcements, acknowledgements and receipts.

use bytes::Bytes;
use proto::{
    attest::to_agent,
    checked::sign,
    claims::{FlowEnd, Receipt},
    ids::{Digest, Nonce, ProbeId},
    time::{Seconds, Timestamp},
};

use crate::{model::Reason, session::How};

use super::rig::{NOW, Rig, at_once, peer_key, soon};

fn receipt(probe: u8, seed: u8) -> Vec<u8> {
    let peer = peer_key(seed).public().thumbprint();
    let receipt = Receipt {
        issuer: peer,
        subject: peer,
        audience: peer_key(1).public().thumbprint(),
        expires: Seconds::new(NOW + 60),
        issued_at: Seconds::new(NOW),
        probe: ProbeId::from_bytes([probe; 16]),
        nonce: Nonce::from_bytes([probe; 32]),
        destination: "origin.test:80".parse().unwrap(),
        up: 1,
        up_digest: Digest::of(b"up"),
        down: 2,
        down_digest: Digest::of(b"down"),
        opened: Timestamp::from_secs(NOW),
        closed: Timestamp::from_secs(NOW),
        end: FlowEnd::Lengths,
    };
    sign(&receipt, &peer_key(seed)).unwrap()
}

#[tokio::test]
async fn an_announcement_is_acknowledged_and_its_receipt_finds_its_ticket() {
    let mut rig = Rig::start().await;
    let (mut agent, handle) = rig.registered(5).await;
    let (one, two) = (ProbeId::from_bytes([1; 16]), ProbeId::from_bytes([2; 16]));
    let mut first = handle.announce(one, b"one".to_vec()).unwrap();
    let mut second = handle.announce(two, b"two".to_vec()).unwrap();
    assert_eq!(
        agent.hear().await,
        to_agent::Message::Announcement(Bytes::from_static(b"one"))
    );
    assert_eq!(
        agent.hear().await,
        to_agent::Message::Announcement(Bytes::from_static(b"two"))
    );
    agent.ack(two, "").await;
    agent.ack(one, "not now").await;
    second.acked(soon()).await.unwrap();
    second.acked(soon()).await.unwrap();
    for _ in 0..2 {
        let finding = first.acked(soon()).await.unwrap_err();
        assert_eq!((finding.reason, finding.detail()), (Reason::AckRefused, "not now"));
    }
    // The receipt is matched by what it claims; a foreign signature is the verifier's to find. Unknown ones do no harm.
    rig.clock.set(Timestamp::from_secs(NOW + 3));
    agent.receipt(receipt(9, 5)).await;
    agent.receipt(receipt(2, 8)).await;
    agent.receipt(receipt(2, 5)).await;
    let came = second.receipt(soon()).await.unwrap();
    assert_eq!(came, (receipt(2, 8), Timestamp::from_secs(NOW + 3)));
    let finding = first.receipt(at_once()).await.unwrap_err();
    assert_eq!((finding.reason, finding.detail()), (Reason::ReceiptMissing, ""));
    rig.stop().await;
}

#[tokio::test]
async fn a_receipt_that_cannot_be_read_is_missed_with_a_word_about_it() {
    let mut rig = Rig::start().await;
    let (agent, handle) = rig.registered(5).await;
    let mut ticket = handle.announce(ProbeId::from_bytes([1; 16]), vec![1]).unwrap();
    assert_eq!(ticket.acked(at_once()).await.unwrap_err().reason, Reason::AckMissing);
    agent.receipt(b"no receipt".to_vec()).await;
    // Messages are taken in turn: when the acknowledgement is there, the receipt was seen.
    agent.ack(ProbeId::from_bytes([1; 16]), "").await;
    ticket.acked(soon()).await.unwrap();
    let finding = ticket.receipt(at_once()).await.unwrap_err();
    assert_eq!(finding.reason, Reason::ReceiptMissing);
    assert!(finding.detail().contains("cannot be read"), "{finding}");
    rig.stop().await;
}

#[tokio::test]
async fn tickets_of_an_ended_session_end_and_say_whose_doing_it_was() {
    let mut rig = Rig::start().await;
    let probe = ProbeId::from_bytes([1; 16]);
    let (agent, handle) = rig.registered(5).await;
    let (mut acked, receipt) = (
        handle.announce(probe, vec![1]).unwrap(),
        handle.announce(ProbeId::from_bytes([2; 16]), vec![1]).unwrap(),
    );
    drop(agent);
    assert_eq!(acked.acked(soon()).await.unwrap_err().reason, Reason::AckMissing);
    // It may be asked again, and says the same.
    assert_eq!(acked.acked(soon()).await.unwrap_err().reason, Reason::AckMissing);
    assert_eq!(
        receipt.receipt(soon()).await.unwrap_err().reason,
        Reason::ReceiptMissing
    );
    rig.ended().await;
    assert!(!handle.is_live());
    assert_eq!(handle.announce(probe, vec![1]).unwrap_err().reason, Reason::NoSession);
    assert_eq!(handle.send_verdict(vec![1]).unwrap_err().reason, Reason::NoSession);

    let (mut agent, handle) = rig.registered(5).await;
    let (mut acked, receipt) = (
        handle.announce(probe, vec![1]).unwrap(),
        handle.announce(ProbeId::from_bytes([2; 16]), vec![1]).unwrap(),
    );
    handle.close(&Reason::AddressTaken.into());
    assert_eq!(acked.acked(soon()).await.unwrap_err().reason, Reason::NoSession);
    assert_eq!(receipt.receipt(soon()).await.unwrap_err().reason, Reason::NoSession);
    assert_eq!(rig.ended().await.2, How::Dismissed);
    assert!(matches!(agent.hear().await, to_agent::Message::Announcement(_)));
    assert!(matches!(agent.hear().await, to_agent::Message::Announcement(_)));
    assert_eq!(agent.rejected().await.code, Reason::AddressTaken.code());
    rig.stop().await;
}

#[tokio::test]
async fn a_session_has_eight_probes_announced_at_most_each_once() {
    let mut rig = Rig::start().await;
    let (_agent, handle) = rig.registered(5).await;
    let announce = |number: u8| handle.announce(ProbeId::from_bytes([number; 16]), vec![number]);
    let first = announce(0).unwrap();
    assert_eq!(announce(0).unwrap_err().reason, Reason::AttesterFailed);
    let _others: Vec<_> = (1..8).map(|number| announce(number).unwrap()).collect();
    assert_eq!(announce(8).unwrap_err().reason, Reason::AttesterFailed);
    drop(first);
    let _again = announce(0).unwrap();
    rig.stop().await;
}

/// No agent gets a claim before the keyset that lists its key.
#[tokio::test]
async fn the_newest_keyset_goes_before_what_its_keys_may_have_signed() {
    use to_agent::Message::{Announcement, Keyset, Verdict};

    let mut rig = Rig::start().await;
    let (mut agent, handle) = rig.registered(5).await;
    let bytes = |text: &'static [u8]| Bytes::from_static(text);
    // It was sent with the welcome.
    handle.send_keyset().unwrap();
    handle.send_verdict(b"one".to_vec()).unwrap();
    assert_eq!(agent.hear().await, Verdict(bytes(b"one")));

    rig.hand_out(b"second");
    let _ticket = handle.announce(ProbeId::from_bytes([1; 16]), b"two".to_vec()).unwrap();
    handle.send_keyset().unwrap();
    handle.send_verdict(b"three".to_vec()).unwrap();
    assert_eq!(agent.hear().await, Keyset(bytes(b"second")));
    assert_eq!(agent.hear().await, Announcement(bytes(b"two")));
    assert_eq!(agent.hear().await, Verdict(bytes(b"three")));

    rig.hand_out(b"third");
    handle.send_keyset().unwrap();
    handle.send_keyset().unwrap();
    handle.send_verdict(b"four".to_vec()).unwrap();
    assert_eq!(agent.hear().await, Keyset(bytes(b"third")));
    assert_eq!(agent.hear().await, Verdict(bytes(b"four")));
    rig.stop().await;
}
