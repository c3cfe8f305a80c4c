use std::io::Write as _;

use proptest::prelude::*;

use super::*;

fn config(name: &str) -> AudienceConfig {
    AudienceConfig { key: "id".to_owned(), address: "email".to_owned(), columns: vec![name.to_owned()], ..AudienceConfig::default() }
}

/// What is read of a file of this name: the rows as text, or the refusal.
fn read_as(file: &str, bytes: &[u8], config: &AudienceConfig) -> Result<Vec<String>, String> {
    Ok(read_with_reasons(file, bytes, config)?.0)
}

/// The same, and what is wrong with which of its lines.
fn read_with_reasons(file: &str, bytes: &[u8], config: &AudienceConfig) -> Result<(Vec<String>, Vec<String>), String> {
    let [rows, reasons, _] = read_whole(file, bytes, config)?;
    Ok((rows, reasons))
}

/// The same, and the keys of those who have not agreed, or of whom nobody knows.
fn read_whole(file: &str, bytes: &[u8], config: &AudienceConfig) -> Result<[Vec<String>; 3], String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(file);
    File::create(&path).unwrap().write_all(bytes).unwrap();
    let (mut rows, mut reasons, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
    let told = each(path.to_str().unwrap(), Rows::of(config), &Progress::default(), |row| {
        let key = match &row.key {
            RawKey::Null => "null".to_owned(),
            RawKey::Bytes(bytes) => String::from_utf8(bytes.clone()).unwrap_or("no text".to_owned()),
            RawKey::Refusal(bytes) => {
                let whose = bytes.as_ref().or(row.cells.first().and_then(Option::as_ref));
                refusals.extend(whose.map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
                return Ok(());
            }
            RawKey::Broken { line, reason, .. } => {
                reasons.push(format!("{line}: {reason}"));
                format!("broken line {line}")
            }
        };
        let cells = row
            .cells
            .into_iter()
            .map(|cell| cell.map_or("null".to_owned(), |cell| String::from_utf8(cell).unwrap_or("no text".to_owned())));
        rows.push(std::iter::once(key).chain(cells).collect::<Vec<_>>().join("|"));
        Ok(())
    });
    let told = told.map_err(|error| error.to_string())?;
    assert_eq!(told.counted, rows.len() as u64);
    Ok([rows, reasons, refusals])
}

fn csv(bytes: impl AsRef<[u8]>) -> Result<Vec<String>, String> {
    read_as("users.csv", bytes.as_ref(), &config("name"))
}

fn json(bytes: impl AsRef<[u8]>) -> Result<Vec<String>, String> {
    read_as("users.jsonl", bytes.as_ref(), &config("name"))
}

fn skipping() -> AudienceConfig {
    AudienceConfig { allow_broken_rows: true, ..config("name") }
}

#[test]
fn a_csv_by_the_rfc_is_read_as_it_is_meant() {
    let text = "\u{feff}name,email,id\r\n\"Ann, \"\"A\"\"\",a@example.com,1\r\n\r\n\"two\r\nlines\",b@example.com,\"2\"\n,,\n";
    assert_eq!(csv(text).unwrap(), ["1|a@example.com|Ann, \"A\"", "2|b@example.com|two\r\nlines", "null||"]);
    assert_eq!(csv("id,email,name\n1,a@example.com,Ann").unwrap(), ["1|a@example.com|Ann"]);
    assert_eq!(csv("id,email,name\n1,a@example.com,\"\"").unwrap(), ["1|a@example.com|"]);
}

#[test]
fn a_csv_that_is_not_what_it_claims_to_be_is_refused_with_its_line() {
    let long = "x".repeat(RECORD_BYTES_MAX);
    for (text, line, words) in [
        ("1,a@example.com,Ann\n2,b@example.com,\"Bob\n".to_owned(), 3, "a quote opens and never closes"),
        ("1,a@example.com,Ann\n2,b@example.com,\"Bob\n3,c@example.com,Cy\n".to_owned(), 3, "is not closed before line 4"),
        ("1,a@example.com,\"Ann\n2,\"Bob\"\n".to_owned(), 2, "something other than a comma follows"),
        (
            "1,a@example.com,\"Ann\n2,b@example.com,Bob\n3,c@example.com,Cy\"\n".to_owned(),
            2,
            "is not closed before line 3, which looks like a row",
        ),
        ("1,a@example.com,\"Ann\n2,b@example.com,Bob\"\n".to_owned(), 2, "is not closed before line 3, which looks like a row"),
        ("1,a@example.com,5\" Ann\n".to_owned(), 2, "double the quote"),
        ("1,a@example.com,\"Ann\"s\n".to_owned(), 2, "something other than a comma"),
        ("1,a@example.com,Ann\n2,b@example.com\n".to_owned(), 3, "it has 2 fields and the header 3"),
        ("1,a@example.com,Ann,x\n".to_owned(), 2, "it has 4 fields and the header 3"),
        (format!("1,a@example.com,{long}\n"), 2, "larger than 1048576 bytes"),
        (format!("1,a@example.com,\"{}\n{long}\"\n", "y".repeat(10)), 2, "is not closed within 1048576 bytes"),
        ("1,a@example.com,Ann\r2,b@example.com,Bob\r".to_owned(), 2, "a carriage return stands alone"),
    ] {
        let refusal = csv(format!("id,email,name\n{text}")).unwrap_err();
        assert!(
            refusal.contains(&format!("line {line}: ")) && refusal.contains(words) && refusal.contains("allow_broken_rows"),
            "{refusal}"
        );
        assert!(!refusal.contains("example.com"), "{refusal}");
    }
}

/// An empty text is `""`, so a quote that opens in the first row and closes in the last is balanced, and everybody between them
/// would stand in one name.
#[test]
fn rows_that_a_quote_has_swallowed_are_refused_wherever_it_closes() {
    let header = "id,name,email\n";
    for (text, line, swallowed, rows, broken) in [
        ("1,\"Ann,a@example.com\n2,\"\",b@example.com\n3,\"\",c@example.com\n4,Eve\",e@example.com\n5,F,f@example.com\n", 2, 3, 5, 4),
        ("1,\"Ann,a@example.com\n2,Eve\",e@example.com\n", 2, 3, 2, 2),
        // Of whom no address is known there is a row all the same.
        ("1,\"Ann,\n2,Eve\",e@example.com\n", 2, 3, 2, 2),
        ("1,Ann,a@example.com\n2,\"Bob,b@example.com\n3,\"\",c@example.com\n4,Eve\",e@example.com\n", 3, 4, 4, 3),
        ("1,Ann,\"a@example.com\n2,Bob,b@example.com\n3,Cy\",c@example.com\n", 2, 3, 3, 3),
    ] {
        let refusal = csv(format!("{header}{text}")).unwrap_err();
        let words = format!("line {line}: a quote opens here and is not closed before line {swallowed}, which looks like a row");
        assert!(refusal.contains(&words) && refusal.contains("allow_broken_rows") && !refusal.contains("example.com"), "{refusal}");
        let read = read_as("users.csv", format!("{header}{text}").as_bytes(), &skipping()).unwrap();
        assert_eq!(read.len(), rows, "{read:?}");
        assert_eq!(read.iter().filter(|row| row.starts_with("broken line")).count(), broken, "{read:?}");
        // Nobody's letter goes to somebody else.
        for row in read.iter().filter(|row| !row.starts_with("broken line")) {
            let fields: Vec<&str> = row.split('|').collect();
            assert!(text.lines().any(|line| line.starts_with(fields[0]) && line.ends_with(fields[1])), "{row}");
        }
    }
    let text = "id,email,name,\"note\n1,a@example.com,Ann,x\n2,b@example.com,Bob,\n3,c@example.com,Cy,hi\"\n4,d@example.com,D,z\n";
    let refusal = csv(text).unwrap_err();
    assert!(refusal.contains("line 1: the name of its column 4 holds a line break") && !refusal.contains("example.com"), "{refusal}");
}

/// Somebody writes to it still, so that some may be missing from what was read.
#[test]
fn a_file_that_is_changed_while_it_is_read_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users.csv");
    let rows = "id,email,name\n1,a@example.com,Ann\n";
    std::fs::write(&file, rows).unwrap();
    let (path, config) = (file.display().to_string(), config("name"));
    let read = |also: &str| {
        each(&path, Rows::of(&config), &Progress::default(), |_| {
            std::fs::write(&file, format!("{rows}{also}")).unwrap();
            Ok(())
        })
    };
    assert!(read("2,b@example.com,Bob\n").unwrap_err().to_string().contains("it was changed while it was read"));
    std::fs::write(&file, rows).unwrap();
    assert_eq!(each(&path, Rows::of(&config), &Progress::default(), |_| Ok(())).unwrap().counted, 1);
}

