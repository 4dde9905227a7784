//! Peers: recording, listing, finding.

use std::net::{IpAddr, SocketAddr};

use proto::{ids::PeerId, key::PublicKey};

use super::{
    Loaded, Lookup, PeerRow, Store, StoreError, Tx,
    rows::{bounded, micros},
};
use crate::model::{Reason, place::holder};

/// What forgetting a peer came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// Whether it was there.
    pub was_there: bool,
    /// Identities whose move is forgotten too.
    pub moves: Vec<PeerId>,
}

impl Store {
    /// The most peers that are kept for their listing and their evidence alone, for each holder of addresses.
    pub const MOST_GONE: u32 = 64;

    /// Inserts or updates a peer. The first time at which it was seen stays.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn record_peer(&self, peer: &PeerRow) -> Result<(), StoreError> {
        let mut tx = self.tx("record-peer").await?;
        tx.write_peer(peer).await?;
        tx.commit().await
    }

    /// Deletes a peer, its probes, and the identities that it had before. Their moves stay, for they keep old keys out: of
    /// peers that are gone, the [`Self::MOST_MOVES_OF_THE_GONE`] latest for each holder of addresses.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn forget(&self, peer: &PeerId) -> Result<Forgotten, StoreError> {
        let mut tx = self.tx("forget").await?;
        let past = "DELETE FROM peers WHERE peer_id IN (SELECT old_peer FROM successions WHERE head = ?)";
        tx.execute(sqlx::query(past).bind(peer.as_str())).await?;
        let gone = tx
            .execute(sqlx::query("DELETE FROM peers WHERE peer_id = ?").bind(peer.as_str()))
            .await?;
        let moves = tx.forget_moves_beside(peer).await?;
        tx.commit().await?;
        Ok(Forgotten {
            was_there: gone > 0,
            moves,
        })
    }

    /// Forgets peers that are neither verified nor `known`, nor were before one that is: of each holder of addresses all but
    /// the [`Self::MOST_GONE`] seen last, a bounded number at a time. How many.
    ///
    /// # Errors
    /// When the transaction fails; nothing is forgotten then.
    pub async fn forget_strangers<'a>(&self, known: impl IntoIterator<Item = &'a PeerId>) -> Result<u64, StoreError> {
        let known: Vec<String> = known.into_iter().map(|peer| format!("\"{peer}\"")).collect();
        let known = format!("[{}]", known.join(","));
        let mut tx = self.tx("forget-strangers").await?;
        let statement = sqlx::query(STRANGERS).bind(known).bind(Self::MOST_GONE);
        let gone = tx.execute(statement).await?;
        tx.commit().await?;
        Ok(gone)
    }

    /// All peers, by id.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn peers(&self) -> Result<Loaded<PeerRow>, StoreError> {
        let mut tx = self.read("peers").await?;
        let rows = tx.rows(sqlx::query("SELECT * FROM peers ORDER BY peer_id")).await?;
        tx.commit().await?;
        Ok(Loaded::from_rows(&rows, "peer_id", PeerRow::read))
    }

    /// The peers that `text` names: an id or the beginning of one, an own name (with or without its zone), a public
    /// key, an `ip:port` or an ip.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn find(&self, text: &str) -> Result<Lookup, StoreError> {
        let Some(named) = Named::parse(text.trim()) else {
            return Ok(Lookup::None);
        };
        let mut tx = self.read("find").await?;
        let rows = match &named {
            Named::Id(prefix) => {
                let sql = "SELECT * FROM peers WHERE substr(peer_id, 1, length(?1)) = ?1 ORDER BY peer_id LIMIT ?2";
                tx.rows(sqlx::query(sql).bind(prefix).bind(MOST)).await?
            }
            Named::Address(address) => {
                let sql = "SELECT * FROM peers WHERE address = ?1 ORDER BY last_seen DESC LIMIT ?2";
                tx.rows(sqlx::query(sql).bind(address).bind(MOST)).await?
            }
            Named::Host(beginning) => {
                let sql =
                    "SELECT * FROM peers WHERE substr(address, 1, length(?1)) = ?1 ORDER BY last_seen DESC LIMIT ?2";
                tx.rows(sqlx::query(sql).bind(beginning).bind(MOST)).await?
            }
        };
        tx.commit().await?;
        let mut loaded = Loaded::from_rows(&rows, "peer_id", PeerRow::read);
        // At an address is whoever is there now, not what it was before it moved to another key.
        let is_there = |row: &PeerRow| row.reason != Some(Reason::KeySucceeded);
        if !matches!(named, Named::Id(_)) && loaded.rows.iter().any(is_there) {
            loaded.rows.retain(is_there);
        }
        Ok(match (loaded.rows.len(), loaded.bad.is_empty()) {
            (0, true) => Lookup::None,
            (0, false) => Lookup::Bad(loaded.bad),
            (1, _) => Lookup::One(Box::new(loaded.rows.remove(0))),
            _ => Lookup::Several(loaded.rows),
        })
    }
}

