//! STS, as far as saying who the caller is: the one operation here that speaks the query protocol. Whoever signs with the
//! key `test` is a user, `anonymous` nobody, and with any other key a session of a role that has its name.

use bytes::Bytes;
use http::{Request, Response};

/// The ARN and the unique id of whoever has an access key; nothing of an anonymous caller.
pub(crate) fn identity(access_key: &str) -> Option<(String, String)> {
    match access_key {
        "" | "anonymous" => None,
        "test" => Some(("arn:aws:iam::000000000000:user/operator".to_owned(), "AIDA0000000000000000".to_owned())),
        name => Some((format!("arn:aws:sts::000000000000:assumed-role/role/{name}"), format!("AROA0000000000000000:{name}"))),
    }
}

/// The answer, where the request is one for STS.
pub(crate) fn answer(request: &Request<Bytes>, access_key: &str) -> Option<Response<Bytes>> {
    let is_asked = request.body().starts_with(b"Action=GetCallerIdentity");
    let (arn, id) = identity(access_key).unwrap_or_default();
    is_asked.then(|| {
        Response::new(Bytes::from(format!(
            r#"<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>{arn}</Arn><UserId>{id}</UserId><Account>000000000000</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>00000000-0000-4000-8000-000000000000</RequestId></ResponseMetadata></GetCallerIdentityResponse>"#
        )))
    })
}
