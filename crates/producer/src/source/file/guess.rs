//! Which encoding a file is probably in, for whoever has named none or a wrong one. It is advice: nothing is read by it.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{EUC_JP, Encoding, ISO_2022_JP, SHIFT_JIS, UTF_16BE, UTF_16LE};

/// What a file looks like by its beginning, and by lines that tell of it.
#[derive(Debug)]
pub(super) struct Guess {
    pub(super) name: &'static str,
    /// Another that it may be in as well: a few names in `Shift_JIS` are too little to tell them from letters with accents.
    perhaps: Option<&'static str>,
}

impl Guess {
    /// As it is written in a configuration.
    pub(super) fn label(&self) -> String {
        self.name.to_lowercase()
    }

    pub(super) fn perhaps(&self) -> Option<String> {
        self.perhaps.map(str::to_lowercase)
    }
}

pub(super) fn guessed(bytes: &[u8]) -> Guess {
    if let Some(utf_16) = utf_16(bytes) {
        return Guess { name: utf_16.name(), perhaps: None };
    }
    if is_iso_2022_jp(bytes) {
        return Guess { name: ISO_2022_JP.name(), perhaps: None };
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(bytes, true);
    let guess = detector.guess(None, Utf8Detection::Deny);
    if let Some(guess) = kana_of_one_byte(bytes, guess) {
        return guess;
    }
    let read_as = |encoding: &'static Encoding| Some((encoding, encoding.decode_without_bom_handling_and_without_replacement(bytes)?));
    let mut japanese = [EUC_JP, SHIFT_JIS].into_iter().filter(|_| guess.is_single_byte()).filter_map(read_as);
    // The detector takes little of it for letters with accents.
    if ACCENTS.contains(&guess.name())
        && let Some((likely, _)) = japanese.clone().find(|(_, text)| is_japanese(text))
    {
        return Guess { name: likely.name(), perhaps: Some(guess.name()) };
    }
    Guess { name: guess.name(), perhaps: japanese.next().map(|(encoding, _)| encoding.name()) }
}

/// Encodings of letters with accents, each of which stands alone among letters of ASCII.
const ACCENTS: [&str; 12] = [
    "windows-1250",
    "windows-1252",
    "windows-1254",
    "windows-1257",
    "windows-1258",
    "ISO-8859-2",
    "ISO-8859-3",
    "ISO-8859-4",
    "ISO-8859-10",
    "ISO-8859-13",
    "ISO-8859-14",
    "ISO-8859-16",
];

/// Whether a text reads like Japanese, and not like something else that was taken for it: words of kana and kanji. What was a
/// letter with an accent is a sign by itself, beside letters.
fn is_japanese(text: &str) -> bool {
    let (mut right, mut strays) = (0_usize, 0_usize);
    for (word, beside_letters) in words(text) {
        let is_word = word.chars().all(is_of_japanese);
        let is_alone = word.chars().nth(1).is_none();
        let is_kana_of_one_byte = word.chars().all(|c| matches!(c, '\u{ff61}'..='\u{ff9f}'));
        // Two accents after each other are rare, and three more so.
        let is_stray = !is_word || (is_alone && (beside_letters || is_kana_of_one_byte)) || (is_kana_of_one_byte && beside_letters);
        *if is_stray { &mut strays } else { &mut right } += 1;
    }
    right > 0 && right >= strays * 3
}

/// Says whether it is `Shift_JIS` with kana of one byte, as names for machines are written: any two of them are a letter of half the
/// other encodings, so that a detector takes them for Cyrillic, Thai or Chinese.
fn kana_of_one_byte(bytes: &[u8], guess: &'static Encoding) -> Option<Guess> {
    let text = SHIFT_JIS.decode_without_bom_handling_and_without_replacement(bytes)?;
    let Kana { letters, marks, frequent, words, of_two_bytes, strays } = Kana::of(&text);
    // Greek and Cyrillic capitals have none of the letters that are the most frequent in kana, nor marks that stand right.
    let reads_well = letters >= KANA_MIN && (marks > 0 || frequent * 10 >= letters) && words + of_two_bytes >= strays * 3;
    if !reads_well {
        return None;
    }
    let others = |perhaps: &'static Encoding| Some(perhaps.name()).filter(|name| *name != SHIFT_JIS.name());
    // Where each word has an even number of bytes, it may be kanji of two bytes each; of many one would have a byte beyond kana's.
    if marks == 0 && letters < KANA_MANY && guess != SHIFT_JIS {
        let is_euc = EUC_JP.decode_without_bom_handling_and_without_replacement(bytes).is_some_and(|text| is_japanese(&text));
        return match (guess.is_single_byte(), is_euc) {
            (false, _) => Some(Guess { name: guess.name(), perhaps: Some(SHIFT_JIS.name()) }),
            (true, true) if ACCENTS.contains(&guess.name()) => Some(Guess { name: EUC_JP.name(), perhaps: Some(SHIFT_JIS.name()) }),
            (true, true) => Some(Guess { name: SHIFT_JIS.name(), perhaps: Some(EUC_JP.name()) }),
            (true, false) => Some(Guess { name: SHIFT_JIS.name(), perhaps: others(guess) }),
        };
    }
    Some(Guess { name: SHIFT_JIS.name(), perhaps: others(guess) })
}

/// So many letters say something, and so many exclude what is of two bytes.
const KANA_MIN: usize = 4;
const KANA_MANY: usize = 24;

/// What there is of kana of one byte in a text.
#[derive(Default)]
struct Kana {
    letters: usize,
    /// Signs of voicing, each after a letter that has one.
    marks: usize,
    /// The first fifteen letters, from a to so.
    frequent: usize,
    /// Words of nothing else, in which each sign stands where it may.
    words: usize,
    /// Words of kana and kanji of two bytes.
    of_two_bytes: usize,
    strays: usize,
}

impl Kana {
    fn of(text: &str) -> Self {
        let mut kana = Self::default();
        for (word, beside_letters) in words(text) {
            let is_of_one_byte = |c: char| matches!(c, '\u{ff61}'..='\u{ff9f}');
            if word.chars().all(is_of_one_byte) {
                if beside_letters || !is_word_of_kana(word) {
                    kana.strays += 1;
                    continue;
                }
                kana.words += 1;
                kana.letters += word.chars().count();
                kana.marks += word.chars().filter(|c| matches!(c, '\u{ff9e}' | '\u{ff9f}')).count();
                kana.frequent += word.chars().filter(|c| matches!(c, '\u{ff71}'..='\u{ff7f}')).count();
            } else if word.chars().all(is_of_japanese) && !word.chars().any(is_of_one_byte) {
                kana.of_two_bytes += 1;
            } else {
                kana.strays += 1;
            }
        }
        kana
    }
}

/// Says whether each small letter and each mark stands after one that takes it.
fn is_word_of_kana(word: &str) -> bool {
    let mut before = None;
    for c in word.chars() {
        let is_right = match c {
            // Voiced: from ka to to, from ha to ho, and u.
            '\u{ff9e}' => matches!(before, Some('\u{ff73}' | '\u{ff76}'..='\u{ff84}' | '\u{ff8a}'..='\u{ff8e}')),
            // Half voiced: from ha to ho.
            '\u{ff9f}' => matches!(before, Some('\u{ff8a}'..='\u{ff8e}')),
            // Small letters, the long sign and the dot between two words stand after another letter.
            '\u{ff65}' | '\u{ff67}'..='\u{ff70}' => matches!(before, Some('\u{ff66}' | '\u{ff70}'..='\u{ff9f}')),
            // Other signs stand in no name.
            '\u{ff61}'..='\u{ff64}' => false,
            _ => true,
        };
        if !is_right {
            return false;
        }
        before = Some(c);
    }
    word.chars().nth(1).is_some()
}

/// The stretches of a text that are not ASCII, each with whether a letter of ASCII stands beside it.
fn words(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut rest = text;
    let mut before = ' ';
    std::iter::from_fn(move || {
        let at = rest.find(|c: char| !c.is_ascii())?;
        before = rest.get(..at).and_then(|ascii| ascii.chars().next_back()).unwrap_or(before);
        rest = rest.get(at..)?;
        let (word, after) = rest.split_at(rest.find(|c: char| c.is_ascii()).unwrap_or(rest.len()));
        let next = after.chars().next().unwrap_or(' ');
        let beside_letters = before.is_ascii_alphabetic() || next.is_ascii_alphabetic();
        (before, rest) = (' ', after);
        Some((word, beside_letters))
    })
}

/// Kana, kanji, their signs, and what has their width.
fn is_of_japanese(c: char) -> bool {
    matches!(c, '\u{3000}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}' | '\u{ff01}'..='\u{ff9f}')
}

/// A text of seven bits that is Japanese all the same, between escapes (RFC 1468).
pub(super) fn is_iso_2022_jp(bytes: &[u8]) -> bool {
    bytes.is_ascii() && bytes.windows(3).any(|some| matches!(some, b"\x1b$@" | b"\x1b$B" | b"\x1b(J" | b"\x1b(I"))
}

/// The encoding of a beginning that is hardly UTF-8; nothing where it is, or where some lines may be broken and it may be
/// those alone.
pub(super) fn other(bytes: &[u8], allow_broken_rows: bool) -> Option<Guess> {
    let is_utf_8 = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        // Its last character may be cut off.
        Err(error) => error.error_len().is_none() || allow_broken_rows,
    };
    (!is_utf_8 || utf_16(bytes).is_some() || is_iso_2022_jp(bytes)).then(|| guessed(bytes))
}

/// Which UTF-16 it is, where it has neither a mark nor many letters but those of ASCII: every other byte of these is 0, which
/// no text of another encoding has.
pub(super) fn utf_16(bytes: &[u8]) -> Option<&'static Encoding> {
    let zeros = |from: usize| bytes.iter().skip(from).step_by(2).filter(|byte| **byte == 0).count();
    let (first, second) = (zeros(0), zeros(1));
    match first.max(second) {
        // One in twenty at least: a zero by itself is a mistake in a text.
        most if most * 20 < bytes.len() || most == 0 => None,
        _ if second > first => Some(UTF_16LE),
        _ => Some(UTF_16BE),
    }
}
