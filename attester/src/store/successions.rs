//! Identities that moved to a new key: who was who, with what both keys signed.
//!
//! A row is what keeps an old key out, so it stays as long as its newest key is known and longer than the claim could be
//! presented. What one peer can make the store keep is bounded: of each row of moves only the latest stay, and of rows whose
//! newest key is not known any more the latest of each holder of addresses.

use proto::{
    claims::{Link, SuccessionPair},
    ids::PeerId,
    time::Timestamp,
};

use super::{
    Loaded, PeerRow, Store, StoreError, Tx,
    rows::{Fields, micros},
};
use crate::model::{Reason, place::holder};

/// One move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuccessionRow {
    /// When it was learned of.
    pub at: Timestamp,
    /// Both keys, and what they signed; the signatures hold.
    pub link: Link,
}

/// What recording moves came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// When the identity was first seen, under whichever key.
    pub first_seen: Timestamp,
    /// Identities whose move is forgotten for the new ones.
    pub forgotten: Vec<PeerId>,
}

impl Store {
    /// The most moves that are kept of one identity.
    pub const MOST_MOVES: usize = 16;

    /// The most moves that are kept of peers of which nothing else is, for each holder of addresses.
    pub const MOST_MOVES_OF_THE_GONE: u32 = 64;

    /// Records that identities moved to `peer`'s key, oldest first, and what `peer` is now, in one transaction that is on the
    /// disk when this returns. The old ones are retired.
    ///
    /// # Errors
    /// When one of them has moved to another key before, or the transaction fails. Nothing is written then.
    pub async fn record_succession(&self, links: &[Link], peer: &PeerRow, at: Timestamp) -> Result<Moved, StoreError> {
        let mut tx = self.tx("record-succession").await?;
        tx.write_peer(peer).await?;
        for link in links {
            tx.write_move(link, peer, at).await?;
        }
        let sql = "DELETE FROM successions WHERE head = ?1 AND seq NOT IN (
                SELECT seq FROM successions WHERE head = ?1 ORDER BY seq DESC LIMIT ?2)
            RETURNING old_peer";
        let most = i64::try_from(Self::MOST_MOVES).unwrap_or(i64::MAX);
        let forgotten = tx
            .ids("old_peer", sqlx::query(sql).bind(peer.id.as_str()).bind(most))
            .await?;
        // With their probes: nobody could tell any more whose they were.
        for old in &forgotten {
            let sql = "DELETE FROM peers WHERE peer_id = ?";
            tx.execute(sqlx::query(sql).bind(old.as_str())).await?;
        }
        let place = sqlx::query("UPDATE successions SET holder = ? WHERE head = ?");
        let place = place.bind(holder(peer.address.ip()).to_string()).bind(peer.id.as_str());
        tx.execute(place).await?;
        let first_seen = tx.first_seen(&peer.id).await?.unwrap_or(peer.first_seen);
        tx.commit().await?;
        Ok(Moved { first_seen, forgotten })
    }

    /// All moves, in the order in which they were learned of. Each is verified; one that does not hold is a bad row.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn successions(&self) -> Result<Loaded<SuccessionRow>, StoreError> {
        let mut tx = self.read("successions").await?;
        let rows = tx.rows(sqlx::query("SELECT * FROM successions ORDER BY seq")).await?;
        tx.commit().await?;
        Ok(Loaded::from_rows(&rows, "old_peer", SuccessionRow::read))
    }

    /// The moves that `peer` has in its past or in its future, oldest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn moves(&self, peer: &PeerId) -> Result<Loaded<SuccessionRow>, StoreError> {
        let mut tx = self.read("moves").await?;
        let sql = "SELECT * FROM successions
            WHERE head IN (SELECT head FROM successions WHERE old_peer = ?1 OR new_peer = ?1) ORDER BY seq";
        let rows = tx.rows(sqlx::query(sql).bind(peer.as_str())).await?;
        tx.commit().await?;
        Ok(Loaded::from_rows(&rows, "old_peer", SuccessionRow::read))
    }

    /// Forgets the moves of identities of whose newest key nothing is stored, once they cannot be presented any more, or when the
    /// holder of addresses has left more of them than [`Self::MOST_MOVES_OF_THE_GONE`]; whose.
    ///
    /// # Errors
    /// When the transaction fails; nothing is forgotten then.
    pub async fn prune_successions(&self, now: Timestamp) -> Result<Vec<PeerId>, StoreError> {
        let mut tx = self.tx("prune-successions").await?;
        let sql = "DELETE FROM successions
            WHERE expires < ? AND NOT EXISTS (SELECT 1 FROM peers WHERE peer_id = head)
            RETURNING old_peer";
        let mut forgotten = tx.ids("old_peer", sqlx::query(sql).bind(micros(now))).await?;
        // However the peers went that these keep out.
        let sql = "DELETE FROM successions WHERE seq IN (
                SELECT seq FROM (
                    SELECT seq, row_number() OVER (PARTITION BY coalesce(holder, head) ORDER BY seq DESC) AS nth
                    FROM successions WHERE NOT EXISTS (SELECT 1 FROM peers WHERE peer_id = head))
                WHERE nth > ?)
            RETURNING old_peer";
        let many = sqlx::query(sql).bind(Self::MOST_MOVES_OF_THE_GONE);
        forgotten.extend(tx.ids("old_peer", many).await?);
        tx.commit().await?;
        Ok(forgotten)
    }
}

