//! What stands at SES and a broadcast needs, each in words and held against its rule: the configuration set and its events, and the
//! account.

use issei_schema::{Bilingual, both};

use super::{EventsTo, Ses};
use crate::{Stated, Unsaid};

impl Ses {
    pub(super) async fn stated(&self) -> Vec<Stated> {
        let mut all = vec![self.stated_sending().await, self.stated_events().await];
        all.extend(self.stated_account().await);
        all
    }

    async fn stated_sending(&self) -> Stated {
        let name = &self.configuration_set;
        let (told, mend) = match self.configuration_set().await {
            // On or off: both are sound states, and the certificate says which.
            Ok(set) => match set.sends {
                Some(sends) => (Ok((if sends { on() } else { off() }, true)), None),
                None => (Err(Unsaid::Silent(both!("SES did not tell", "SESが回答しませんでした"))), None),
            },
            Err(error) => (Err(Unsaid::Failed(error)), Some(setup())),
        };
        Stated {
            what: both!("configuration set {name}: sending", "設定セット {name}: 送信"),
            asked: both!("SES GetConfigurationSet of {name}", "SES GetConfigurationSet({name})"),
            rule: both!("told", "回答がある"),
            why: "whether it is on says what a sender that nobody knows of could do",
            told,
            mend,
        }
    }

    /// Whether what becomes of messages is told.
    pub async fn stated_events(&self) -> Stated {
        let name = &self.configuration_set;
        let (told, mend) = match self.events_to().await {
            Ok(destinations) => {
                let told: Vec<Bilingual> = destinations
                    .iter()
                    .map(|EventsTo { name, enabled, events, .. }| {
                        both!("{name} ({}): {}", "{name}({}): {}", if *enabled { on() } else { off() }, events.join(", "))
                    })
                    .collect();
                let value = if told.is_empty() { both!("none", "なし") } else { Bilingual::join(told, ("; ", "。")) };
                let mend =
                    both!("deploy the event destination: infra/README.md", "イベントの送信先をデプロイしてください: infra/README.md");
                (Ok((value, destinations.iter().any(EventsTo::is_whole))), mend)
            }
            Err(error) => (Err(Unsaid::Failed(error)), setup()),
        };
        Stated {
            what: both!("configuration set {name}: events", "設定セット {name}: イベント"),
            asked: both!("SES GetConfigurationSetEventDestinations of {name}", "SES GetConfigurationSetEventDestinations({name})"),
            rule: both!(
                "one enabled destination with {}",
                "次のイベントを含む有効な送信先が1つある: {}",
                EventsTo::needed().collect::<Vec<_>>().join(", ")
            ),
            why: "what becomes of a message, and the end of doubt, comes by events alone",
            told,
            mend: Some(mend),
        }
    }

    /// Whether the account may send to anybody.
    pub async fn stated_account(&self) -> Vec<Stated> {
        let asked = || Bilingual::verbatim("SES GetAccount");
        let account = match self.account().await {
            Ok(account) => account,
            Err(error) => {
                return vec![Stated {
                    what: both!("SES account", "SESアカウント"),
                    asked: asked(),
                    rule: both!("told", "回答がある"),
                    why: "an account that may not send carries nothing",
                    told: Err(Unsaid::Failed(error)),
                    mend: Some(both!("grant ses:GetAccount", "ses:GetAccount を許可してください")),
                }];
            }
        };
        let standing = account.standing.as_deref();
        vec![
            Stated {
                what: both!("SES account: out of the sandbox", "SESアカウント: サンドボックスの外"),
                asked: asked(),
                rule: Bilingual::verbatim(true),
                why: "in the sandbox SES takes verified addresses only, and 200 a day (SES developer guide)",
                told: Ok((Bilingual::verbatim(account.out_of_sandbox), account.out_of_sandbox)),
                mend: Some(both!("ask for production access in the SES console", "SESのコンソールで本番アクセスを申請してください")),
            },
            Stated {
                what: both!("SES account: standing", "SESアカウント: 健全性"),
                asked: asked(),
                rule: Bilingual::verbatim("HEALTHY"),
                why: "AWS pauses an account under probation when it gets worse",
                told: Ok((standing.map_or_else(|| both!("not told", "回答なし"), Bilingual::verbatim), standing == Some("HEALTHY"))),
                mend: Some(both!(
                    "read the case in the SES console before you send more",
                    "送信を続ける前に、SESのコンソールで通知の内容を確認してください"
                )),
            },
        ]
    }
}

fn on() -> Bilingual {
    both!("on", "有効")
}

fn off() -> Bilingual {
    both!("off", "無効")
}

fn setup() -> Bilingual {
    Bilingual::verbatim("issei setup")
}
