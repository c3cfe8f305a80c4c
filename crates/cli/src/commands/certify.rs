//! `issei certify` and `issei verify`: saying with evidence that it is over, and checking who said so.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use issei_assembly::{Settings, say, say_warning};
use issei_certificate::{Certificate, Expected, Finding, Judgement, Keys, Kind, Notice, Part, PublicKey, Signed, Verdict};
use issei_clock::Clock;

use crate::args::{CertifyOptions, VerifyOptions};
use crate::commands::serve::on_signal;
use crate::in_use::{self, Care};
use crate::{Ended, Refused, input, operator, output, refused};

/// Where no terminal shows how far it is, so often a line does.
const TELL_EVERY: Duration = Duration::from_secs(30);

pub(crate) async fn certify(settings: &Settings, options: &CertifyOptions, as_json: bool) -> anyhow::Result<Ended> {
    // The key and the place first: nobody wants to wait for minutes and then hear that they are of no use.
    let keys = options.signing_key.as_deref().map(read_keys).transpose()?;
    is_free(options.output.as_deref())?;
    if keys.is_some() && options.output.is_none() && !as_json {
        bail!(Refused(
            "the signed certificate would be kept nowhere: name a file with -o, or give --json for standard output; without --signing-key (ISSEI_SIGNING_KEY_FILE) it is only shown".to_owned()
        ));
    }
    let parts = in_use::open(settings, Care::Itself).await?;
    let shutdown = on_signal()?;
    let bar = indicatif::ProgressBar::new_spinner();
    let certifier = operator::certifier(&parts).await?;
    let (is_shown, mut told) = (std::io::stderr().is_terminal(), None);
    let tell = |left: Duration| {
        let watching = format!("watching the queues for {} s more; Ctrl-C gives the certificate as it is", left.as_secs());
        if is_shown {
            bar.set_message(watching);
            bar.tick();
        } else if told.is_none_or(|told: Duration| told.saturating_sub(left) >= TELL_EVERY) {
            // Who reads a log wants to know that something goes on, and no more.
            told = Some(left);
            say_warning(&format!("{}: {watching}", options.id));
        }
    };
    let certificate = certifier.certify(&options.id, Kind::Broadcast, &shutdown, tell).await?;
    bar.finish_and_clear();
    let signed = keys.as_ref().map(|keys| keys.sign(&certificate)).transpose()?;
    give(&certificate, signed.as_ref(), options.output.as_deref(), as_json)?;
    if let Some(keys) = &keys
        && !as_json
    {
        say(&format!("\nsigned by key {}; `issei verify` checks it with the public key, without any network", keys.public().fingerprint()));
    }
    // What was cut short is no finding about the broadcast.
    Ok(if shutdown.is_cancelled() && certificate.verdict == Verdict::NotConverged {
        Ended::Interrupted
    } else {
        ended(certificate.verdict)
    })
}

/// Refuses to write a certificate over anything, and above all over a better one.
pub(crate) fn is_free(output: Option<&Path>) -> anyhow::Result<()> {
    output.map_or(Ok(()), |path| output::is_free(path, "a certificate"))
}

/// Prints the certificate, and writes it where it was asked for. What can't be written there any more goes to standard output: it took
/// minutes, and may not be had again.
pub(crate) fn give(certificate: &Certificate, signed: Option<&Signed>, output: Option<&Path>, as_json: bool) -> anyhow::Result<()> {
    let json = match signed {
        Some(signed) => serde_json::to_string(signed)?,
        None => serde_json::to_string(certificate)?,
    };
    let written = output.map_or(Ok(()), |path| output::write_once(path, "a certificate", &json));
    if as_json || written.is_err() {
        say(&json);
    } else {
        print(certificate);
    }
    written.context("the certificate stands on standard output instead")
}

