//! Whether a broadcast that is to go on would be sent by this build, asked of the code that sends it, before anybody lets it go
//! on. What an earlier build has taken or frozen can be refused since; its consumers pause it then (`PAUSED_CONTENT`), and
//! whoever let it go on would learn of it from that. What this must never do: call something fine that it has not looked at.

use futures_util::{StreamExt, TryStreamExt, stream};
use issei_assembly::Parts;
use issei_consumer::{Envelope, letter_refused};
use issei_ledger::{Broadcast, Chunk, Ledger, LedgerError, Outcome};
use issei_producer::{Refusal, unsendable};
use issei_provider::Ses;
use issei_schema::{Bilingual, BroadcastCommand, Content, TemplateName, WayOut, both};

/// Pages that are read at once.
const PAGES: usize = 8;

/// What this build would not send.
#[derive(Debug)]
pub(crate) struct Unsendable {
    /// Why, and what to do.
    pub(crate) why: Bilingual,
    /// That is so of whoever is left, and not of some.
    is_all: bool,
}

impl Unsendable {
    fn all(why: Bilingual) -> Self {
        Self { why, is_all: true }
    }
}

/// What this build would not send of a broadcast; nothing where there is nothing of the kind.
pub(crate) async fn found(parts: &Parts, broadcast: &Broadcast) -> anyhow::Result<Option<Unsendable>> {
    let (ledger, id) = (parts.ledger(), &broadcast.broadcast_id);
    let command = ledger.command_of(broadcast).await?;
    let envelope = match Envelope::of(&command, WayOut::shown(&command)) {
        Ok(envelope) => envelope,
        Err(error) => {
            let japanese = format!(
                "以前の版が受け付けた文面ですが、この版のコンシューマーは送信しません。`issei stop {id}` のあと、届いていない方には直した文面を送ってください。`issei resend {id} --as NEW_ID` が指示を作ります。原文: {error}"
            );
            return Ok(Some(Unsendable::all(Bilingual { english: letter_refused(id, &error), japanese })));
        }
    };
    if let Content::Template { name, frozen: None, .. } = &command.content {
        return by_its_name(parts, &command, name).await;
    }
    if !envelope.may_refuse() {
        return Ok(None);
    }
    let Refusing { recipients, left, first } = refusing(&ledger, broadcast, &envelope).await?;
    let Some((key, why)) = first else { return Ok(None) };
    let who = if recipients == left {
        both!("everybody who is left", "残りの全員")
    } else {
        both!("{recipients} of the {left} who are left", "残り{left}件のうち{recipients}件")
    };
    Ok(Some(Unsendable {
        why: both!(
            "an earlier build of issei froze the audience, and this one does not write to {} (the first has the key {key}: {why}): when their turn comes the broadcast is paused, and again each time that it is resumed; `issei stop {id}`, and send whoever is missing a new one: `issei resend {id} --as NEW_ID` makes command and audience, in whose file the value is to be corrected",
            "宛先は以前の版が確定したもので、この版は{}に送信しません。順番が来ると一時停止し、再開のたびに繰り返します。`issei stop {id}` のあと、届いていない方には新しい一斉送信で送ってください。`issei resend {id} --as NEW_ID` が指示と対象者のファイルを作るので、その値を直します。最初の宛先のキーは `{key}`、原文: {why}",
            who
        ),
        is_all: recipients == left,
    }))
}

/// The same before a step: refused where nobody would be sent to, and else what is to be told before it is taken.
pub(crate) async fn before(parts: &Parts, broadcast: &Broadcast, step: &Bilingual) -> anyhow::Result<Result<Option<Bilingual>, Bilingual>> {
    Ok(match found(parts, broadcast).await? {
        Some(Unsendable { why, is_all: true }) => {
            let (id, state) = (&broadcast.broadcast_id, broadcast.broadcast_state);
            Err(both!(
                "nothing was done: broadcast `{id}` is {state}, and after {} nobody would be sent to: {}",
                "何も実行していません。一斉送信 `{id}` の状態は `{state}` で、{}をしても誰にも送信されません: {}",
                *step,
                why
            ))
        }
        other => Ok(other.map(|some| some.why)),
    })
}