/// What a user has written can look like a row. It may be one that a quote has swallowed, too, so nobody of it is mailed.
#[test]
fn a_text_that_looks_like_a_row_makes_nobody_a_recipient() {
    for end in ["\"", "\",extra", "\","] {
        let text =
            format!("id,email,name\n1,a@example.com,hi\n2,b@example.com,\"see:\n9,victim@example.com,Z\n{end}\n3,c@example.com,bye\n");
        let read = read_as("users.csv", text.as_bytes(), &skipping()).unwrap();
        let keys: Vec<&str> = read.iter().filter(|row| !row.starts_with("broken")).map(|row| row.split('|').next().unwrap()).collect();
        assert_eq!(keys, ["1", "3"], "{read:?}");
        assert_eq!(read.len(), 5, "each of its three lines is told: {read:?}");
    }
}

#[test]
fn a_text_of_several_lines_is_read_whatever_commas_stand_in_it() {
    for (header, note) in [
        ("id,name,email", "Dear Ann,\nthanks, bye"),
        ("id,name,email", "Dear Ann,\r\n\r\n\"well\", she said,\r\nbye"),
        ("id,name,email", "Write to a@example.com,\nor to b@example.com"),
        ("id,name,email", "Hello, x@example.com\nbye"),
        ("id,email,name", "a, b, c\nd, e, f"),
        ("id,email,name", "see a, b@example.com\nor @home, x"),
        ("name,id,email", "one, two\nthree"),
        ("id,email,name", "\n\n,,\n\"\",\"\",\"\"\n"),
    ] {
        let row: Vec<String> = header
            .split(',')
            .map(|column| match column {
                "id" => "7".to_owned(),
                "email" => "u@example.com".to_owned(),
                _ => format!("\"{}\"", note.replace('"', "\"\"")),
            })
            .collect();
        let text = format!("{header}\n{}\n", row.join(","));
        assert_eq!(csv(&text), Ok(vec![format!("7|u@example.com|{note}")]), "{text}");
    }
}

