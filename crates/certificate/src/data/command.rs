//! The stored command: its hash is the broadcast's, and what the broadcast copied from it still says the same.

use issei_ledger::{Broadcast, LedgerError};
use issei_schema::{Bilingual, BroadcastCommand, Canary, Content, ProviderName, both};

use super::odd::Odd;
use super::{data, items, none};
use crate::finding::Finding;

/// What was asked for, against what the broadcast item says was asked for.
pub(super) fn judge(broadcast: &Broadcast, command: &Result<BroadcastCommand, LedgerError>) -> Finding {
    let finding = data(both!("command: as it was registered", "指示: 登録時の内容"), items(&["command", "broadcast"])).must(
        both!(
            "its hash is the broadcast's, and so is that of its template; provider, audience, budget, canary, policy and time limit are what it says",
            "指示とテンプレートのハッシュが一斉送信の記録と一致し、送信事業者、対象者、上限、先行送信、方針、期限が指示のとおり"
        ),
        "whoever alters what was asked for makes something else look as if it had been",
    );
    let command = match command {
        Ok(command) => command,
        Err(error @ LedgerError::Corrupt { .. }) => return finding.is(error.told(), false),
        Err(error) => return finding.failed(error),
    };
    let mut odd = Odd::default();
    let hash = command.hash();
    // Of a copy the values go when somebody is forgotten; all else is still held against the broadcast.
    let is_emptied = broadcast.forgotten > 0 && command.test_copy.as_ref().is_some_and(|copy| copy.data.is_empty());
    odd.note_if(hash.as_str() != broadcast.command_hash && !is_emptied, || {
        both!(
            "the command's hash is {hash}, and the broadcast's command_hash {}",
            "指示のハッシュは {hash} で、一斉送信の command_hash は {} です",
            broadcast.command_hash
        )
    });
    let template = command.content.frozen().map(|template| template.hash().map_or_else(|reason| reason, |hash| hash.to_string()));
    let told = broadcast.template_hash.as_ref().map(ToString::to_string);
    odd.note_if(template != told, || {
        let named = |hash: &Option<String>| hash.as_ref().map_or_else(none, Bilingual::verbatim);
        both!(
            "the template that is kept with the command has the hash {}, and the broadcast's template_hash is {}",
            "指示とともに保存されたテンプレートのハッシュは {} で、一斉送信の template_hash は {} です",
            named(&template),
            named(&told)
        )
    });
    let wanted = if let Content::Template { sha256, .. } = &command.content { sha256.as_ref() } else { None };
    odd.note_if(wanted.is_some_and(|wanted| Some(wanted) != broadcast.template_hash.as_ref()), || {
        both!("the command asks for a template with another hash", "指示は別のハッシュのテンプレートを求めています")
    });
    let mut same = |field: &str, ours: String, asked: String| {
        odd.note_if(ours != asked, || {
            both!(
                "the broadcast's {field} is {ours}, and the command says {asked}",
                "一斉送信の {field} は {ours} ですが、指示では {asked} です"
            )
        });
    };
    same("broadcast_id", broadcast.broadcast_id.to_string(), command.broadcast_id.to_string());
    let named = |name: Option<&ProviderName>| name.map_or("ses".to_owned(), ToString::to_string);
    same("provider", named(broadcast.provider.as_ref()), named(command.other_provider()));
    same("audience", broadcast.audience.to_string(), command.audience.to_string());
    same("max_recipients", broadcast.max_recipients.to_string(), command.max_recipients.to_string());
    // How many a canary is that chooses by keys, the pages say.
    match command.canary.as_ref().map(Canary::first) {
        Some(None) => {}
        asked => same("canary", broadcast.canary.to_string(), asked.flatten().map_or(0, std::num::NonZeroU64::get).to_string()),
    }
    same("canary_approval", format!("{:?}", broadcast.canary_approval), format!("{:?}", command.canary_approval));
    same("in_doubt", format!("{:?}", broadcast.in_doubt), format!("{:?}", command.in_doubt));
    same("not_before", format!("{:?}", broadcast.not_before), format!("{:?}", command.not_before));
    same("send_window", format!("{:?}", broadcast.send_window), format!("{:?}", command.send_window));
    same("effective_at", format!("{:?}", broadcast.effective_at), format!("{:?}", command.effective_at));
    same("ramp", format!("{:?}", broadcast.ramp), format!("{:?}", command.ramp));
    same("not_after", broadcast.not_after.to_string(), command.not_after.to_string());
    let sound = if is_emptied {
        both!(
            "{}; the values of a copy's row went when somebody was forgotten, so nothing can be hashed again",
            "{}。見本の行の値は削除請求により消去されたため、ハッシュは再計算できません",
            broadcast.command_hash
        )
    } else {
        Bilingual::verbatim(hash)
    };
    odd.into_finding(finding, sound)
}
