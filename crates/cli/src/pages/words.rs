//! Every word of the pages, in each language. One struct, so that a language that lacks a word does not
//! compile.

use clap::ValueEnum;
use issei_certificate::Judgement;
use issei_ledger::BroadcastState;
use issei_schema::{Bilingual, EventKind};

/// The language of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    #[default]
    En,
    Ja,
}

impl Language {
    pub(crate) fn words(self) -> &'static Words {
        match self {
            Self::En => &ENGLISH,
            Self::Ja => &JAPANESE,
        }
    }
}

/// A word of the pages in each language.
pub(crate) fn in_both(word: impl Fn(&'static Words) -> &'static str) -> Bilingual {
    Bilingual { english: word(&ENGLISH).to_owned(), japanese: word(&JAPANESE).to_owned() }
}

macro_rules! words {
    ($($name:ident: $english:literal, $japanese:literal;)+) => {
        /// The words of one language.
        pub(crate) struct Words {
            $(pub(crate) $name: &'static str,)+
        }

        const ENGLISH: Words = Words { $($name: $english,)+ };
        const JAPANESE: Words = Words { $($name: $japanese,)+ };

        #[cfg(test)]
        fn all() -> Vec<(&'static str, &'static str, &'static str)> {
            vec![$((stringify!($name), $english, $japanese),)+]
        }
    };
}

words! {
    language: "en", "ja";
    next_held_up: "It can't go on by itself: what keeps it is said below.", "自動では先に進めません。原因は下に表示しています。";
    next_enumerating: "The audience is being read and frozen. Nothing is sent before that is done.", "宛先を読み取り、確定しています。確定するまで何も送信しません。";
    next_waits: "It goes on by itself at the time below. Nothing is to be done.", "下の時刻に自動で再開します。操作は不要です。";
    next_late: "It goes on, but not everybody will be told in time: see below.", "送信は続いていますが、期日までに全員には届きません。下をご覧ください。";
    next_not_asked: "It goes on, but nobody asks the provider about some who are in doubt: see below.", "送信は続いていますが、結果不明の一部について配信事業者への照会が行われていません。下をご覧ください。";
    next_nobody: "Nobody sends: start producer, consumer and feedback.", "送信するサービスが動いていません。producer、consumer、feedbackを起動してください。";
    next_running: "It goes on by itself. Nothing is to be done.", "自動で進みます。操作は不要です。";
    next_no_answers: "Nobody is accepted: requests are made, and their answers don't come. See whether consumers reach the provider, and its status page; pause it meanwhile. Nobody is sent to a second time.", "受理されている宛先がありません。要求は送られていますが、応答が届いていません。コンシューマーから配信事業者に接続できるか、事業者の障害情報を確認し、その間は一時停止してください。同じ人に二度送ることはありません。";
    next_none_reached: "Nobody is sent to yet: what is tried goes back. Where that stays so, the provider can't be reached, or says that all is too much: the consumers' log has its words. It goes on by itself.", "まだ誰にも送信できていません。この状態が続く場合は、配信事業者に接続できないか、送信過多と応答されています。コンシューマーのログを確認してください。復旧すると自動的に再開します。";
    next_none_accepted: "Nobody is accepted: the provider refuses every letter. Pause it, and look at why: `issei export --outcome rejected`.", "受理されている宛先がありません。配信事業者がすべて拒否しています。一時停止し、`issei export --outcome rejected` で理由を確認してください。";
    next_paused: "No new request begins. Mend what the reason says, then resume it; or stop it for ever.", "新しい送信は始まりません。理由の原因を取り除いてから再開するか、完全に停止してください。";
    next_paused_out: "No new request begins. Mend what the reason says, then resume it; or stop it for ever. What was under way may still be accepted until:", "新しい送信は始まりません。理由の原因を取り除いてから再開するか、完全に停止してください。送信途中のものは、次の時刻まで受理される可能性があります:";
    next_agree: "Nobody is sent to before others agree. Read the letters below, then approve; or stop it for ever.", "他の人が承認するまで送信しません。下の文面を読んで承認するか、完全に停止してください。";
    next_holding: "Nobody is sent to before somebody approves it. Look at the counts and the reason; or stop it for ever.", "承認されるまで送信しません。件数と理由を確認して承認するか、完全に停止してください。";
    next_canary: "The canary is out, and the others wait. See how it has arrived, then approve the rest; or stop it for ever.", "先行送信が終わり、残りは待機中です。届き方を確認して残りを承認するか、完全に停止してください。";
    bare_holding: "Nobody is sent to before it is approved. Here it can only be stopped; whoever may do more sees the letters and the reason.", "承認されるまで送信しません。このページでできるのは停止だけです。文面と理由は権限のある人が確認できます。";
    bare_paused: "No new request begins until somebody resumes it. Here it can only be stopped, for ever.", "再開されるまで新しい送信は始まりません。このページでできるのは完全な停止だけです。";
    bare_paused_out: "No new request begins until somebody resumes it. Here it can only be stopped, for ever. What was under way may still be accepted until:", "再開されるまで新しい送信は始まりません。このページでできるのは完全な停止だけです。送信途中のものは、次の時刻まで受理される可能性があります:";
    next_stopping: "No new request begins. What was under way may still be accepted until:", "新しい送信は始まりません。送信途中のものは、次の時刻まで受理される可能性があります:";
    next_unproved: "No new request begins. How long what was under way may still be accepted can't be said by time alone: it is over once every consumer has said that it holds nothing and nobody is in doubt. `issei stop` asks them, and says whether that is so. Or revoke the provider's key, which has refused what still comes, and record that with `issei repair ID --key-revoked --reason …`.", "新しい送信は始まりません。送信途中のものがいつまで受理されうるかは時間だけでは判断できません。すべてのコンシューマーが手元に何も残っていないと報告し、結果不明が0になった時点で終わりです。`issei stop` で確認できます。事業者のAPIキーを失効させれば以後の要求は拒否され、`issei repair ID --key-revoked --reason …` で記録すると終了と証明されます。";
    next_stopped: "It is over: nothing of it can be sent or accepted any more. `issei certify` signs that.", "終了しました。これ以上、送信も受理もされません。`issei certify` で署名付きの証明書を発行できます。";
    next_stopped_uncounted: "It is over: nothing of it can be sent or accepted any more. The counts are not exact yet, so some may be in doubt; `issei status --exact` counts.", "終了しました。これ以上、送信も受理もされません。件数はまだ正確ではなく、「不明」が含まれる可能性があります。`issei status --exact` で数えられます。";
    next_stopped_in_doubt: "It is over: nothing of it can be sent or accepted any more. Of those in doubt nobody knows whether their mail was taken; `issei certify` lists them.", "終了しました。これ以上、送信も受理もされません。「不明」の宛先は受理されたかどうか分かりません。`issei certify` で一覧できます。";
    next_in_doubt: "It is over. Of those in doubt nobody knows whether their mail was taken; `issei export --outcome in-doubt` lists them.", "完了しました。「不明」の宛先は受理されたかどうか分かりません。`issei export --outcome in-doubt` で一覧できます。";
    next_in_doubt_endless: "All of it was sent. Of those in doubt nobody knows whether their mail was taken, and their provider refuses no request for its age, so it may be taken yet: events end that, or revoking its key. `issei certify` says what is left to do; `issei export --outcome in-doubt` lists them.", "送信は終わりました。「不明」の受信者は受理されたかどうか分からず、この事業者は古い要求を拒否しないため、これから受理されることもあります。イベントが届くか、APIキーを失効させれば解消します。残る手順は `issei certify` に表示され、`issei export --outcome in-doubt` で一覧できます。";
    next_twice: "Somebody was mailed twice: the provider took more than one message for the same recipient. It is said below; `issei export ID --outcome accepted-twice` lists them. Send nothing more before you know what else sends under these tags.", "同じ人に2通以上送られました。配信事業者が同じ宛先への2通目を受理しています。内容は下に表示しています。`issei export ID --outcome accepted-twice` で一覧できます。ほかに何が同じタグで送信しているか分かるまで、次の送信は行わないでください。";
    twice: "Accepted twice:", "二重の受理:";
    next_complete: "It is over: every recipient has an outcome. `issei certify` signs that.", "完了しました。すべての宛先の結果が確定しています。`issei certify` で署名付きの証明書を発行できます。";
    failed_absent: "Not found", "見つかりません";
    failed_right: "Not allowed", "許可されていません";
    failed_unread: "It can't be shown", "表示できません";
    failed_form: "Nothing was done", "実行していません";
    tongue: "language", "言語";
    as_written: "as it was written", "記録の原文";
    holds: "holds", "確認済み";
    broken: "BROKEN", "不一致";
    cant_read: "UNREADABLE", "読み取り不能";
    ramp: "Ramp:", "段階送信:";
    proved_since: "By the clocks of this machine and of whoever stopped it, nothing can be sent or accepted any more since:", "この端末と停止した端末の時計で、次の時刻以降は送信も受理もありません:";
    remaining: "seconds left", "残り秒数";
    sent: "Sent", "送信済み";
    to_come: "Left", "未送信";
    of_rows: "Of all rows", "全体の内訳";
    a_second: "recipients a second, lately", "件/秒(直近)";
    about: "about", "残り約";
    unit_s: "s", "秒";
    unit_min: "min", "分";
    unit_h: "h", "時間";
    count: "Count", "件数";
    share: "Share", "割合";
    counts: "Counts", "件数の一覧";
    subject: "Subject", "件名";
    from: "From", "差出人";
    text: "Text", "本文";
    preview: "Preview", "プレビュー";
    preview_from: "As their recipients get them, from", "受取人に届く形です。差出人:";
    preview_inert: "The HTML runs no script and fetches nothing here: pictures and fonts from elsewhere are left out.", "ここではHTMLのスクリプトは動かず、外部の画像やフォントは読み込まれません。";
    preview_key: "key", "キー";
    preview_none: "none", "なし";
    preview_wide: "HTML, 640 pixels wide", "HTML(幅640ピクセル)";
    preview_narrow: "HTML, 360 pixels wide", "HTML(幅360ピクセル)";
    preview_unknown: "Not shown: the template could not be read, or SES alone can read what it says.", "表示できません。テンプレートを読み取れないか、SESにしか解釈できない構文があります。";
    took: "Took", "所要時間";
    events_until: "(events came later, until", "(その後もイベントが届きました。最終:";
    own_clock: "time", "時刻";
    clock: "time (UTC)", "時刻 (UTC)";
    close: "Close", "閉じる";
    nothing_against: "Nothing speaks against it so far. The queues are not watched yet: `issei certify` does that, and signs.", "これまでのところ矛盾はありません。キューはまだ監視していません。監視と署名は `issei certify` が行います。";
    not_over_yet: "It is not over yet.", "まだ終了していません。";
    one_speaks_against: "finding speaks against it:", "件の矛盾があります:";
    speaks_against: "findings speak against it:", "件の矛盾があります:";
    what_holds: "What holds", "確認できた項目";
    what_does_not: "What does not hold, or can't be read", "確認できない項目・矛盾";
    what_moves: "Under way, or not watched yet", "進行中または未監視の項目";
    so_far: "so far", "現時点";
    topic_settings: "Settings", "設定";
    topic_services: "Services", "サービス";
    topic_audience: "Audience and broadcast", "対象者と一斉送信";
    topic_outcomes: "Outcomes", "結果";
    topic_queues: "Queues", "キュー";
    as_a_certificate: "As a certificate this would be", "証明書としての判定";
    simulated: "A try: everything here is simulated in one process. Nothing leaves the machine, and nobody is mailed.", "お試し: ここに表示されるものはすべて1つのプロセス内の模擬です。外部へは何も送信せず、誰にもメールは届きません。";
    may_only_look: "This address may look, and change nothing.", "このアドレスは閲覧専用です。何も変更できません。";
    may_only_stop: "This address may stop, and nothing else.", "このアドレスでできるのは停止だけです。";
    broadcasts: "Broadcasts", "一斉送信の一覧";
    broadcast: "Broadcast", "一斉送信";
    state: "State", "状態";
    enumerating: "enumerating", "宛先の確定中";
    running: "running", "送信中";
    paused: "paused", "一時停止中";
    holding: "holding for an approval", "承認待ち";
    stopping: "stopping", "停止処理中";
    stopped: "stopped", "停止済み";
    complete: "complete", "完了";
    unreadable: "can't be read", "読み取り不能";
    waits: "waiting for its time", "送信時刻待ち";
    falls_behind: "Too late:", "期日に間に合いません:";
    goes_on: "Goes on", "再開時刻:";
    held_up: "Held up:", "保留中:";
    carrier: "Carried by", "送信事業者:";
    not_asked: "Start a consumer with the provider's key that was replaced: under it, and under no other, the provider tells what became of requests whose answer was lost. Such requests:", "配信事業者のAPIキーが差し替えられているため、応答が失われたリクエストの結果を照会できません。元のキーを設定したコンシューマーを起動してください。該当するリクエスト数:";
    not_asked_until: "They stay in doubt (`issei export --outcome in-doubt`) unless that is done before", "次の時刻までに行わないと、結果は不明のままになります(`issei export --outcome in-doubt` で一覧できます):";
    met_by: "Met with by", "確認したコンシューマー:";
    asked_again: "asked again about doubt, times:", "結果不明分の再照会回数:";
    refused_commands: "Refused commands", "受付を拒否した指示";
    refused_since: "Another command for this id was refused:", "同じIDの別の指示を拒否しました:";
    audience: "Audience", "対象者";
    recipients: "Recipients", "宛先数";
    left_out: "Left out, wants no marketing", "広告の受信を希望しない方(対象者に含まず)";
    skipped: "Skipped", "対象外";
    forgotten: "Forgotten since", "消去済み";
    permitted: "Permitted", "送信許可";
    accepted: "Accepted", "受理";
    delivered: "Delivered", "配信";
    bounced: "Bounced", "不達";
    suppressed: "Not sent (the provider's suppression list)", "送信事業者の抑制リストにより未送信";
    delayed_mail: "Delivery delayed", "配信遅延";
    complained: "Complained", "苦情";
    rejected: "Rejected", "拒否";
    spared: "Spared (on the suppression list since the audience was frozen)", "宛先確定後に抑制リストに登録されたため未送信";
    in_doubt: "In doubt", "不明";
    timeline: "Timeline", "時間の経過";
    untold: "No service has told when it sent. What the ledger counts holds all the same.", "送信時刻の報告がありません。台帳の集計はそのまま有効です。";
    no_timeline: "Nothing has been sent yet.", "まだ何も送信されていません。";
    queues: "Queues", "キュー";
    queue: "Queue", "キュー";
    waiting: "Waiting", "待機";
    in_flight: "In flight", "処理中";
    delayed: "Delayed", "遅延";
    dead_letters: "Dead letters", "デッドレター";
    services: "Services", "サービス";
    alive: "alive", "稼働中";
    silent: "silent", "応答なし";
    no_services: "No service is alive.", "稼働中のサービスはありません。";
    seen_ago: "seen, seconds ago", "最終確認(秒前)";
    version: "Version", "バージョン";
    audit_trail: "Audit trail", "監査証跡";
    trail_broken: "The audit trail does not hold:", "監査証跡に矛盾があります:";
    since: "Since then:", "その後:";
    when: "When", "日時";
    who: "Who", "実行者";
    step: "Step", "操作";
    why: "Why", "理由";
    actions: "Actions", "操作";
    stop: "Stop for ever", "完全に停止";
    stop_hint: "Ends this broadcast. It can never go on.", "この一斉送信を終了します。再開はできません。";
    pause: "Pause", "一時停止";
    pause_hint: "No more permits until it is resumed.", "再開するまで新しい送信許可を出しません。";
    resume: "Resume", "再開";
    resume_hint: "Permits are granted again.", "送信許可を再び出します。";
    approve: "Approve", "送信を承認";
    unsendable: "This build does not send it as it stands, or can't tell whether it would:", "現在の版では、このままでは送信されないか、送信できるか確認できません:";
    approve_hint: "The rest of the audience is sent to; before a first send, its canary where there is one.", "残りの宛先へ送信します。最初の送信前であれば、まず先行送信(指定がある場合)を行います。";
    agreement: "Agreement", "複数人の承認";
    agree_hint: "You agree to the words below, to this audience, and to nothing else, in the name of whoever started this console.", "下の文面とこの宛先だけを、このコンソールを起動した人の名義で承認します。";
    agreed_digest: "What is agreed to:", "承認の対象:";
    the_letters: "Letters", "文面";
    row_hint: "By key or by address: the letter of that row, as it was frozen.", "キーまたはメールアドレスで、確定した行の文面を表示します。";
    show_letter: "Show the letter", "文面を表示";
    letter_of: "The letter of", "次の宛先の文面:";
    copy_hint: "A real mail to yourself, by the services that run: to an address in the sender's domain, or one that `test_recipients` names. It counts as no mail to this audience.", "稼働中のサービスから、見本を実際に送信します。送り先は、差出人と同じドメインか、`test_recipients` にあるアドレスに限ります。この対象者への送信には数えません。";
    copy_to: "Send a copy to", "見本の送り先";
    send_copy: "Send a copy", "見本を送る";
    letters: "Letters, as they will be read", "実際に届く文面";
    letters_to_read: "To be read, all of them below:", "以下の文面をすべて確認してください。通数:";
    stop_all: "Stop everything", "すべて停止";
    stop_all_hint: "Ends every broadcast, and refuses new ones until `issei open`.", "すべての一斉送信を終了し、`issei open` まで新規を受け付けません。";
    runbook: "Runbook", "手順";
    in_english: "In English, at length", "詳しい説明(英語)";
    what_to_do: "What to do", "対処方法";
    reason: "Reason (for the audit trail)", "理由(監査証跡に残ります)";
    confirm: "To confirm, type", "確認のため、次を入力してください:";
    leak: "Recipients whose permits are out may still be sent to for this many seconds at most:", "発行済みの許可により、最長で次の秒数、送信が続くことがあります:";
    leak_without_end: "Recipients whose permits are out may still be sent to. Its provider refuses no request for its age, so no number of seconds ends that: it is over once every consumer has said that it holds nothing of it and nobody is in doubt.", "発行済みの許可により、送信が続くことがあります。この配信事業者は古い要求を拒否しないため、秒数では区切れません。すべてのコンシューマーが手元に何も残っていないと報告し、結果不明が0になった時点で終わりです。";
    leak_never: "No permit of it was ever granted. Where that is so still at its stop, nothing of it can be sent, and that is proved at once.", "送信許可は一度も出ていません。停止の時点でもそうであれば、何も送られることはなく、その場で証明されます。";
    closed: "Closed for new broadcasts.", "新規の一斉送信は受け付けていません。";
    no_broadcasts: "There is no broadcast yet.", "一斉送信はまだありません。";
    evidence: "Evidence", "証拠";
    see_evidence: "See the evidence for its end", "終了の証拠を見る";
    sign_it: "A signed certificate is given by", "署名付きの証明書は次のコマンドで発行できます:";
    evidence_hint: "As it stands at this moment.", "現時点の状態です。";
    certificate: "Certificate", "証明書";
    no_certificate: "Not part of this report. `issei certify` gives one, and `issei report --certificate FILE` shows it.", "この報告書には含まれていません。`issei certify` で発行し、`issei report --certificate FILE` で表示できます。";
    signed_by: "Signature verified, key", "署名検証済み、鍵";
    unsigned: "The signature was not verified here: `issei verify FILE --public-key KEY` does.", "署名はここでは検証していません。`issei verify FILE --public-key KEY` で検証できます。";
    finding: "Finding", "確認項目";
    value: "Value", "値";
    read_from: "Read from", "取得元";
    rule: "Rule", "規則";
    created: "Created", "作成日時";
    did_they_get_it: "Did they get it?", "届きましたか";
    who_hint: "By key or by address, in every broadcast. A key is found at once; for an address every frozen page is read, which takes a while.", "キーまたはメールアドレスで、すべての一斉送信から探します。キーはすぐに見つかります。メールアドレスでは確定済みの全ページを読むため、時間がかかります。";
    key_or_address: "Key or address", "キーまたはメールアドレス";
    look: "Look", "探す";
    nobody_found: "Nobody of that name in so many broadcasts:", "該当者はいません。調べた一斉送信の数:";
    no_recipient_found: "No recipient has this address, in so many broadcasts:", "このメールアドレスの宛先はありません。調べた一斉送信の数:";
    by_key_alone: "Of rows that were skipped the key alone is kept, so an address is not found among them: ask by the key, too. Such rows:", "対象外の行はキーだけが記録されており、メールアドレスでは見つかりません。キーでも探してください。該当する行数:";
    other_row: "Another row with this key, skipped", "同じキーの別の行(対象外)";
    expired: "The recipients of these have expired, and who they were is not known any more:", "次の一斉送信は宛先の保存期間が過ぎており、誰に送ったかはもう分かりません:";
    found_by_key: "Found by the key that the address has in another broadcast to this audience", "同じ対象者への別の一斉送信で、このメールアドレスが持つキーから見つかりました";
    is_suppressed: "The address is on the list of those that are not mailed:", "このメールアドレスは、送信を控える一覧にあります:";
    recipient: "Recipient", "宛先";
    outcome: "Outcome", "結果";
    claimed: "Claimed", "送信処理の開始";
    messages: "Messages", "メッセージID";
    events: "What became of it", "その後";
    soft_bounced: "Bounced, for a reason that may pass", "一時的な不達";
    provider_rejected: "Not sent: refused by the provider after it was accepted", "受理後に事業者が送信を中止";
    not_rendered: "Not sent: the template could not be rendered", "テンプレートの描画に失敗し未送信";
    bounces: "Why mails bounced or were not sent", "不達・未送信の理由";
    mails: "Mails", "通数";
    first_and_last: "First and last", "最初と最後";
    not_told: "not told", "理由は通知されていません";
    rarer: "Rarer ones", "その他";
    sentence: "To write to them", "ご本人への返信文";
    letter: "The letter, as it was rendered", "実際の文面";
    back: "All broadcasts", "一覧へ戻る";
    updated: "As of", "更新時刻";
    lost: "The connection to the console is lost. What you see may be old.", "コンソールとの接続が切れました。表示は古い可能性があります。";
    report: "Report", "報告書";
    made_with: "made with issei", "作成: issei";
    told: "Counts are told by the services, a second or so old, and lack what one that was killed did last; the certificate counts exactly.", "件数はサービスの報告値で約1秒前のものです。強制終了されたサービスの最後の分は含まれません。正確な数は証明書にあります。";
}

impl Words {
    /// Whose words they are.
    pub(crate) fn of(&self) -> Language {
        if self.language == JAPANESE.language { Language::Ja } else { Language::En }
    }

    /// What an event says of a mail.
    pub(crate) fn event(&self, kind: EventKind) -> &'static str {
        match kind {
            EventKind::Sent => self.accepted,
            EventKind::Delivered => self.delivered,
            EventKind::Bounced => self.bounced,
            EventKind::SoftBounced => self.soft_bounced,
            EventKind::Complained => self.complained,
            EventKind::Rejected => self.provider_rejected,
            EventKind::RenderFailed => self.not_rendered,
            EventKind::Suppressed => self.suppressed,
            EventKind::Delayed => self.delayed_mail,
        }
    }

    /// What is said in both, in these.
    pub(crate) fn say<'a>(&self, told: &'a Bilingual) -> &'a str {
        match self.of() {
            Language::En => &told.english,
            Language::Ja => &told.japanese,
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the templates call it so")]
    pub(crate) fn judgement(&self, judgement: &Judgement) -> &'static str {
        match judgement {
            Judgement::Holds => self.holds,
            Judgement::Broken => self.broken,
            Judgement::Unreadable => self.cant_read,
        }
    }

    pub(crate) fn state(&self, state: BroadcastState) -> &'static str {
        match state {
            BroadcastState::Enumerating => self.enumerating,
            BroadcastState::Running => self.running,
            BroadcastState::Paused => self.paused,
            BroadcastState::Holding => self.holding,
            BroadcastState::Stopping => self.stopping,
            BroadcastState::Stopped => self.stopped,
            BroadcastState::Complete => self.complete,
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_word_is_there_in_both_languages() {
        for (name, english, japanese) in super::all() {
            assert!(!english.is_empty() && !japanese.is_empty(), "{name}");
            let is_command = name == "language";
            assert!(is_command || !japanese.is_ascii(), "{name} is not Japanese: {japanese}");
        }
    }
}