#[test]
fn a_header_that_does_not_tell_the_columns_apart_is_refused() {
    for (header, words) in [
        ("id,email,name,email", "the column \"email\" twice"),
        ("id;email;name", "no column \"id\"; separated by commas it has [\"id;email;name\"]"),
        ("1,a@example.com,Ann", "it holds an address, so it is no header line"),
        ("", "the file is empty"),
    ] {
        let refusal = csv(header).unwrap_err();
        assert!(refusal.contains(words) && !refusal.contains("Ann"), "{refusal}");
    }
    // Twice, and not wanted.
    assert_eq!(csv("id,email,name,note,note\n1,a@example.com,Ann,x,y").unwrap(), ["1|a@example.com|Ann"]);
}

#[test]
fn broken_lines_are_recorded_where_the_audience_says_so_and_take_nobody_along() {
    let text =
        "id,email,name\n1,a@example.com,\"Ann\n2,b@example.com,Bob\n3,c@example.com\n4,d@example.com,D\"\n5,e@example.com,\"E\nE\"\n";
    assert_eq!(
        read_as("users.csv", text.as_bytes(), &skipping()).unwrap(),
        [2, 3, 4, 5]
            .map(|line| format!("broken line {line}|null|null"))
            .into_iter()
            .chain(["5|e@example.com|E\nE".to_owned()])
            .collect::<Vec<_>>()
    );
    // What is no record, however it is read, takes nobody along.
    let text = "id,email,name\n1,a@example.com,\"Ann\n2,b@example.com,Bob\n3,c@example.com\n4,d@example.com,\"D\"\n";
    assert_eq!(
        read_as("users.csv", text.as_bytes(), &skipping()).unwrap(),
        ["broken line 2|null|null", "2|b@example.com|Bob", "broken line 4|null|null", "4|d@example.com|D"]
    );
    let text = "{\"id\": 1, \"email\": \"a@example.com\", \"name\": \"Ann\"}\n[]\nx\n{\"id\": 4}\n";
    assert_eq!(
        read_as("users.jsonl", text.as_bytes(), &skipping()).unwrap(),
        ["1|a@example.com|Ann", "broken line 2|null|null", "broken line 3|null|null", "4|null|null"]
    );
}