impl Tx {
    async fn write_move(&mut self, link: &Link, peer: &PeerRow, at: Timestamp) -> Result<(), StoreError> {
        let (old, new) = (link.old.peer_id(), link.new.peer_id());
        let statement = sqlx::query(
            "INSERT INTO successions (old_peer, new_peer, head, at, expires, by_old, by_new) VALUES (?, ?, ?, ?, ?, ?, ?)",
        );
        let statement = statement
            .bind(old.as_str())
            .bind(new.as_str())
            .bind(peer.id.as_str())
            .bind(micros(at))
            .bind(micros(link.expires.start()))
            .bind(link.pair.by_old.as_slice())
            .bind(link.pair.by_new.as_slice());
        self.execute(statement).await?;
        let head = sqlx::query("UPDATE successions SET head = ? WHERE head = ?");
        self.execute(head.bind(peer.id.as_str()).bind(old.as_str())).await?;
        let first = sqlx::query(
            "UPDATE peers SET first_seen = min(first_seen, (SELECT first_seen FROM peers WHERE peer_id = ?2))
            WHERE peer_id = ?1 AND EXISTS (SELECT 1 FROM peers WHERE peer_id = ?2)",
        );
        self.execute(first.bind(peer.id.as_str()).bind(old.as_str())).await?;
        let retired = sqlx::query(
            "UPDATE peers SET standing = 'retired', reason = ?2, detail = ?3, lease_until = NULL,
                since = CASE WHEN standing = 'retired' THEN coalesce(since, ?4) ELSE ?4 END
            WHERE peer_id = ?1",
        );
        let retired = retired
            .bind(old.as_str())
            .bind(Reason::KeySucceeded.code())
            .bind(format!("moved to {new}"))
            .bind(micros(at));
        self.execute(retired).await.map(|_| ())
    }

    /// Of the holder of addresses whose moves `peer` has, forgets those of peers that are gone but for the latest; whose.
    pub(super) async fn forget_moves_beside(&mut self, peer: &PeerId) -> Result<Vec<PeerId>, StoreError> {
        let sql = "WITH gone AS (
                SELECT seq FROM successions
                WHERE coalesce(holder, head) IN (SELECT coalesce(holder, head) FROM successions WHERE head = ?1)
                    AND NOT EXISTS (SELECT 1 FROM peers WHERE peer_id = head))
            DELETE FROM successions
            WHERE seq IN gone AND seq NOT IN (SELECT seq FROM gone ORDER BY seq DESC LIMIT ?2)
            RETURNING old_peer";
        let statement = sqlx::query(sql).bind(peer.as_str());
        self.ids("old_peer", statement.bind(Store::MOST_MOVES_OF_THE_GONE))
            .await
    }

    async fn first_seen(&mut self, peer: &PeerId) -> Result<Option<Timestamp>, StoreError> {
        let statement = sqlx::query("SELECT first_seen FROM peers WHERE peer_id = ?").bind(peer.as_str());
        let row = self.row(statement).await?;
        Ok(row.and_then(|row| Fields::of(&row).time("first_seen").ok()))
    }

    async fn ids(&mut self, column: &'static str, statement: super::Statement<'_>) -> Result<Vec<PeerId>, StoreError> {
        let rows = self.rows(statement).await?;
        let ids = rows.iter().filter_map(|row| Fields::of(row).parsed(column).ok());
        Ok(ids.collect())
    }
}

impl SuccessionRow {
    fn read(fields: &Fields<'_>) -> Result<Self, String> {
        let pair = SuccessionPair {
            by_old: fields.bytes("by_old")?,
            by_new: fields.bytes("by_new")?,
        };
        let link = Link::dangerously_at_any_time(pair).map_err(|error| error.to_string())?;
        let named: (PeerId, PeerId) = (fields.parsed("old_peer")?, fields.parsed("new_peer")?);
        if named != (link.old.peer_id(), link.new.peer_id()) {
            return Err("the signed claim is about other peers".to_owned());
        }
        Ok(Self {
            at: fields.time("at")?,
            link,
        })
    }
}
