use super::*;

const SECRET: &str = "a key of a test, 32 bytes or more";

fn keys() -> UnsubscribeKeys {
    [("2026-11".parse().unwrap(), UnsubscribeKey::try_from(SECRET.to_owned()).unwrap())].into()
}

fn token(recipient: &str) -> UnsubscribeToken {
    UnsubscribeToken {
        key: "2026-11".parse().unwrap(),
        broadcast_id: "terms-2026-11".parse().unwrap(),
        class: Class::Service,
        recipient: recipient.parse().unwrap(),
    }
}

#[test]
fn a_token_says_whose_it_is_and_nothing_once_it_is_changed() {
    let keys = keys();
    let key = keys.values().next().unwrap();
    let signed = token("17").signed(key);
    assert_eq!(UnsubscribeToken::read(&signed, &keys), Ok(token("17")));
    // By `printf 'terms-2026-11\nservice\n17'` and `openssl dgst -sha256 -hmac`: apps that check it compute the same.
    assert_eq!(signed, "iu1.2026-11.dGVybXMtMjAyNi0xMQpzZXJ2aWNlCjE3.GUDurACJygMDAFdUsszoMuW39m3pNkQa7iZfmvaeXQA");
    let other = token("18").signed(key);
    let [head, payload, signature] = ["iu1.2026-11", signed.split('.').nth(2).unwrap(), signed.rsplit('.').next().unwrap()];
    let of_other = other.split('.').nth(2).unwrap();
    for (forged, why) in [
        (format!("{head}.{of_other}.{signature}"), TokenError::Forged),
        (format!("{head}.{payload}."), TokenError::Forged),
        (format!("{head}.{payload}.{}", &signature[..40]), TokenError::Forged),
        (format!("iu1.2026-12.{payload}.{signature}"), TokenError::UnknownKey { key: "2026-12".parse().unwrap() }),
        (format!("iu2.2026-11.{payload}.{signature}"), TokenError::Version { found: "iu2".to_owned() }),
        (format!("{head}.{payload}.{signature}="), TokenError::NotAToken),
        (format!("{head}.{payload}"), TokenError::NotAToken),
        (format!("{head}..{payload}.{signature}"), TokenError::NotAToken),
        (String::new(), TokenError::NotAToken),
    ] {
        assert_eq!(UnsubscribeToken::read(&forged, &keys), Err(why), "{forged}");
    }
    let another = [("2026-11".parse().unwrap(), UnsubscribeKey::try_from("x".repeat(32)).unwrap())].into();
    assert_eq!(UnsubscribeToken::read(&signed, &another), Err(TokenError::Forged));
}

#[test]
fn the_longest_token_in_the_longest_link_fits_a_header() {
    let key = UnsubscribeKey::try_from(SECRET.to_owned()).unwrap();
    let longest = UnsubscribeToken {
        key: "k".repeat(32).parse().unwrap(),
        broadcast_id: "b".repeat(64).parse().unwrap(),
        class: Class::LegalNotice,
        recipient: "r".repeat(256).parse().unwrap(),
    };
    let base = format!("https://app.example.com/{}?t={TOKEN}", "u".repeat(UNSUBSCRIBE_LINK_BYTES_MAX - 36));
    let link = UnsubscribeLink::try_from(base).unwrap();
    assert!(link.with(&longest.signed(&key)).is_some());
}

#[test]
fn a_key_is_long_enough_and_shown_to_nobody() {
    let error = UnsubscribeKey::try_from("short".to_owned()).unwrap_err();
    assert!(error.contains("32 or more") && !error.contains("short"), "{error}");
    assert_eq!(format!("{:?}", keys()), r#"{UnsubscribeKeyId("2026-11"): UnsubscribeKey(…)}"#);
}

#[test]
fn a_url_that_would_break_a_header_or_reach_no_server_is_none() {
    for good in ["https://app.example.com/u?t=a.b-c_d", "https://app.example.com", "https://[::1]:8443/u/%E2%9C%93"] {
        assert!(UnsubscribeUrl::try_from(good.to_owned()).is_ok(), "{good}");
    }
    for (bad, says) in [
        ("", "no URL"),
        ("http://app.example.com/u", "https://"),
        ("mailto:a@example.com", "https://"),
        ("https://app.example.com/u>, <mailto:x@example.com", "holds '>'"),
        ("https://app.example.com/u\r\nBcc: x@example.com", "holds '\\r'"),
        ("https://app.example.com/u?name=Ann Lee", "holds ' '"),
        ("https://app.example.com/✓", "percent-encode"),
        ("https://app.example.com/#/u", "`#`"),
        ("https://user:secret@app.example.com/u", "a user or a password"),
        ("https://", "no URL"),
        ("https:/app.example.com/u", "https:// and a host"),
        ("https:app.example.com/u", "https:// and a host"),
        ("https:///app.example.com/u", "https:// and a host"),
    ] {
        let error = UnsubscribeUrl::try_from(bad.to_owned()).unwrap_err();
        assert!(error.contains(says) && !error.contains("secret"), "{bad:?}: {error}");
    }
    // Whoever was frozen with one by an earlier build still gets their mail.
    for frozen in ["https:/app.example.com/u", "https:app.example.com/u"] {
        let recipient = Recipient {
            key: "1".parse().unwrap(),
            address: "a@example.com".parse().unwrap(),
            data: [("leave".to_owned(), frozen.to_owned())].into(),
        };
        let url = WayOut(Some(Made::Column("leave".to_owned()))).of_recipient(&recipient).unwrap().unwrap();
        assert_eq!(url.as_str(), frozen);
    }
    let long = format!("https://app.example.com/{}", "u".repeat(UNSUBSCRIBE_URL_BYTES_MAX));
    assert!(UnsubscribeUrl::try_from(long).unwrap_err().contains("shorten"));
}

#[test]
fn a_link_has_its_token_where_the_server_reads_it() {
    for good in
        ["https://app.example.com/u?t={{token}}", "https://app.example.com/u/{{token}}/now?x=1", "https://app.example.com?{{token}}"]
    {
        assert_eq!(UnsubscribeLink::try_from(good.to_owned()).map(String::from), Ok(good.to_owned()));
    }
    for (bad, says) in [
        ("https://app.example.com/u", "has no {{token}}"),
        ("https://app.example.com/u?t={{token}}&again={{token}}", "holds '{'"),
        ("https://{{token}}.example.com/u", "in its host"),
        ("https://app.example.com{{token}}/u", "in its host"),
        ("https:/app.example.com/u?t={{token}}", "https:// and a host"),
        ("https://app.example.com/#/u?t={{token}}", "`#`"),
        ("http://app.example.com/u?t={{token}}", "https://"),
        ("https://app.example.com/u?t={{token}}&name={{name}}", "holds '{'"),
    ] {
        let error = UnsubscribeLink::try_from(bad.to_owned()).unwrap_err();
        assert!(error.contains(says), "{bad}: {error}");
    }
}