/// What can't be read may have been a no. So nobody is mailed marketing by another row of its key, as far as the key can be read.
#[test]
fn a_broken_row_is_a_no_for_its_key_where_somebody_is_asked() {
    let asked = AudienceConfig { consenting: Some("news".to_owned()), ..skipping() };
    let csv = b"email,id,name,news\na@example.com,1,Ann,yes\nb@example.com,2,Bob, the,no\n, c@example.com,3,C,no\nd@example.com,4,\"D,no\ne@example.com,5,\xff,no\nf@example.com,6\n7\n";
    let [rows, _, refusals] = read_whole("users.csv", csv, &asked).unwrap();
    assert_eq!(rows[0], "1|a@example.com|Ann");
    assert_eq!(rows[1..], [3, 4, 5, 6, 7, 8].map(|line| format!("broken line {line}|null|null")));
    // Of one with a comma too many both places where its key can stand; of the last nobody knows whose it is.
    // Of all of them the address, wherever it can stand.
    let (addresses, keys): (Vec<_>, Vec<_>) = refusals.into_iter().partition(|whose| whose.contains('@') && !whose.starts_with(' '));
    assert_eq!(keys, ["2", "Bob", " c@example.com", "3", " c@example.com", "4", "5", "6"]);
    assert_eq!(addresses, ["b", "d", "e", "f"].map(|name| format!("{name}@example.com")));
    let json = b"{\"id\": 1, \"email\": \"a@example.com\", \"name\": \"A\", \"news\": true}\n{\"id\": 2, \"news\": tru\n{\"id\": \"3\", \"email\": \"c\", \"email\": \"d\", \"id\": 33}\n{\"name\": \"\xff\", \"id\": 4}\n[5]\n{\"name\": \"id\", \"id";
    let [rows, _, refusals] = read_whole("users.jsonl", json, &asked).unwrap();
    assert_eq!((rows.len(), refusals.join(",").as_str()), (6, "2,3,33,c,d,4"));
    // Whoever is not asked says nothing by it.
    let [_, _, refusals] = read_whole("users.csv", csv, &skipping()).unwrap();
    assert_eq!(refusals, [""; 0]);
}

#[test]
fn another_encoding_is_named_and_read_where_it_is_named() {
    let text = "id,email,name\n1,a@example.com,山田太郎は東京都に住んでいる\n2,b@example.com,ゃゅょ表示ソ能\n";
    for encoding in [encoding_rs::SHIFT_JIS, encoding_rs::EUC_JP, encoding_rs::ISO_2022_JP] {
        let (bytes, _, _) = encoding.encode(text);
        let config = AudienceConfig { encoding: Some(encoding.name().to_lowercase()), ..config("name") };
        assert_eq!(read_as("users.csv", &bytes, &config).unwrap()[1], "2|b@example.com|ゃゅょ表示ソ能");
        if encoding != encoding_rs::ISO_2022_JP {
            let refusal = csv(&bytes).unwrap_err();
            let guess = format!(
                "line 2: it holds bytes that are not UTF-8, probably {}; set encoding = {:?}",
                encoding.name(),
                encoding.name().to_lowercase()
            );
            assert!(refusal.contains(&guess), "{refusal}");
        }
    }
    // It is all of seven bits, and so would pass for UTF-8.
    let (bytes, _, _) = encoding_rs::ISO_2022_JP.encode(text);
    let refusal = csv(&bytes).unwrap_err();
    assert!(refusal.contains("set encoding = \"iso-2022-jp\""), "{refusal}");
    let utf_16: Vec<u8> = std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let refusal = csv(&utf_16).unwrap_err();
    assert!(refusal.contains("UTF-16LE"), "{refusal}");
    let config = AudienceConfig { encoding: Some("utf-16le".to_owned()), ..config("name") };
    assert_eq!(read_as("users.csv", &utf_16, &config).unwrap().len(), 2);
}

