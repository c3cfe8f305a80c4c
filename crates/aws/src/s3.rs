//! Objects of S3, read piece by piece: two calls, both of which only read. By path and not by host name, so that a
//! bucket's name needs no certificate and no DNS of its own.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::metadata::ErrorMetadata;
use aws_smithy_xml::decode::XmlDecodeError;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::form_urlencoded::Serializer;

use crate::signed::{CallError, Service, Signed, text};
use crate::sns;

/// Bytes of an object in one piece.
pub const PIECE_BYTES: u64 = 4 * 1024 * 1024;
/// A piece must come at 200 KB a second, or it is asked for again.
const PIECE_TIMEOUT: Duration = Duration::from_secs(20);

static OBJECTS: Service = Service { id: "S3", name: "s3", refusal, try_timeout: PIECE_TIMEOUT, most: Some(PIECE_BYTES) };
/// A list has a thousand objects at most, and comes without its length.
static LISTS: Service = Service { id: "S3", name: "s3", refusal, try_timeout: PIECE_TIMEOUT, most: None };
const GET: &str = "GetObject";
const LIST: &str = "ListObjectsV2";

/// What a path has as it is; everything else is percent-encoded (S3 API reference, "Signature calculations", `UriEncode`).
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Reads objects.
#[derive(Clone, Debug)]
pub struct S3 {
    objects: Signed,
    lists: Signed,
}

/// Which state of an object is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only<'a> {
    Any,
    /// The one with this version id.
    Version(&'a str),
    /// The one with this `ETag`; where it is another by now, S3 refuses (`PreconditionFailed`).
    ETag(&'a str),
}

/// A piece of an object.
#[derive(Debug)]
pub struct Piece {
    pub bytes: Vec<u8>,
    /// Of the whole object.
    pub size: u64,
    pub etag: String,
    /// Nothing where the bucket keeps no versions. Where that was given up, S3 calls what is overwritten the version
    /// `null`: that is no version, since the next object is called so, too.
    pub version: Option<String>,
}

/// An object in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub key: String,
    pub etag: String,
    pub size: u64,
}

impl S3 {
    pub(crate) fn new(config: &SdkConfig) -> Self {
        Self { objects: Signed::new(config, &OBJECTS), lists: Signed::new(config, &LISTS) }
    }

    /// The bytes of an object from `from` on, [`PIECE_BYTES`] at most; nothing where it is empty.
    ///
    /// # Errors
    /// Says why S3 did not give them, or gave others than those.
    pub async fn piece(&self, bucket: &str, key: &str, only: Only<'_>, from: u64, length: u64) -> Result<Option<Piece>, CallError> {
        let mut path = format!("/{bucket}/{}", utf8_percent_encode(key, PLAIN));
        if let Only::Version(version) = only {
            path.push('?');
            path.push_str(&Serializer::new(String::new()).append_pair("versionId", version).finish());
        }
        let length = length.clamp(1, PIECE_BYTES);
        let mut request = http::Request::get(path).header(http::header::RANGE, format!("bytes={from}-{}", from + length - 1));
        if let Only::ETag(etag) = only {
            request = request.header(http::header::IF_MATCH, etag);
        }
        let piece = match self.objects.call_for(GET, request.body(SdkBody::empty()), piece).await {
            Ok(piece) => piece.map_err(|why| self.objects.error(GET, why))?,
            // No byte of it can be given, since it has none.
            Err(error) if from == 0 && error.code() == Some("InvalidRange") => return Ok(None),
            Err(error) => return Err(error),
        };
        let wanted = piece.size.saturating_sub(from).min(length);
        if piece.bytes.len() as u64 != wanted {
            return Err(self.objects.error(GET, format!("{} bytes came, and {wanted} were asked for", piece.bytes.len())));
        }
        let is_another = matches!(only, Only::ETag(etag) if etag != piece.etag)
            || matches!(only, Only::Version(version) if piece.version.as_deref() != Some(version));
        if is_another {
            return Err(self.objects.error(GET, "another state of the object came than was asked for"));
        }
        Ok(Some(piece))
    }

