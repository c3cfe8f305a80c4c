//! From the letters of a command to the entries of a call.

use std::borrow::Cow;
use std::collections::BTreeMap;

use issei_letter::{ContentError, Letter, Letters, Rendered, Stored, Unwritable};
use issei_provider::Entry;
use issei_schema::{
    BroadcastCommand, ChunkMessage, Class, Mailbox, ProviderName, Recipient, StoredTemplate, UNSUBSCRIBE_PLACEHOLDER, UnsubscribeUrl,
    WayOut,
};

/// The header of a copy for somebody who wants to see the letter.
const TEST_COPY_HEADER: &str = "X-Issei-Test-Copy";

/// What all recipients of a broadcast share.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Who carries the broadcast, from its first send to its last.
    pub(crate) provider: ProviderName,
    pub(crate) class: Class,
    pub(crate) from: Mailbox,
    pub(crate) reply_to: Option<Mailbox>,
    letters: Letters,
    way_out: WayOut,
    is_copy: bool,
}

/// One letter of a broadcast, for those of a chunk.
#[derive(Clone, Copy)]
pub(crate) struct Enclosed<'a> {
    pub(crate) letter: &'a Letter,
    way_out: &'a WayOut,
    is_copy: bool,
}

/// Why a chunk is not sent to.
#[derive(Debug)]
pub(crate) enum Unready {
    /// No producer makes such a chunk.
    Odd(String),
    /// An earlier build, which had fewer rules, froze somebody to whom this one does not write.
    Frozen(Unwritable),
}

impl Envelope {
    /// The envelope of a command.
    ///
    /// # Errors
    /// Names the part in which a value stands where none can be made safe.
    pub fn of(command: &BroadcastCommand, way_out: WayOut) -> Result<Self, ContentError> {
        Ok(Self::with(Letters::of(command)?, command, way_out))
    }

    /// The same for whoever looks at letters: of a command that an earlier build took, as that wrote them, whatever is refused
    /// since. Nothing is sent by it.
    ///
    /// # Errors
    /// There is none.
    pub fn shown(command: &BroadcastCommand) -> Result<Self, ContentError> {
        Ok(Self::with(Letters::as_taken(command)?, command, WayOut::shown(command)))
    }

    fn with(letters: Letters, command: &BroadcastCommand, way_out: WayOut) -> Self {
        Self {
            provider: command.provider(),
            class: command.class(),
            from: command.from.clone(),
            reply_to: command.reply_to.clone(),
            letters,
            way_out,
            is_copy: command.test_copy.is_some(),
        }
    }

    /// The one letter of a chunk; nothing where its recipients are to get different ones, or none.
    pub(crate) fn enclosed(&self, message: &ChunkMessage) -> Option<Enclosed<'_>> {
        let mut numbers = message.recipients.iter().map(|recipient| self.letters.number(&recipient.data));
        let number = numbers.next()??;
        let is_one = numbers.all(|other| other == Some(number));
        let letter = self.letters.letter(number)?;
        is_one.then_some(Enclosed { letter, way_out: &self.way_out, is_copy: self.is_copy })
    }

    /// Whether it may be refused for somebody whom another build has frozen.
    #[must_use]
    pub fn may_refuse(&self) -> bool {
        self.letters.begin_links()
    }

    /// Why a consumer sends nothing to somebody who is frozen; nothing where it does.
    #[must_use]
    pub fn refuses(&self, recipient: &Recipient) -> Option<Unwritable> {
        let letter = self.letters.number(&recipient.data).and_then(|number| self.letters.letter(number));
        let Some(letter) = letter else { return Some(Unwritable::NoVariant) };
        match (Enclosed { letter, way_out: &self.way_out, is_copy: self.is_copy }).entry(0, recipient) {
            Err(Unready::Frozen(why)) => Some(why),
            Ok(_) | Err(Unready::Odd(_)) => None,
        }
    }

    /// What the provider makes of it for one recipient; `stored` is what a template says that was not read at the
    /// registration. Nothing where the provider alone can say, or would make nothing at all of it.
    #[must_use]
    pub fn rendered(&self, recipient: &Recipient, stored: Option<&StoredTemplate>) -> Option<Rendered> {
        let letter = self.letters.letter(self.letters.number(&recipient.data)?)?;
        let known = known(recipient, self.way_out.of_recipient(recipient).ok().flatten().as_ref());
        if let (Letter::Stored(unread), Some(words)) = (letter, stored)
            && unread.words().is_none()
        {
            return Letter::Stored(Stored::of(unread.name().clone(), Some(words.clone()))).rendered(&known).ok()?;
        }
        letter.rendered(&known).ok()?
    }
}

impl Enclosed<'_> {
    /// The entry of one recipient.
    ///
    /// # Errors
    /// The recipient has no way to unsubscribe where the command wants one for everybody, or what would be left out of a link.
    pub(crate) fn entry(&self, at: usize, recipient: &Recipient) -> Result<Entry, Unready> {
        let way_out = self.way_out.of_recipient(recipient).map_err(Unready::Odd)?;
        let known = known(recipient, way_out.as_ref());
        if let Err(why @ Unwritable::UnsafeLink(_)) = self.letter.judge(&known) {
            return Err(Unready::Frozen(why));
        }
        Ok(Entry {
            at,
            to: recipient.address.clone(),
            values: self.letter.values(&known),
            headers: headers(way_out.as_ref(), self.is_copy),
        })
    }
}

/// A recipient's data, with the URL to unsubscribe where there is one.
fn known<'a>(recipient: &'a Recipient, way_out: Option<&UnsubscribeUrl>) -> Cow<'a, BTreeMap<String, String>> {
    let Some(url) = way_out else { return Cow::Borrowed(&recipient.data) };
    let mut known = recipient.data.clone();
    known.insert(UNSUBSCRIBE_PLACEHOLDER.to_owned(), url.as_str().to_owned());
    Cow::Owned(known)
}

/// The headers of one click (RFC 8058 section 3.1), of which both stand there, or neither; and the mark of a copy.
fn headers(way_out: Option<&UnsubscribeUrl>, is_copy: bool) -> Vec<(&'static str, String)> {
    let one_click =
        |url: &UnsubscribeUrl| [("List-Unsubscribe", url.to_header()), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned())];
    let copy = is_copy.then(|| (TEST_COPY_HEADER, "yes".to_owned()));
    way_out.into_iter().flat_map(one_click).chain(copy).collect()
}

#[cfg(test)]
mod tests;