/// Read by another encoding a file is other letters, most of which are valid.
#[test]
fn a_mark_that_contradicts_the_configured_encoding_is_refused_and_no_address_is_told() {
    let text = "id,email,name\n1,a@example.com,J\u{fc}rg\n";
    let marked = |bytes_of: fn(u16) -> [u8; 2]| std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(bytes_of).collect::<Vec<u8>>();
    let utf_8 = format!("\u{feff}{text}").into_bytes();
    for (bytes, label, name) in [
        (utf_8.clone(), "windows-1252", "UTF-8"),
        (utf_8.clone(), "shift_jis", "UTF-8"),
        (marked(u16::to_be_bytes), "utf-16", "UTF-16BE"),
        (marked(u16::to_be_bytes), "utf-16le", "UTF-16BE"),
        (marked(u16::to_le_bytes), "utf-16be", "UTF-16LE"),
        (marked(u16::to_le_bytes), "utf-8", "UTF-16LE"),
    ] {
        let configured = AudienceConfig { encoding: Some(label.to_owned()), ..config("name") };
        let refusal = read_as("users.csv", &bytes, &configured).unwrap_err();
        let words = format!(
            "its byte order mark is that of {name}, and the audience's `encoding` is {label:?}; set encoding = {:?}",
            name.to_lowercase()
        );
        assert!(refusal.contains(&words), "{refusal}");
        let configured = AudienceConfig { encoding: Some(name.to_lowercase()), ..config("name") };
        assert_eq!(read_as("users.csv", &bytes, &configured).unwrap(), ["1|a@example.com|J\u{fc}rg"]);
    }
    // Without a mark nobody can know; but everybody stands in the one name of its header.
    let configured = AudienceConfig { encoding: Some("utf-16".to_owned()), ..config("name") };
    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let refusal = read_as("users.csv", &bytes, &configured).unwrap_err();
    assert!(refusal.contains("is the audience's `encoding` that of the file?") && refusal.is_ascii(), "{refusal}");
}

/// A detector takes little Japanese for letters with accents, and whoever reads of windows-1250 has nothing to do with it.
#[test]
fn a_few_japanese_names_are_not_taken_for_accents_nor_accents_for_japanese() {
    let japanese = ["山田\n2,b@example.com,表示", "鈴木 一郎", "林\n2,b@example.com,佐藤花子", "高橋\n2,b@example.com,渡辺"];
    for (encoding, other) in [(encoding_rs::SHIFT_JIS, "Shift_JIS"), (encoding_rs::EUC_JP, "EUC-JP")] {
        for names in japanese {
            let (bytes, _, _) = encoding.encode(names);
            let guess = guess::guessed(&[b"id,email,name\n1,a@example.com,".as_slice(), &bytes, b"\n"].concat());
            assert_eq!(guess.name, other, "{names}");
        }
    }
    let accents = [
        (encoding_rs::WINDOWS_1252, "Andrés José García"),
        (encoding_rs::WINDOWS_1252, "Jörg Müller\n2,b@example.com,Renée Façade"),
        (encoding_rs::WINDOWS_1252, "Ångström\n2,b@example.com,Élodie"),
        (encoding_rs::WINDOWS_1250, "Łukasz Świętosławski\n2,b@example.com,Dvořák"),
        (encoding_rs::WINDOWS_1254, "Çağrı Şahin\n2,b@example.com,Gökçe"),
    ];
    for (encoding, names) in accents {
        let (bytes, _, _) = encoding.encode(names);
        let guess = guess::guessed(&[b"id,email,name\n1,a@example.com,".as_slice(), &bytes, b"\n"].concat());
        assert!(guess.name.starts_with("windows-125") || guess.name.starts_with("ISO-8859"), "{names}: {}", guess.name);
    }
}

