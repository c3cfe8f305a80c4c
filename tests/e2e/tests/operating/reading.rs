//! What S3 and Secrets Manager are asked, and what of their answers is believed: the clients of the binary, over a server that
//! gives one answer after the other.

use std::sync::{Arc, Mutex};

use issei_aws::{Clients, Only, SecretName};
use issei_test_support::WorldOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Gives each answer to one request, as its head and its body, and writes down what it was asked.
async fn answering(answers: Vec<(&'static str, String)>) -> (Clients, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (url, asked) = (format!("http://{}", listener.local_addr().unwrap()), Arc::<Mutex<Vec<String>>>::default());
    let log = asked.clone();
    tokio::spawn(async move {
        for (head, body) in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
            let text = loop {
                let read = stream.read(&mut buffer).await.unwrap();
                request.extend_from_slice(&buffer[..read]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.to_lowercase().split_once("content-length: ").map(|(_, rest)| rest.lines().next().unwrap().to_owned());
                if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                    break text;
                }
            };
            log.lock().unwrap().push(text);
            let answer = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (issei_aws::connect_to(&url, None, &WorldOptions::default().timing).await, asked)
}

fn listed(keys: &[&str], ends: &str) -> String {
    let objects: String =
        keys.iter().flat_map(|key| ["<Contents><Key>", key, "</Key><ETag>\"e\"</ETag><Size>7</Size></Contents>"]).collect();
    format!("<ListBucketResult>{objects}{ends}</ListBucketResult>")
}

#[tokio::test]
async fn a_list_of_objects_is_read_to_its_end_and_one_that_breaks_off_is_none() {
    let goes_on = "<IsTruncated>true</IsTruncated>";
    let (clients, asked) = answering(vec![
        ("200 OK", listed(&["u/1.csv"], &format!("{goes_on}<NextContinuationToken>a/b+c=</NextContinuationToken>"))),
        ("200 OK", listed(&["u/2.csv"], "<IsTruncated>false</IsTruncated><NextContinuationToken>none</NextContinuationToken>")),
        ("200 OK", listed(&["u/1.csv"], goes_on)),
        ("200 OK", "<ListBucketResult><Contents><Key>u/1.csv</Key></Contents></ListBucketResult>".to_owned()),
    ])
    .await;
    let (first, token) = clients.s3.list("exports", "u/", None).await.unwrap();
    assert_eq!((first[0].key.as_str(), first[0].size, token.as_deref()), ("u/1.csv", 7, Some("a/b+c=")));
    let (second, token) = clients.s3.list("exports", "u/", token.as_deref()).await.unwrap();
    assert_eq!((second[0].key.as_str(), token), ("u/2.csv", None), "it has ended, whatever it says besides");
    let broken = clients.s3.list("exports", "u/", None).await.unwrap_err().to_string();
    assert!(broken.contains("the list goes on, and does not say where"), "{broken}");
    let broken = clients.s3.list("exports", "u/", None).await.unwrap_err().to_string();
    assert!(broken.contains("an object without"), "{broken}");
    let asked = asked.lock().unwrap();
    assert!(asked[0].starts_with("GET /exports?encoding-type=url&list-type=2&prefix=u%2F HTTP/1.1"), "{}", asked[0]);
    assert!(
        asked[1].starts_with("GET /exports?continuation-token=a%2Fb%2Bc%3D&encoding-type=url&list-type=2&prefix=u%2F HTTP/1.1"),
        "{}",
        asked[1]
    );
}

#[tokio::test]
async fn only_the_state_of_an_object_that_was_asked_for_is_read_and_all_of_what_was_asked() {
    let piece =
        |etag: &str, version: &str| format!("206 Partial\r\netag: {etag}\r\ncontent-range: bytes 0-2/3\r\nx-amz-version-id: {version}");
    let head = |etag, version| -> &'static str { Box::leak(piece(etag, version).into_boxed_str()) };
    let (one, other, range) = ("\"e1\"", "\"e2\"", "<Error><Code>InvalidRange</Code><Message>none</Message></Error>");
    let abc = || "abc".to_owned();
    let (clients, asked) = answering(vec![
        (head(one, "v1"), abc()),
        (head(other, "v1"), abc()),
        (head(one, "v2"), abc()),
        (head(one, "v1"), abc()),
        (head(one, "null"), abc()),
        (head(one, "v1"), "ab".to_owned()),
        ("204 No Content\r\netag: \"e1\"", String::new()),
        ("206 Partial\r\ncontent-range: bytes 0-2/3", abc()),
        ("206 Partial\r\netag: \"e1\"", abc()),
        ("416 Range", range.to_owned()),
        ("416 Range", range.to_owned()),
    ])
    .await;
    let key = "u s/\u{898f}.csv";
    let read = async |only, from| clients.s3.piece("exports", key, only, from, 3).await;
    let told = async |only, from| read(only, from).await.unwrap_err().to_string();
    assert_eq!(read(Only::ETag(one), 0).await.unwrap().unwrap().bytes, b"abc");
    for only in [Only::ETag(one), Only::Version("v1")] {
        let another = told(only, 0).await;
        assert!(another.contains("another state of the object came than was asked for"), "{another}");
    }
    assert_eq!(read(Only::Version("v1"), 0).await.unwrap().unwrap().version.as_deref(), Some("v1"));
    assert_eq!(read(Only::Any, 0).await.unwrap().unwrap().version, None, "`null` is what is overwritten next");
    for words in ["2 bytes came, and 3 were asked for", "HTTP 204", "the answer has no ETag", "does not say how large the object is"] {
        let wrong = told(Only::Any, 0).await;
        assert!(wrong.contains(words), "{words}: {wrong}");
    }
    assert!(read(Only::Any, 0).await.unwrap().is_none(), "an object of no bytes has no first one");
    assert!(told(Only::Any, 3).await.contains("InvalidRange"), "it is shorter than it was");
    let asked = asked.lock().unwrap();
    let path = "GET /exports/u%20s/%E8%A6%8F.csv";
    assert!(asked[0].starts_with(&format!("{path} HTTP/1.1")) && asked[0].contains("if-match: \"e1\"\r\n"), "{}", asked[0]);
    assert!(asked[2].starts_with(&format!("{path}?versionId=v1 HTTP/1.1")), "{}", asked[2]);
    for request in asked.iter() {
        // Over nothing: S3 wants the digest of the body in a header that is signed.
        let nothing = "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\r\n";
        assert!(request.contains(nothing) && request.contains("range: bytes=") && request.contains("/s3/aws4_request"), "{request}");
    }
}

#[tokio::test]
async fn a_secret_is_asked_for_in_its_own_region_and_by_the_stage_and_version_that_are_named() {
    let held = r#"{"SecretString":"{\"key\":\"re_1\",\"other\":\"re_2\"}"}"#.to_owned();
    let (clients, asked) = answering(vec![("200 OK", held.clone()), ("200 OK", held), ("200 OK", "no json".to_owned())]).await;
    let arn = "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:issei/resend-AbCdEf";
    let name = |behind: &str| SecretName::try_from(format!("{arn}{behind}")).unwrap();
    assert_eq!(clients.secrets.value(&name(":key:AWSPREVIOUS:v1")).await.unwrap().as_str(), "re_1");
    assert!(clients.secrets.value(&name("")).await.unwrap().as_str().contains("re_2"), "all of it, where no key is named");
    let unread = clients.secrets.value(&name(":key")).await.unwrap_err();
    assert!(unread.contains("came in an answer that can't be read") && !unread.contains("no json"), "{unread}");
    let asked = asked.lock().unwrap();
    for request in asked.iter() {
        assert!(request.contains("/ap-northeast-1/secretsmanager/aws4_request"), "{request}");
    }
    let body = |at: usize| -> serde_json::Value { serde_json::from_str(asked[at].split_once("\r\n\r\n").unwrap().1).unwrap() };
    assert_eq!(body(0), serde_json::json!({ "SecretId": arn, "VersionStage": "AWSPREVIOUS", "VersionId": "v1" }));
    assert_eq!(body(1), serde_json::json!({ "SecretId": arn }));
    assert!(SecretName::try_from(format!("{arn}:key:stage:v1:more")).is_err());
}