/// A template that was not read at the registration is sent by its name, as SES stores it by then.
async fn by_its_name(parts: &Parts, command: &BroadcastCommand, name: &TemplateName) -> anyhow::Result<Option<Unsendable>> {
    let id = &command.broadcast_id;
    let why = match parts.ses().template(name).await {
        Ok(Some(template)) => match unsendable(command, &template, Ses::FACTS.title) {
            None => return Ok(None),
            Some(Refusal::Template { why, .. }) => why,
            Some(refusal) => refusal.to_string(),
        },
        Ok(None) => "SES stores none of this name".to_owned(),
        Err(error) => {
            return Ok(Some(Unsendable {
                why: both!(
                    "an earlier build of issei registered it without what its template `{name}` said, so it is sent as SES stores it, and whether that is still the same can't be told: {error}; grant ses:GetEmailTemplate, or wait until SES answers",
                    "以前の版がテンプレート `{name}` の内容を記録せずに登録したため、SESに保存されている内容で送信します。それが当時と同じかどうかは確認できません。ses:GetEmailTemplate を許可するか、SESの応答を待ってください。原文: {error}"
                ),
                is_all: false,
            }));
        }
    };
    Ok(Some(Unsendable::all(both!(
        "an earlier build of issei registered it without what its template `{name}` said, so it is sent as SES stores it now: {why}; put the template back as it was, or `issei stop {id}`, and send whoever is missing another one: `issei resend {id} --as NEW_ID` makes the command",
        "以前の版がテンプレート `{name}` の内容を記録せずに登録したため、現在SESに保存されている内容で送信します。テンプレートを元に戻すか、`issei stop {id}` のあと、届いていない方には別のものを送ってください。`issei resend {id} --as NEW_ID` が指示を作ります。原文: {why}"
    ))))
}

/// Recipients who have had no answer and may be sent to, and to how many of them this build does not write.
#[derive(Default)]
struct Refusing {
    recipients: u64,
    left: u64,
    /// The first of them, by their key, and why.
    first: Option<(String, String)>,
}

/// Reads every frozen page.
async fn refusing(ledger: &Ledger, broadcast: &Broadcast, envelope: &Envelope) -> Result<Refusing, LedgerError> {
    let placed = broadcast.placed();
    let look = |seq| {
        let placed = &placed;
        async move {
            let page = ledger.page(placed, seq).await?;
            let numbers: Vec<u32> = page.chunks().map(|(chunk, _)| chunk).collect();
            // Before its first permit none was claimed.
            let chunks = if broadcast.grant_count == 0 { None } else { Some(ledger.chunks(placed, &numbers).await?) };
            Ok::<_, LedgerError>((page, chunks))
        }
    };
    let mut pages = std::pin::pin!(stream::iter(0..broadcast.pages).map(look).buffered(PAGES));
    let mut found = Refusing::default();
    while let Some((page, chunks)) = pages.try_next().await? {
        for (number, recipients) in page.chunks() {
            let chunk = chunks.as_ref().and_then(|chunks| chunks.get(&number)).unwrap_or(&Chunk::Absent);
            for (at, recipient) in recipients.iter().enumerate() {
                let Some(recipient) = recipient.as_ref().filter(|_| may_be_sent_to(chunk, at)) else { continue };
                found.left += 1;
                if let Some(why) = envelope.refuses(recipient) {
                    found.recipients += 1;
                    found.first.get_or_insert_with(|| (recipient.key.as_str().to_owned(), why.to_string()));
                }
            }
        }
    }
    Ok(found)
}

/// Whether somebody at this place of a chunk may be sent to still. Of an open claim nobody can tell.
fn may_be_sent_to(chunk: &Chunk, at: usize) -> bool {
    let outcome = chunk.outcomes().and_then(|outcomes| outcomes.iter().nth(at));
    matches!(outcome, None | Some(Outcome::Retryable | Outcome::Open))
}