impl Tx {
    /// Inserts or updates a peer within a transaction.
    pub(super) async fn write_peer(&mut self, peer: &PeerRow) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "INSERT INTO peers (peer_id, key, address, pin, protocols, standing, reason, detail, first_seen, last_seen, lease_until, since, holder)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (peer_id) DO UPDATE SET
                since = CASE WHEN standing = excluded.standing THEN coalesce(since, excluded.since) ELSE excluded.since END,
                key = excluded.key, address = excluded.address, pin = excluded.pin, protocols = excluded.protocols,
                standing = excluded.standing, reason = excluded.reason, detail = excluded.detail,
                first_seen = min(first_seen, excluded.first_seen), last_seen = excluded.last_seen,
                lease_until = excluded.lease_until, holder = excluded.holder",
        );
        let statement = statement
            .bind(peer.id.as_str())
            .bind(peer.key.as_bytes().as_slice())
            .bind(peer.address.to_string())
            .bind(peer.pin.as_bytes().as_slice())
            .bind(peer.protocols.to_string())
            .bind(bounded(&peer.standing))
            .bind(peer.reason.map(|reason| reason.code()))
            .bind(bounded(&peer.detail))
            .bind(micros(peer.first_seen))
            .bind(micros(peer.last_seen))
            .bind(peer.lease_until.map(micros))
            .bind(peer.since.map(micros))
            .bind(holder(peer.address.ip()).to_string());
        self.execute(statement).await.map(|_| ())
    }
}

/// What a text may name.
enum Named {
    /// The beginning of an id.
    Id(String),
    /// An `ip:port`.
    Address(String),
    /// An address up to and with the colon before its port.
    Host(String),
}

impl Named {
    /// `None` when it can name no peer.
    fn parse(text: &str) -> Option<Self> {
        if let Ok(key) = text.parse::<PublicKey>() {
            return Some(Self::Id(key.peer_id().to_string()));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Some(Self::Address(address.to_string()));
        }
        match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) => return Some(Self::Host(format!("{ip}:"))),
            Ok(IpAddr::V6(ip)) => return Some(Self::Host(format!("[{ip}]:"))),
            Err(_) => {}
        }
        let label = text.split('.').next().unwrap_or_default().to_ascii_lowercase();
        let id = label.strip_prefix("peer-").unwrap_or(&label);
        let fits = (1..=PEER_ID_LENGTH).contains(&id.len())
            && id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'));
        fits.then(|| Self::Id(id.to_owned()))
    }
}

// ?1 is who is known, as JSON, ?2 how many may stay.
const STRANGERS: &str = "
    WITH known AS MATERIALIZED (SELECT value AS peer FROM json_each(?1))
    DELETE FROM peers WHERE peer_id IN (
        SELECT peer_id FROM (
            SELECT peer_id, row_number() OVER (
                PARTITION BY coalesce(holder, peer_id) ORDER BY last_seen DESC, peer_id) AS nth
            FROM peers
            WHERE standing <> 'verified' AND peer_id NOT IN known AND NOT EXISTS (
                SELECT 1 FROM successions WHERE old_peer = peer_id AND head IN known))
        WHERE nth > ?2 LIMIT 256)";

/// The most peers that one text is answered with.
const MOST: i64 = 20;
const PEER_ID_LENGTH: usize = 26;