    /// The objects whose keys begin with `prefix`, in the order of their bytes: a thousand at most, and where it goes on.
    ///
    /// # Errors
    /// Says why S3 did not tell.
    pub async fn list(&self, bucket: &str, prefix: &str, token: Option<&str>) -> Result<(Vec<Listed>, Option<String>), CallError> {
        // In the order in which they are signed. XML has no way to write most control characters, so names come encoded.
        let pairs = [("encoding-type", "url"), ("list-type", "2"), ("prefix", prefix)];
        let pairs = token.map(|token| ("continuation-token", token)).into_iter().chain(pairs);
        let query: Vec<String> = pairs.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, QUERY))).collect();
        let request = http::Request::get(format!("/{bucket}?{}", query.join("&"))).body(SdkBody::empty());
        let answer = self.lists.call_for(LIST, request, |response| text(response).into_owned()).await?;
        let unread = |error: XmlDecodeError| self.lists.error(LIST, error);
        // Who does not know the question gives names as they are.
        let is_encoded = sns::first(&answer, "EncodingType").map_err(unread)?.as_deref() == Some("url");
        let listed = sns::records(&answer, "Contents").map_err(unread)?.into_iter().map(|mut object| {
            let mut member = |name| object.remove(name).ok_or_else(|| self.lists.error(LIST, format!("an object without {name}")));
            let size = member("Size")?.parse().map_err(|_| self.lists.error(LIST, "a size that is no number"))?;
            let (name, etag) = (member("Key")?, member("ETag")?);
            let key = if is_encoded { decoded(&name) } else { Some(name) };
            Ok(Listed { key: key.ok_or_else(|| self.lists.error(LIST, "an object whose name is no UTF-8"))?, etag, size })
        });
        let listed = listed.collect::<Result<Vec<_>, CallError>>()?;
        let goes_on = sns::first(&answer, "IsTruncated").map_err(unread)?.as_deref() == Some("true");
        let token = sns::first(&answer, "NextContinuationToken").map_err(unread)?.filter(|token| !token.is_empty());
        match token {
            None if goes_on => Err(self.lists.error(LIST, "the list goes on, and does not say where")),
            token => Ok((listed, token.filter(|_| goes_on))),
        }
    }
}

/// A name as it is, from what a list makes of it: of a form, in which a blank is a plus.
fn decoded(name: &str) -> Option<String> {
    let blanks = name.replace('+', " ");
    percent_decode_str(&blanks).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// A value in a query: there a slash is no separator.
const QUERY: &AsciiSet = &PLAIN.add(b'/');

fn piece(response: &HttpResponse) -> Result<Piece, String> {
    let header = |name: &str| response.headers().get(name).map(str::to_owned);
    let bytes = response.body().bytes().unwrap_or_default().to_vec();
    let size = match response.status().as_u16() {
        206 => header("content-range").and_then(|range| range.rsplit('/').next()?.parse().ok()),
        // Who heeds no range gives the whole (RFC 9110 section 14.2), as some emulators do of a version.
        200 => Some(bytes.len() as u64),
        other => return Err(format!("the answer is no part of the object, but HTTP {other}")),
    };
    Ok(Piece {
        bytes,
        size: size.ok_or("the answer does not say how large the object is")?,
        etag: header("etag").ok_or("the answer has no ETag")?,
        version: header("x-amz-version-id").filter(|version| version != "null"),
    })
}

/// As S3 says it in XML. Where another region has the bucket, a header names it.
fn refusal(response: &HttpResponse) -> Option<ErrorMetadata> {
    let said = sns::refusal(response);
    let Some(region) = response.headers().get("x-amz-bucket-region").filter(|_| is_of_region(response, said.as_ref())) else {
        return said;
    };
    Some(ErrorMetadata::builder().code("AnotherRegion").message(format!("the bucket is in {region}")).build())
}

fn is_of_region(response: &HttpResponse, said: Option<&ErrorMetadata>) -> bool {
    let code = said.and_then(ErrorMetadata::code);
    matches!(response.status().as_u16(), 301 | 307) || code == Some("AuthorizationHeaderMalformed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_list_is_read_as_it_is() {
        for (listed, name) in [("users/a+b%2Bc.csv", "users/a b+c.csv"), ("%01%0D/%E4%BC%9A.csv", "\u{1}\r/会.csv"), ("a/b", "a/b")] {
            assert_eq!(decoded(listed).as_deref(), Some(name));
        }
        assert_eq!(decoded("%FF"), None);
    }
}
