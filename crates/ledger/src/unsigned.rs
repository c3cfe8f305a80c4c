//! Calls to the address of the webhooks that no provider has signed. The address is public, so a call is a stranger's as a rule, and
//! what names no letter of this ledger would count for nothing if it were signed, too: it is counted and let go. What names one may be
//! the provider's, whose secret is configured wrongly: it is kept among the dead letters, and counted.
//!
//! What this must never do: grow with what strangers send.

use issei_aws::AwsCall;
use issei_schema::{Bilingual, ProviderName, both};
use jiff::Timestamp;
use serde::Deserialize;

use crate::item::{Key, UNSIGNED, n, s};
use crate::{Ledger, LedgerError};

/// How many of such calls there were. What came twice may be counted twice.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct OfNobody {
    /// For whom they speak, by the name that the configuration has; nothing for a name that it does not have.
    #[serde(default)]
    pub provider: Option<ProviderName>,
    #[serde(default)]
    pub let_go: u64,
    /// When the first and the last of these came.
    #[serde(default)]
    pub first_at: Option<Timestamp>,
    #[serde(default)]
    pub last_at: Option<Timestamp>,
    /// Those that name letters of this ledger.
    #[serde(default)]
    pub kept: u64,
    #[serde(default)]
    pub kept_at: Option<Timestamp>,
}

impl OfNobody {
    fn whose(&self) -> Bilingual {
        self.provider.as_ref().map_or_else(|| both!("a provider that is not configured", "設定にない事業者"), Bilingual::verbatim)
    }

    /// For people.
    #[must_use]
    pub fn told(&self) -> Bilingual {
        let (Self { let_go, kept, .. }, whose) = (self, self.whose());
        let calls = if *let_go == 1 { both!("1 call", "1件") } else { both!("{let_go} calls", "{let_go}件") };
        let went = self.first_at.zip(self.last_at).map(|(first_at, last_at)| {
            both!(
                "{} as {} let go, since {first_at:.0}, the last at {last_at:.0}",
                "{1} 宛ての{0}を破棄、{first_at:.0}から、最後は{last_at:.0}",
                calls,
                whose
            )
        });
        let kept = self.kept_at.map(|kept_at| {
            both!(
                "kept among the dead letters: {kept} that name letters of this ledger ({}), the last at {kept_at:.0}",
                "この台帳のメールを示す{kept}件({})はデッドレターに保管、最後は{kept_at:.0}",
                whose
            )
        });
        Bilingual::join(went.into_iter().chain(kept), ("; ", "。"))
    }

    /// What may be the cause that dead letters lie among the events, and what mends it; nothing where none was kept.
    #[must_use]
    pub fn mended_by(&self) -> Option<Bilingual> {
        let (kept, kept_at, whose) = (self.kept, self.kept_at?, self.whose());
        let table = self.provider.as_ref().map_or_else(|| "[providers.…]".to_owned(), |provider| format!("[providers.{provider}]"));
        Some(both!(
            "{kept} calls as {} that name letters of this ledger were not signed so that they could be believed, the last at {kept_at:.0}: where `issei dead-letters feedback` says of one that no configured key has signed it, mend webhook_keys of {table} wherever a feedback consumer runs, then `issei redrive feedback`",
            "この台帳のメールを示す {} 宛ての呼び出し{kept}件は、署名を確認できませんでした(最後は{kept_at:.0})。`issei dead-letters feedback` で、設定された鍵による署名がないと表示されたものは、フィードバックコンシューマーの {table} の webhook_keys を直してから `issei redrive feedback` を実行してください",
            whose
        ))
    }
}

impl Ledger {
    /// Counts calls that nobody has signed: those that were let go, or those that were kept.
    pub async fn note_unsigned(&self, provider: Option<&ProviderName>, are_kept: bool, calls: u64) -> Result<(), LedgerError> {
        let set = if are_kept {
            "kept_at = :now, expires_at = :expires ADD kept :calls"
        } else {
            "first_at = if_not_exists(first_at, :now), last_at = :now, expires_at = :expires ADD let_go :calls"
        };
        let update = self.db.update_item().table_name(&self.table).set_key(Some(Key::unsigned(provider).into_item()));
        let update = match provider {
            Some(provider) => {
                let update = update.update_expression(format!("SET provider = :provider, {set}"));
                update.expression_attribute_values(":provider", s(provider.as_str()))
            }
            None => update.update_expression(format!("SET {set}")),
        };
        let update = update.expression_attribute_values(":now", s(self.clock.wall().to_string()));
        let update = update.expression_attribute_values(":expires", n(self.expires_at())).expression_attribute_values(":calls", n(calls));
        update.call().await.map_err(LedgerError::call("UpdateItem"))?;
        Ok(())
    }

    /// One for each provider that is configured or was, and one for every other name.
    pub async fn unsigned(&self) -> Result<Vec<OfNobody>, LedgerError> {
        self.few(UNSIGNED).await
    }
}