/// Names for machines, as banks have them. To a detector they are Cyrillic, Thai or Chinese.
#[test]
fn kana_of_one_byte_is_taken_for_japanese_and_nothing_else_for_it() {
    for names in [
        "ﾔﾏﾀﾞ ﾀﾛｳ",
        "ﾔﾏﾀﾞ",
        "ﾊｼﾓﾄ ﾕｷ\n2,b@example.com,ｷﾑﾗ ﾀｸﾔ",
        "ｶﾌﾞｼｷｶﾞｲｼｬ ｱｲｳｴｵ",
        "ｻﾄｳ ﾊﾅｺ\n2,b@example.com,ﾀｶﾊｼ ｹﾝ\n3,c@example.com,ﾜﾀﾅﾍﾞ ﾘｮｳ",
        "山田太郎 ﾔﾏﾀﾞ ﾀﾛｳ\n2,b@example.com,鈴木一郎 ｽｽﾞｷ ｲﾁﾛｳ",
    ] {
        let (bytes, _, _) = encoding_rs::SHIFT_JIS.encode(names);
        let guess = guess::guessed(&[b"id,email,name\n1,a@example.com,".as_slice(), &bytes, b"\n"].concat());
        assert_eq!(guess.name, "Shift_JIS", "{names}");
    }
    for (encoding, names) in [
        (encoding_rs::EUC_JP, "山田太郎\n2,b@example.com,鈴木一郎\n3,c@example.com,佐藤花子\n4,d@example.com,高橋健"),
        (encoding_rs::EUC_JP, "山田\n2,b@example.com,表示"),
        (encoding_rs::EUC_JP, "かなこ\n2,b@example.com,カナダ タロウ"),
        (encoding_rs::GBK, "王小明\n2,b@example.com,李娜\n3,c@example.com,张伟"),
        (encoding_rs::EUC_KR, "김철수\n2,b@example.com,이영희"),
        (encoding_rs::KOI8_U, "иван петров\n2,b@example.com,мария чичикова"),
        (encoding_rs::WINDOWS_874, "สมชาย ใจดี\n2,b@example.com,มาลี"),
        (encoding_rs::WINDOWS_1252, "ÉLODIE ÅNGSTRÖM\n2,b@example.com,ÀÉÈ"),
    ] {
        let (bytes, _, _) = encoding.encode(names);
        let guess = guess::guessed(&[b"id,email,name\n1,a@example.com,".as_slice(), &bytes, b"\n"].concat());
        assert_eq!(guess.name, encoding.name(), "{names}");
    }
}

/// Whoever joined last has the first name that is not ASCII.
#[test]
fn an_encoding_is_told_by_names_that_come_after_a_megabyte_of_ascii() {
    let ascii = (0..80_000).map(|row| format!("{row},user{row}@example.com,Name\n")).collect::<Vec<_>>().concat();
    assert!(ascii.len() > 2 * 1024 * 1024);
    // The first of them by itself looks like letters with accents.
    let names = ["林", "山田太郎は東京都に住んでいる", "ゃゅょ表示ソ能"];
    let rows = names.iter().cycle().take(300).enumerate();
    let rows = rows.map(|(row, name)| format!("{row}x,x{row}@example.com,{name}\n")).collect::<Vec<_>>().concat();
    for encoding in [encoding_rs::SHIFT_JIS, encoding_rs::EUC_JP] {
        let (bytes, _, _) = encoding.encode(&rows);
        let file = [b"id,email,name\n", ascii.as_bytes(), &bytes].concat();
        let probably = format!("probably {}; set encoding", encoding.name());
        let refusal = csv(&file).unwrap_err();
        assert!(refusal.contains("line 80002: ") && refusal.contains(&probably), "{refusal}");
        let (_, reasons) = read_with_reasons("users.csv", &file, &skipping()).unwrap();
        assert!(reasons.last().unwrap().contains(&probably), "{reasons:?}");
        // Whoever has no configuration yet is told the same.
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users.csv");
        std::fs::write(&path, &file).unwrap();
        let refusal = first_line(&path, &ReadAs::default()).unwrap_err();
        assert!(refusal.contains(&format!("--encoding {}", encoding.name().to_lowercase())), "{refusal}");
    }
    // What is all UTF-8 is read, however late it says so.
    let file = [b"id,email,name\n", ascii.as_bytes(), rows.as_bytes()].concat();
    assert_eq!(csv(&file).unwrap().len(), 80_300);
}

