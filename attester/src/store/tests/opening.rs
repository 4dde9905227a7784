//! The file itself: who may open it, what survives, what is refused.

use super::*;

#[tokio::test]
async fn two_attesters_do_not_share_a_file_but_readers_do() {
    let (_folder, path) = state();
    let missing = Store::open_read_only(&path).await.unwrap_err();
    assert!(matches!(&missing, StoreError::Missing { .. }), "{missing}");
    let store = Store::open(&path).await.unwrap();
    assert!(matches!(Store::open(&path).await, Err(StoreError::InUse { .. })));

    let reader = Store::open_read_only(&path).await.unwrap();
    assert_eq!(reader.peers().await.unwrap().rows, []);
    store.record_peer(&peer(1)).await.unwrap();
    assert_eq!(reader.peers().await.unwrap().rows, [peer(1)]);
    let error = reader.record_peer(&peer(2)).await.unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Transaction {
                name: "record-peer",
                ..
            }
        ),
        "{error}"
    );
    drop(store);
    assert_eq!(reader.find("127.77.1.1").await.unwrap(), Lookup::One(Box::new(peer(1))));
    reader.close().await;
    Store::open(&path).await.unwrap().close().await;
    assert_eq!(
        Store::open_read_only(&path).await.unwrap().peers().await.unwrap().rows,
        [peer(1)]
    );
}

#[tokio::test]
async fn other_schemas_and_other_files_are_refused() {
    let (folder, path) = state();
    let known = super::super::open::known();
    Store::open(&path).await.unwrap().close().await;
    tamper(
        &path,
        "INSERT INTO _sqlx_migrations VALUES (9, 'later', '2026-01-01', 1, x'00', 1)",
    )
    .await;
    for result in [Store::open(&path).await, Store::open_read_only(&path).await] {
        let error = result.unwrap_err();
        assert!(
            matches!(error, StoreError::Newer { found: 9, known: k, .. } if k == known),
            "{error}"
        );
    }
    tamper(&path, "DELETE FROM _sqlx_migrations").await;
    let error = Store::open_read_only(&path).await.unwrap_err();
    assert!(matches!(error, StoreError::Older { found: 0, .. }), "{error}");

    let foreign = folder.path().join("foreign.db");
    let options = SqliteConnectOptions::new().filename(&foreign).create_if_missing(true);
    SqliteConnection::connect_with(&options)
        .await
        .unwrap()
        .close()
        .await
        .unwrap();
    tamper(&foreign, "CREATE TABLE cookies (jar TEXT)").await;
    let before = std::fs::read(&foreign).unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(
        &text,
        "no database, but longer than a header has to be, which is a hundred bytes. ".repeat(9),
    )
    .unwrap();
    for file in [&foreign, &text] {
        assert!(
            matches!(Store::open(file).await, Err(StoreError::Foreign { .. })),
            "{}",
            file.display()
        );
        assert!(
            matches!(Store::open_read_only(file).await, Err(StoreError::Foreign { .. })),
            "{}",
            file.display()
        );
    }
    assert_eq!(
        std::fs::read(&foreign).unwrap(),
        before,
        "another program's file is not touched"
    );

    let empty = folder.path().join("empty.db");
    std::fs::write(&empty, "").unwrap();
    assert!(matches!(
        Store::open_read_only(&empty).await,
        Err(StoreError::Older { .. })
    ));
    Store::open(&empty).await.unwrap().record_peer(&peer(1)).await.unwrap();
}

#[tokio::test]
async fn the_writer_is_durable_and_private() {
    use sqlx::Row;

    let (_folder, path) = state();
    let store = Store::open(&path).await.unwrap();
    for (pragma, expected) in [("PRAGMA synchronous", 2_i64), ("PRAGMA foreign_keys", 1)] {
        let row = sqlx::query(pragma).fetch_one(&store.pool).await.unwrap();
        assert_eq!(row.get::<i64, _>(0), expected, "{pragma}");
    }
    let mode = sqlx::query("PRAGMA journal_mode").fetch_one(&store.pool).await.unwrap();
    assert_eq!(mode.get::<String, _>(0), "wal");
    store.record_peer(&peer(1)).await.unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;

        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let folder = path.parent().unwrap();
        assert_eq!(mode(folder), 0o700);
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }
}

#[tokio::test]
async fn damage_is_found() {
    let (_folder, path) = state();
    {
        let store = Store::open(&path).await.unwrap();
        for number in 1..=60 {
            let row = peer(number);
            store
                .record_verdict(
                    &row,
                    &ProbeRow {
                        evidence: vec![number; 8000],
                        ..probe(&row, number)
                    },
                )
                .await
                .unwrap();
        }
        store.close().await;
    }
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle / 4096 * 4096..][..4096].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let store = Store::open(&path).await.unwrap();
    let error = store.check().await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Damaged { detail, .. } if !detail.is_empty()),
        "{error}"
    );
}

/// A copy of the three files at any moment is what a kill leaves behind: everything that returned is in it.
#[tokio::test]
async fn what_returned_is_on_the_disk() {
    let (folder, path) = state();
    let store = Store::open(&path).await.unwrap();
    for number in 1..=5 {
        let row = peer(number);
        store.record_verdict(&row, &probe(&row, number)).await.unwrap();
        let crashed = folder.path().join(format!("crashed-{number}.db"));
        for suffix in ["", "-wal"] {
            let from = format!("{}{suffix}", path.display());
            std::fs::copy(from, format!("{}{suffix}", crashed.display())).unwrap();
        }
        let after = Store::open(&crashed).await.unwrap();
        after.check().await.unwrap();
        assert_eq!(after.peers().await.unwrap().rows.len(), usize::from(number));
        assert!(after.nonce_seen(&probe(&row, number).nonce).await.unwrap());
    }
}
