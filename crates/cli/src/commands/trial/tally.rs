//! Whom the simulated provider accepted how often, against whom the ledger froze: by address, since that is what a
//! provider knows, and on disk, so that memory stays flat.

use std::collections::BTreeMap;

use anyhow::Context;
use issei_assembly::Parts;
use issei_ledger::{EventLog, Outcome};
use issei_schema::BroadcastId;
use issei_sim::Cloud;
use serde::Serialize;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Row, SqlitePool};

const ROWS: i64 = 2_000;

/// What the comparison found.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Counted {
    /// Letters that the provider accepted.
    pub(super) accepted: u64,
    /// Letters beyond one for each user, and letters to addresses that are not of the audience.
    pub(super) twice: u64,
    /// Users without a letter, and with no outcome that says why.
    pub(super) missed: u64,
    /// Users whom the ledger lists in doubt, whether the provider took them or not.
    pub(super) in_doubt: u64,
    /// Users who were frozen.
    pub(super) frozen: u64,
}

pub(super) struct Tally {
    pool: SqlitePool,
}

impl Tally {
    pub(super) async fn of(parts: &Parts, cloud: &Cloud, id: &BroadcastId) -> anyhow::Result<Counted> {
        // Gone with its last connection (sqlite.org/inmemorydb.html).
        let options = SqliteConnectOptions::new().filename("").pragma("synchronous", "OFF").pragma("journal_mode", "OFF");
        let pool = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = pool.connect_with(options).await.context("the comparison has no room on the disk")?;
        sqlx::query("CREATE TABLE user (address TEXT PRIMARY KEY, keys INTEGER, on_record INTEGER) WITHOUT ROWID").execute(&pool).await?;
        let tally = Self { pool };
        let (ledger, mut counted) = (parts.ledger(), Counted::default());
        let broadcast = ledger.broadcast(id).await?;
        for seq in 0..broadcast.pages {
            let mut page: BTreeMap<String, (i64, i64)> = BTreeMap::new();
            for one in ledger.page_outcomes(&broadcast.placed(), seq, &EventLog::default()).await? {
                let Some(recipient) = one.recipient else { continue };
                let (keys, on_record) = page.entry(recipient.address.as_str().to_owned()).or_default();
                *keys += 1;
                counted.frozen += 1;
                // A claim that was never confirmed is in doubt once its lease is over, and all are.
                let is_in_doubt = matches!(one.outcome, Some(Outcome::InDoubt | Outcome::Open));
                counted.in_doubt += u64::from(is_in_doubt);
                *on_record += i64::from(is_in_doubt || one.outcome == Some(Outcome::Rejected));
            }
            tally.note(page).await?;
        }
        tally.compare(cloud, id, counted).await
    }

    async fn note(&self, page: BTreeMap<String, (i64, i64)>) -> anyhow::Result<()> {
        let mut together = self.pool.begin().await?;
        for (address, (keys, on_record)) in page {
            sqlx::query(
                "INSERT INTO user VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET keys = keys + excluded.keys, on_record = on_record + excluded.on_record",
            )
            .bind(address)
            .bind(keys)
            .bind(on_record)
            .execute(&mut *together)
            .await?;
        }
        Ok(together.commit().await?)
    }

    async fn compare(&self, cloud: &Cloud, id: &BroadcastId, mut counted: Counted) -> anyhow::Result<Counted> {
        let (mut after, mut known) = (String::new(), 0);
        loop {
            let sql = "SELECT address, keys, on_record FROM user WHERE address > ? ORDER BY address LIMIT ?";
            let rows = sqlx::query(sql).bind(&after).bind(ROWS).fetch_all(&self.pool).await?;
            let Some(last) = rows.last() else { break };
            after = last.try_get(0)?;
            for row in &rows {
                let (address, keys, on_record): (String, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
                let (keys, on_record) = (keys.cast_unsigned(), on_record.cast_unsigned());
                let accepted = cloud.sent_for(id.as_str(), &address)?.accepted;
                known += accepted;
                counted.twice += accepted.saturating_sub(keys);
                counted.missed += keys.saturating_sub(accepted + on_record);
            }
        }
        counted.accepted = cloud.accepted_of(id.as_str());
        counted.twice += counted.accepted - known;
        Ok(counted)
    }
}