pub(crate) fn verify(options: &VerifyOptions, as_json: bool) -> anyhow::Result<Ended> {
    let pem = input::text(&options.public_key)?;
    let key = PublicKey::from_pem(&pem).with_context(|| format!("{}", options.public_key.display())).map_err(refused)?;
    let (file, text) = (options.file.display(), input::text(&options.file)?);
    let signed = Signed::parse(&text).with_context(|| format!("{file}")).map_err(refused)?;
    let certificate = match signed.verify(&key) {
        Ok(certificate) => certificate,
        // It was looked at, and the answer is no.
        Err(why) => {
            bail!(Refused(format!("{file} is refused: {why}")));
        }
    };
    let expected = Expected { broadcast: options.broadcast.clone(), not_before: options.not_before };
    // Before its verdict is shown: whoever reads CONVERGED reads no further.
    if let Some(why) = certificate.differs_from(&expected) {
        bail!(Refused(format!("{file} is refused: {why}")));
    }
    if as_json {
        say(&serde_json::to_string(&certificate)?);
    } else {
        print(&certificate);
        say(&format!("\nthe signature is that of key {}", key.fingerprint()));
    }
    // Whoever signed it may have been wrong about what follows from the findings.
    let judged = certificate.judged();
    if judged != certificate.verdict {
        anyhow::bail!("the certificate says {} and its own findings give {judged}; don't rely on it", certificate.verdict);
    }
    let Kind::Rehearsal { expires_at, .. } = &certificate.kind else { return Ok(ended(judged)) };
    let is_over = Clock::system().wall() >= *expires_at;
    if !as_json {
        say(&if is_over {
            format!("the rehearsal expired at {expires_at:.0}")
        } else {
            format!("the rehearsal is good until {expires_at:.0}")
        });
    }
    Ok(if is_over { Ended::Refused } else { ended(judged) })
}

pub(crate) fn read_keys(path: &Path) -> anyhow::Result<Keys> {
    let pem = input::text(path).context("there is no signing key; make one with `openssl genpkey -algorithm ed25519 -out FILE`")?;
    Keys::from_pem(&pem).with_context(|| format!("{}", path.display())).map_err(refused)
}

pub(crate) fn ended(verdict: Verdict) -> Ended {
    match verdict {
        Verdict::Converged => Ended::Well,
        Verdict::InDoubt(_) => Ended::InDoubt,
        Verdict::NotConverged => Ended::Refused,
    }
}

/// A certificate's file has more.
const KEYS_SHOWN: usize = 20;

fn print(certificate: &Certificate) {
    say(&format!("{}  {}", certificate.verdict, certificate.broadcast_id));
    let outcomes = &certificate.outcomes;
    let spared = match outcomes.spared {
        0 => String::new(),
        some => format!(" (of these {some} spared, on the suppression list since)"),
    };
    say(&format!(
        "{} in the audience: {} accepted, {} rejected{spared}, {} in doubt, {} not sent, {} skipped; events: {} delivered, {} bounced, {} suppressed, {} delayed, {} complained",
        outcomes.audience,
        outcomes.accepted,
        outcomes.rejected,
        outcomes.in_doubt,
        outcomes.not_sent,
        outcomes.skipped,
        outcomes.delivered,
        outcomes.bounced,
        outcomes.suppressed,
        outcomes.delayed,
        outcomes.complained
    ));
    if let Some(Notice { effective_at, accepted_before, others, other_keys, all_listed_by }) = &certificate.notice {
        say(&format!(
            "binds from {effective_at:.0}: {accepted_before} were accepted before that for sure; of {others} of the recipients that can't be shown"
        ));
        let shown = other_keys.iter().take(KEYS_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if *others > other_keys.iter().take(KEYS_SHOWN).count() as u64 { ", …" } else { "" };
        if *others > 0 {
            say(&format!("  keys of these: {shown}{more}"));
        }
        if let Some(command) = all_listed_by {
            say(&format!("  the certificate has {} of these keys; all are listed by: {command}", other_keys.len()));
        }
    }
    say(&format!("issued at {:.0} by {} with issei {}", certificate.issued_at, certificate.issued_by, certificate.issued_with));
    say(&format!("command {}\naudience {}", certificate.command_hash, certificate.audience_hash));
    for (part, title) in [(Part::Settings, "settings"), (Part::Source, "source"), (Part::Data, "data")] {
        say(&format!("\n{title}"));
        certificate.findings.iter().filter(|finding| finding.part == part).for_each(show);
    }
}

/// One finding, for people: the value, and where it does not hold the rule, the reason and what to do.
pub(crate) fn show(finding: &Finding) {
    let mark = match finding.judgement {
        Judgement::Holds => "ok        ",
        Judgement::Broken => "BROKEN    ",
        Judgement::Unreadable => "UNREADABLE",
    };
    say(&format!("  {mark}  {}: {}", finding.what, finding.value));
    if !finding.holds() {
        say(&format!("              rule: {}; {}", finding.rule, finding.why));
        say(&format!("              read: {}", finding.read_from));
        if let Some(mend) = &finding.mend {
            say(&format!("              do:   {mend}"));
        }
    }
}