#[test]
fn bytes_that_the_named_encoding_does_not_have_are_refused_too() {
    let shift_jis = AudienceConfig { encoding: Some("shift_jis".to_owned()), ..config("name") };
    let refusal = read_as("users.csv", b"id,email,name\n1,a@example.com,\x81\n", &shift_jis).unwrap_err();
    assert!(refusal.contains("line 2: it holds bytes that are not shift_jis"), "{refusal}");
    let unknown = AudienceConfig { encoding: Some("sjis-x".to_owned()), ..config("name") };
    assert!(read_as("users.csv", b"id,email,name\n", &unknown).unwrap_err().contains("no label of the Encoding Standard"));
}

#[test]
fn json_lines_are_read_to_the_last_digit_with_a_mark_or_without() {
    let text = "\u{feff}{\"id\": 123456789012345678901, \"email\": \"a@example.com\", \"name\": \"\\u5c71\"}\r\n\n{\"id\": 123456789012345678902, \"email\": \"b@example.com\", \"name\": 1.50, \"more\": {\"id\": 1}}\n{\"id\": true, \"email\": null, \"name\": [1]}";
    assert_eq!(
        json(text).unwrap(),
        ["123456789012345678901|a@example.com|山", "123456789012345678902|b@example.com|1.50", "true|null|no text"]
    );
}

/// Half a surrogate pair is in no UTF-8, and an array is no name. Neither is nothing, which a letter may allow for.
#[test]
fn a_value_in_json_that_is_no_text_is_not_taken_for_none() {
    let half = r"\ud83d";
    for (line, row) in [
        (format!(r#"{{"id": 1, "email": "a@example.com", "name": "A{half}"}}"#), "1|a@example.com|no text"),
        (format!(r#"{{"id": 1, "email": "a{half}@example.com", "name": "A"}}"#), "1|no text|A"),
        (format!(r#"{{"id": "1{half}", "email": "a@example.com", "name": "A"}}"#), "no text|a@example.com|A"),
        (r#"{"id": [1], "email": {"a": 1}, "name": []}"#.to_owned(), "no text|no text|no text"),
        (r#"{"id": 1, "email": "a@example.com", "name": null}"#.to_owned(), "1|a@example.com|null"),
        (r#"{"id": 1, "email": "a@example.com", "name": "\ud83d\ude00"}"#.to_owned(), "1|a@example.com|\u{1f600}"),
    ] {
        assert_eq!(json(&line), Ok(vec![row.to_owned()]), "{line}");
    }
}

#[test]
fn json_lines_that_are_no_objects_or_lack_a_column_are_refused() {
    let good = "{\"id\": 1, \"email\": \"a@example.com\", \"name\": \"Ann\"}\n";
    for (line, words) in [
        ("[1, \"b@example.com\"]", "it is no JSON object"),
        ("{\"id\": 2, \"email\": \"b@example.com\"", "it is no JSON object"),
        ("{\"id\": 2} {\"id\": 3}", "it is no JSON object"),
        ("{\"id\": 2, \"email\": \"b@example.com\", \"email\": \"c@example.com\"}", "stands in it twice"),
        ("\"b@example.com\"", "it is no JSON object"),
    ] {
        let refusal = json(format!("{good}{line}\n")).unwrap_err();
        assert!(refusal.contains("line 2: ") && refusal.contains(words) && !refusal.contains("b@example"), "{refusal}");
    }
    let refusal = read_as("users.jsonl", good.as_bytes(), &config("nmae")).unwrap_err();
    assert!(refusal.contains("no line has the column \"nmae\""), "{refusal}");
}

#[test]
fn each_broken_line_has_its_own_reason() {
    let text = b"id,email,name\n1,a@example.com\n2,b@example.com,\xff\n3,c@example.com,5\" C\n4,d@example.com,\"D\n";
    let (_, reasons) = read_with_reasons("users.csv", text, &skipping()).unwrap();
    let words = [
        "2: it has 2 fields and the header 3",
        "3: it holds bytes that are not UTF-8",
        "4: a quote stands in a field",
        "5: a quote opens and never closes",
    ];
    assert_eq!(reasons.len(), words.len(), "{reasons:?}");
    assert!(reasons.iter().zip(words).all(|(reason, words)| reason.starts_with(words)), "{reasons:?}");
    let (_, reasons) =
        read_with_reasons("users.jsonl", b"{\"id\": 1, \"email\": \"a\", \"name\": \"A\"}\n[]\n\xff\n", &skipping()).unwrap();
    assert!(reasons[0].starts_with("2: it is no JSON object") && reasons[1].starts_with("3: it holds bytes"), "{reasons:?}");
}

proptest! {
    /// What is written by the rules is read as it was, whatever it holds.
    #[test]
    fn a_csv_that_was_written_is_read_as_it_was(values in prop::collection::vec("[ -~äß東\r\n\",]{0,8}", 1..8)) {
        let quoted = |value: &String| format!("\"{}\"", value.replace('"', "\"\""));
        let rows: Vec<String> = values.iter().enumerate().map(|(at, value)| format!("{at},a@example.com,{}\r\n", quoted(value))).collect();
        let expected: Vec<String> = values.iter().enumerate().map(|(at, value)| format!("{at}|a@example.com|{value}")).collect();
        prop_assert_eq!(csv(format!("id,email,name\r\n{}", rows.concat())).unwrap(), expected);
    }

    /// What another program has written is read whole, in whatever order its columns stand. A text is refused only where one of its
    /// lines has as many fields as a row, and somebody's address among them.
    #[test]
    fn a_csv_of_another_writer_is_read_whole(
        texts in prop::collection::vec("([A-Za-z ,\"]{0,6}(\r?\n)?){0,4}", 1..8),
        places in Just(vec![0, 1, 2, 3]).prop_shuffle(),
        quotes in prop::bool::ANY,
    ) {
        let style = if quotes { ::csv::QuoteStyle::Always } else { ::csv::QuoteStyle::Necessary };
        let mut writer = ::csv::WriterBuilder::new().quote_style(style).from_writer(Vec::new());
        let placed = |fields: [&str; 4]| places.iter().map(|at| fields[*at].to_owned()).collect::<Vec<_>>();
        writer.write_record(placed(["id", "email", "name", "note"])).unwrap();
        for (at, text) in texts.iter().enumerate() {
            let (id, email) = (at.to_string(), format!("u{at}@example.com"));
            writer.write_record(placed([&id, &email, text, &texts[texts.len() - 1 - at]])).unwrap();
        }
        let written = writer.into_inner().unwrap();
        let expected: Vec<String> = texts.iter().enumerate().map(|(at, text)| format!("{at}|u{at}@example.com|{text}")).collect();
        prop_assert_eq!(csv(&written), Ok(expected), "{}", String::from_utf8_lossy(&written));
    }

    /// Taking one quote out of a file never moves anybody's address to somebody else, and never loses a row unsaid.
    #[test]
    fn a_missing_quote_is_refused(rows in 2_usize..8, at in 0_usize..16) {
        let text: Vec<String> = (0..rows).map(|row| format!("{row},u{row}@example.com,\"Name {row}\"\n")).collect();
        let text = text.concat();
        let quotes: Vec<usize> = text.match_indices('"').map(|(at, _)| at).collect();
        let gone = quotes[at % quotes.len()];
        let broken = format!("id,email,name\n{}{}", &text[..gone], &text[gone + 1..]);
        prop_assert!(csv(&broken).is_err(), "{}", broken);
        let read = read_as("users.csv", broken.as_bytes(), &skipping()).unwrap();
        prop_assert_eq!(read.len(), rows);
        prop_assert_eq!(read.iter().filter(|row| row.starts_with("broken")).count(), 1);
    }
}
